"""Thumbnails as data URIs, from the media folder; what is not there has no picture."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from atlas.views.drawing import Drawing

TYPES = {".webp": "image/webp", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg"}
# A page of at most 2 MB: what an edge and a node take beside their picture, in bytes, and the rest for pictures.
PAGE, PER_ARC, PER_VERTEX = 1_950_000, 400, 1_900


def data_uri(media: Path, name: str | None) -> str | None:
    """A picture below ``media`` as a data URI; None if it is missing, outside of it, or of another type."""
    if not name:
        return None
    path = (media / name).resolve()
    kind = TYPES.get(path.suffix.lower())
    if kind is None or not path.is_relative_to(media.resolve()):
        return None
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def with_pictures(
    drawing: Drawing, media: Path, names: Mapping[str, str], budget: int | None = None
) -> Drawing:
    """The drawing with the pictures ``names`` gives by vertex id, the highest scores first, up to ``budget``.

    ``budget`` is in bytes of the data URIs; by default what leaves a page of it below 2 MB.
    """
    if budget is None:
        budget = max(PAGE - PER_ARC * len(drawing.arcs) - PER_VERTEX * len(drawing.vertices), 0)
    spent, found = 0, dict[str, str]()
    seen: dict[str, str | None] = {}
    for vertex in sorted(drawing.vertices, key=lambda v: (-abs(v.score or 0.0), v.id)):
        name = names.get(vertex.id)
        if name is None:
            continue
        new = name not in seen
        picture = seen.setdefault(name, data_uri(media, name))
        if picture is None:
            continue
        spent += len(picture) if new else 0
        if spent > budget:
            break
        found[vertex.id] = picture
    vertices = tuple(replace(v, picture=found.get(v.id, v.picture)) for v in drawing.vertices)
    return replace(drawing, vertices=vertices)
