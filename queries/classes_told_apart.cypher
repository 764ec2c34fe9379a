// name: classes_told_apart
// summary: What distinguishes two classes: the neurons that the CLA circuit of one has and the other's lacks.
// params:
//   class_a: class — name or id of the first class
//   class_b: class — name or id of the second class
//   variant: string = "contrastive" — contrastive (what exceeds the other classes) or raw
//   model: model = null — only this model's circuits
//   limit: integer = 50 — rows at most
// returns:
//   neuron: string — address
//   layer: string — name of its layer
//   class: string — the class whose circuit has it
//   score: float — its scores with the circuit's neurons in the layers beside it, summed
//   rank: integer — its place in its layer of the circuit
// key: neuron
// cost: lookup
UNWIND [$class_a, $class_b] AS class
MATCH (:Class {id: class})<-[:EXPLAINS]-(c:Circuit {method: "cla", variant: $variant})-[r:INCLUDES]->(n:Neuron)
WHERE $model IS NULL OR n.model = $model
WITH n, collect({class: class, score: r.score, rank: r.rank}) AS sides
WHERE size(sides) = 1
WITH n, sides[0] AS side
RETURN n.id AS neuron, n.layer AS layer, side.class AS class, side.score AS score, side.rank AS rank
ORDER BY rank, score DESC, neuron
LIMIT $limit
