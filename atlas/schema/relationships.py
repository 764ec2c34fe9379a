"""The relationship types of the graph."""

from __future__ import annotations

from atlas.schema.core import Property, RelationshipType

P = Property
R = RelationshipType

X = P("x", "float", "column of the centre of the position's cell", unit="px of the transformed input")
Y = P("y", "float", "row of the centre of the position's cell", unit="px of the transformed input")
RANK = P("rank", "integer", "place in its list; 1 is the best")
RANK_OUT = P("rank_out", "integer", "rank within the source; 1 is the strongest")
SCOPE = P("scope", "string", "id of the ImageSet averaged over", required=True)
OVERLAP = P("overlap", "float", "S_SF: share of the target's root list that is in the source's, in [0, 1]")
IDENTITY = P("identity", "boolean", "the same channel carried on by an identity shortcut")
SCORE = P("score", "float", "signed score", required=True)

STRUCTURE: tuple[RelationshipType, ...] = (
    R("HAS_LAYER", "The layers of a model.", (("Model", "Layer"),), shared=True),
    R("HAS_NEURON", "The neurons of a layer.", (("Layer", "Neuron"),), shared=True),
    R("HAS_DICTIONARY", "The dictionaries of a layer.", (("Layer", "Dictionary"),)),
    R("HAS_CONCEPT", "The concepts of a dictionary.", (("Dictionary", "Concept"),)),
    R("FEEDS", "The next layer.", (("Layer", "Layer"),), shared=True),
    R("HAS_CLASS", "The classes of a data set.", (("Dataset", "Class"),), shared=True),
    R("HAS_IMAGE", "The images of a data set.", (("Dataset", "Image"),), shared=True),
    R("LABELLED", "The class an image is filed under.", (("Image", "Class"),), shared=True),
    R(
        "OF",
        "What a run or an evaluation is about.",
        (
            ("Run", "Model"),
            ("Evaluation", "Circuit"),
            ("Evaluation", "Layer"),
            ("Evaluation", "Dictionary"),
            ("Evaluation", "Run"),
        ),
    ),
    R("ON", "The data set of a run.", (("Run", "Dataset"),)),
    R("HOLDS", "The images of a set.", (("ImageSet", "Image"),), shared=True),
    R("WROTE", "The circuits of a run.", (("Run", "Circuit"),)),
    R(
        "DERIVED_FROM",
        "The model this one was made from.",
        (("Model", "Model"),),
        (P("step", "string", "how", required=True),),
        key=("step",),
        shared=True,
    ),
    R("HAS_SENSE", "The senses of a neuron.", (("Neuron", "Sense"),)),
    R(
        "EXPLAINS",
        "What a circuit is the circuit of.",
        (
            ("Circuit", "Image"),
            ("Circuit", "Class"),
            ("Circuit", "Neuron"),
            ("Circuit", "Concept"),
            ("Circuit", "ImageSet"),
        ),
    ),
    R("MERGED_INTO", "An earlier circuit that already holds this one's root.", (("Circuit", "Circuit"),)),
    R("CUTS", "The circuit an intervention removed.", (("Intervention", "Circuit"),)),
)

EVIDENCE: tuple[RelationshipType, ...] = (
    R(
        "PREDICTED_AS",
        "The model's first answer for an image.",
        (("Image", "Class"),),
        (
            P("probability", "float", "softmax of the logits, in [0, 1]"),
            P("logit", "float", "the logit"),
            P("model", "string", "address root", required=True),
        ),
        key=("run",),
        run=True,
    ),
    R(
        "MATCHES",
        "The same thing in another run or model.",
        (
            ("Neuron", "Neuron"),
            ("Concept", "Concept"),
            ("Sense", "Sense"),
            ("Layer", "Layer"),
            ("Circuit", "Circuit"),
        ),
        (SCORE, P("method", "string", "how they were matched")),
        key=("run",),
        run=True,
    ),
    R(
        "CHANGED",
        "What an intervention did to a class.",
        (("Intervention", "Class"),),
        (
            P("metric", "string", "logit, probability, accuracy, kl, or probe LAYER", required=True),
            P("before", "float", "value on the untouched model"),
            P("after", "float", "value after the cut"),
            P("low", "float", "lower end of the 95 % interval of the change"),
            P("high", "float", "upper end of the 95 % interval of the change"),
            P("predicted", "float", "change predicted by the circuit's scores"),
        ),
        key=("metric", "run"),
        run=True,
    ),
    R(
        "ACTIVATED_BY",
        "The root list (T1): the images a neuron answers most.",
        (("Neuron", "Image"),),
        (
            P("value", "float", "ranking activation: mean of the top 10 % of its map", required=True),
            RANK,
            X,
            Y,
        ),
        key=("run",),
        run=True,
    ),
    R(
        "ACTIVATES",
        "The channels of a layer whose mask list (T10) holds the image.",
        (("Image", "Layer"),),
        (
            P("channels", "integers", "channel indices, ascending", required=True),
            P("values", "floats", "their ranking activations", required=True),
        ),
        key=("run",),
        run=True,
    ),
    R(
        "RESPONDS_TO",
        "Class selectivity of a neuron.",
        (("Neuron", "Class"),),
        (
            P("mean", "float", "mean ranking activation on the class"),
            P("auc", "float", "probability that an image of the class ranks above another, in [0, 1]"),
            RANK_OUT,
        ),
        key=("run",),
        run=True,
    ),
    R(
        "EXPRESSES",
        "An image's own decomposition into concepts.",
        (("Image", "Concept"),),
        (P("u", "float", "coefficient", required=True), X, Y, RANK_OUT),
        key=("run",),
        run=True,
    ),
    R(
        "LOADS_ON",
        "The largest entries of a concept's vector.",
        (("Concept", "Neuron"),),
        (P("weight", "float", "entry of the unit vector", required=True), RANK_OUT),
        key=("run",),
        run=True,
    ),
    R(
        "EXEMPLIFIED_BY",
        "Pictures to look at.",
        (("Concept", "Image"), ("Sense", "Image"), ("Circuit", "Image")),
        (P("similarity", "float", "how well it fits, in the source's own measure"), RANK, X, Y),
        key=("run",),
        run=True,
    ),
    R(
        "INCLUDES",
        "The members of a circuit.",
        (("Circuit", "Neuron"), ("Circuit", "Concept")),
        (P("role", "string", "root or member", required=True), P("score", "float", "signed score"), RANK),
        key=("run",),
        run=True,
    ),
    R(
        "SERVES",
        "The classes of a sense's reference images.",
        (("Sense", "Class"),),
        (
            P("images", "integer", "reference images of the class", unit="images"),
            P("share", "float", "part of the sense's references, in [0, 1]"),
        ),
        key=("run",),
        run=True,
    ),
    R(
        "ASSIGNED_TO",
        "The sense in which an image activates a neuron: the nearest centroid.",
        (("Image", "Sense"),),
        (
            P("distance", "float", "Euclidean distance to that centroid", required=True),
            P("margin", "float", "(d2 - d1) / d2 with the distance d2 to the next centroid, in [0, 1]"),
        ),
        key=("run",),
        run=True,
    ),
    R(
        "RELATED_TO",
        "How alike two classes are.",
        (("Class", "Class"),),
        (P("similarity", "float", "in [-1, 1]", required=True), P("basis", "string", "what was compared")),
        key=("basis", "run"),
        run=True,
    ),
    R(
        "RESEMBLES",
        "The senses of other neurons of the layer that are fed most like a sense, from each to its best few.",
        (("Sense", "Sense"),),
        (
            P("cosine", "float", "of what is stored of their feeders; in (0, 1]", required=True),
            P("neurons", "integer", "lower neurons stored as feeders of both", unit="neurons"),
            P("images", "integer", "reference images of both", unit="images"),
            RANK,
        ),
        key=("run",),
        run=True,
    ),
)

ATTRIBUTION: tuple[RelationshipType, ...] = (
    R(
        "FLOWS_TO",
        "GCC over the whole data set; from a sense, over that sense's references alone.",
        (("Neuron", "Neuron"), ("Sense", "Neuron")),
        (
            OVERLAP,
            P("sensitivity", "float", "S_NS averaged over the source's best images, in [0, 1]"),
            P("images", "integer", "images in both root lists", unit="images"),
            IDENTITY,
        ),
        key=("run",),
        run=True,
        scored=True,
    ),
    R(
        "DRIVES",
        "GCC for one query: an edge that passed both thresholds.",
        (("Neuron", "Neuron"), ("Sense", "Neuron")),
        (
            P("circuit", "string", "id of the Circuit", required=True),
            P(
                "sensitivity",
                "float",
                "S_NS on the query: clipped change of the target's mean over their sum",
                required=True,
            ),
            P("raw", "float", "the clipped change itself, in units of the target's activation"),
            OVERLAP,
            IDENTITY,
        ),
        key=("circuit", "run"),
        run=True,
        scored=True,
    ),
    R(
        "ATTRIBUTES_TO",
        "CLA: activation × gradient of the target's norm.",
        (("Neuron", "Neuron"), ("Neuron", "Class"), ("Sense", "Neuron")),
        (SCORE, P("contrast", "float", "score less its mean over the other scopes, clipped at zero"), SCOPE),
        key=("scope", "run"),
        run=True,
        scored=True,
    ),
    R(
        "SCREENS",
        "First-order screening: weight × weight gradient.",
        (("Neuron", "Neuron"), ("Neuron", "Class")),
        (SCORE, SCOPE),
        key=("scope", "run"),
        run=True,
        scored=True,
    ),
    R(
        "CONTRIBUTES_TO",
        "GIG between concept vectors.",
        (("Concept", "Concept"), ("Concept", "Class")),
        (P("gig", "float", "signed generalised integrated gradient", required=True), SCOPE),
        key=("scope", "run"),
        run=True,
        scored=True,
    ),
    R(
        "FEEDS_SENSE",
        "Which lower neurons drive a sense.",
        (("Neuron", "Sense"),),
        (
            P("relevance", "float", "mean signed relevance over the sense's references", required=True),
            P("rank_in", "integer", "rank within the sense; 1 is the strongest"),
        ),
        key=("run",),
        run=True,
        scored=True,
    ),
)

RELATIONSHIPS: tuple[RelationshipType, ...] = (*STRUCTURE, *EVIDENCE, *ATTRIBUTION)
