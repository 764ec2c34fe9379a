"""Circuit Atlas: circuits of vision models as a graph one can query.

>>> from atlas import open_atlas                                   # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from atlas.api import Atlas, Rows, open_atlas

__all__ = ["Atlas", "Rows", "open_atlas"]


def __getattr__(name: str) -> Any:
    # On first use only: `import atlas` must stay quick, and the driver is not part of it.
    if name in __all__:
        from atlas import api

        return getattr(api, name)
    raise AttributeError(f"module 'atlas' has no attribute {name!r}")
