"""Answers about concepts that are kept: an image or a place of it in concepts, as small runs, and where one shows.

Each run builds on the GIG run ``base`` whose dictionaries it uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from atlas.address import digest_of
from atlas.spool import SpoolWriter, Values
from ingest.concept_desk import AskedImage, ConceptDesk, Sum
from ingest.methods.gig_scope import ScopeGraph, scope_graph
from ingest.methods.gig_tables import contribution_table, express_table
from ingest.plan import Folders, record_of, spool_folder
from ingest.segments import OUTPUT
from ingest.store_files import disk_errors
from ingest.thumbnails import new_image

Columns = Mapping[str, Values]
Tables = Iterator[tuple[str, Columns]]
EXPRESSED = 1000
SHOWN = 5
SIDE = 320
GAP = 8
HOT = np.array([255.0, 64.0, 0.0])


def explain(desk: ConceptDesk, asked: AskedImage, base: str, folders: Folders) -> Path:
    """Spool one image explained in concepts of the whole data set: its codes, and what each concept adds to the
    output the model gives it and to the strongest concepts of the next layer.
    """
    stage = desk.stage
    parameters = {**stage.spec.to_dict(), "image": asked.id, "base": base}
    record = record_of(desk.prepared, f"gig:{asked.id}", stage.version, parameters, (base,))
    graph = scope_graph(stage.explainer, [asked.x], None, stage.spec.top_concepts)
    with SpoolWriter(spool_folder(folders, record), record) as writer:
        for tables in (_image(desk, asked, folders), _codes(desk, asked), _edges(desk, asked, graph)):
            for name, columns in tables:
                writer.write(name, columns)
        return writer.finish({"completeness_error": float(graph.errors.mean()) if len(graph.errors) else 0.0})


def keep_sum(desk: ConceptDesk, asked: AskedImage, found: Sum, base: str, folders: Folders) -> Path:
    """Spool the strongest concepts of one place of an image."""
    layer = desk.stage.dictionaries[found.spot.ordinal].space.layer.name
    place = f"{layer}:{found.spot.position}"
    parameters = {**desk.stage.spec.to_dict(), "image": asked.id, "place": place, "base": base}
    record = record_of(
        desk.prepared, f"decompose:{asked.id}:{place}", desk.stage.version, parameters, (base,)
    )
    best = found.concepts[:SHOWN]
    with SpoolWriter(spool_folder(folders, record), record) as writer:
        for name, columns in _image(desk, asked, folders):
            writer.write(name, columns)
        writer.write(
            "Image-EXPRESSES-Concept",
            {
                "start": [asked.id] * len(best),
                "end": [concept for concept, _ in best],
                "u": [u for _, u in best],
                "x": [found.spot.x] * len(best),
                "y": [found.spot.y] * len(best),
                "rank_out": list(range(1, len(best) + 1)),
            },
        )
        return writer.finish({"rel_l2": found.error})


def _image(desk: ConceptDesk, asked: AskedImage, folders: Folders) -> Tables:
    """A new file's own node; nothing for an image of the data set."""
    if asked.row is not None:
        return
    yield "Image", new_image(asked.id, asked.file, folders.media)


def _codes(desk: ConceptDesk, asked: AskedImage) -> Tables:
    naming, row = desk.naming(asked)
    nodes = [dictionary.space.node for dictionary in desk.stage.dictionaries]
    with torch.no_grad():
        clean = desk.prepared.model.trace.values(asked.x, [*dict.fromkeys(nodes)])
    for ordinal, dictionary in enumerate(desk.stage.dictionaries):
        decomposed = desk.stage.explainer.decompose(ordinal, clean[nodes[ordinal]])
        yield "Image-EXPRESSES-Concept", express_table(naming, dictionary, decomposed, [row], EXPRESSED)


def _edges(desk: ConceptDesk, asked: AskedImage, graph: ScopeGraph) -> Tables:
    stage, subject = desk.stage, desk.prepared.subject
    yield (
        "ImageSet",
        {"id": [asked.id], "kind": ["image"], "size": [1], "digest": [digest_of([asked.id])]},
    )
    yield "ImageSet-HOLDS-Image", {"start": [asked.id], "end": [asked.id]}
    with torch.no_grad():
        logits = desk.prepared.model.trace.values(asked.x, [OUTPUT])[OUTPUT][0]
    classes = subject.class_of_output()
    predicted = classes.get(int(logits.argmax()))
    last, keep = len(stage.dictionaries), stage.spec.keep
    for source, averages in graph.to_output.items():
        if predicted is not None:
            yield (
                "Concept-CONTRIBUTES_TO-Class",
                contribution_table(desk.names[source], [predicted], averages, asked.id, last - source, keep),
            )
    for (source, target), averages in graph.to_next.items():
        chosen = [desk.names[target][concept] for concept in graph.tops[target]]
        yield (
            "Concept-CONTRIBUTES_TO-Concept",
            contribution_table(desk.names[source], chosen, averages, asked.id, target - source, keep),
        )


def draw(desk: ConceptDesk, asked: AskedImage, concept: str, path: Path) -> tuple[float, float, float] | None:
    """Write a PNG of where a concept shows on an image: the image, the concept's coefficients over it, and the
    effective receptive field of the position where they are largest.

    Returns (u, x, y) of that position; None, and no file, if the concept has no coefficient anywhere on the image.

    Raises DataError for an unknown concept, DiskError.
    """
    ordinal, number = desk.find(concept)
    coded = desk.coded(asked, ordinal)
    where = torch.nonzero(coded.atoms == number)
    if not len(where):
        return None
    u = coded.codes[:, int(where[0, 0])]
    position = int(u.abs().argmax())
    layer = coded.space.layer
    chain = desk.stage.chain
    field = chain.fields(asked.x, chain.clean(asked.x), ordinal, torch.tensor([position], device=u.device))[0]
    panels = [_plain(asked.x[0]), *(_plain(asked.x[0]) for _ in range(2))]
    if layer.grid is not None:
        strengths = u[layer.tokens_before :].abs().reshape(layer.grid)
        panels[1] = _heated(panels[1], strengths)
    panels[2] = _heated(panels[2], field)
    _write(panels, path)
    naming, _ = desk.naming(asked)
    x, y = naming.places(layer, np.array([position]))
    return float(u[position]), float(np.asarray(x)[0]), float(np.asarray(y)[0])


def _plain(x: torch.Tensor) -> Image.Image:
    """The transformed input (3, H, W) as a picture, its range stretched to 0 … 255."""
    low, high = float(x.min()), float(x.max())
    pixels = (x.detach().cpu() - low) / max(high - low, 1e-12) * 255
    picture = Image.fromarray(pixels.round().to(torch.uint8).permute(1, 2, 0).expand(-1, -1, 3).numpy())
    scale = max(1, SIDE // max(picture.size))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def _heated(picture: Image.Image, heat: torch.Tensor) -> Image.Image:
    """A picture with a map (h, w) ≥ 0 laid over it, most opaque where the map is largest."""
    strength = (heat / heat.max().clamp(min=torch.finfo(heat.dtype).tiny)).detach().cpu().float().numpy()
    wide = Image.fromarray(strength).resize(picture.size, Image.Resampling.BILINEAR)
    alpha = 0.75 * np.asarray(wide).clip(0, 1)[..., None]
    base = np.asarray(picture, np.float64) * 0.8
    return Image.fromarray(((1 - alpha) * base + alpha * HOT).round().astype(np.uint8))


def _write(panels: list[Image.Image], path: Path) -> None:
    width, height = panels[0].size
    whole = Image.new("RGB", (len(panels) * width + (len(panels) - 1) * GAP, height), (255, 255, 255))
    for n, panel in enumerate(panels):
        whole.paste(panel, (n * (width + GAP), 0))
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".part")
        whole.save(beside, "PNG")
        beside.replace(path)
