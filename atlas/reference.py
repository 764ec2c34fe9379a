"""docs/queries.md, generated from the headers of the query files."""

from __future__ import annotations

import json

from atlas import catalogue
from atlas.query_file import Parameter, Query

_HEAD = """# Queries

Generated from `queries/*.cypher` by `make docs`.

Every question about the atlas is one file. `atlas query list` lists them, `atlas query show NAME` prints one,
`atlas query run NAME argument=value` asks it; `--json`, `--csv` and `--browser` choose another form. In Python:
`open_atlas().query(name, **arguments)`. A file also pastes into Neo4j Browser, where `:param` sets arguments.

Arguments of the types `model`, `layer`, `neuron`, `concept`, `class`, `image`, `circuit` and `run` name a thing in the
atlas, in the shortest form that is clear: with one model `layer3.2/117` is a neuron, `layer3.2/c42` a concept;
`classes` is a list of them. A `model` may be left out
where the atlas holds one. `lookup` queries take at most 100 ms (warm median, 10 million relationships),
`report` queries 5 s. Your own queries: put files of the same form into a folder and name it in `ATLAS_QUERIES`.
"""


def page() -> str:
    """The whole page."""
    queries = [query for query in catalogue.load().values() if query.draws is None]
    index = "\n".join(f"| [`{q.name}`](#{q.name}) | {q.summary} | {q.cost} |" for q in queries)
    table = f"| query | answers | cost |\n| --- | --- | --- |\n{index}\n"
    return "\n".join([_HEAD, table, *(_section(query) for query in queries)])


def _section(query: Query) -> str:
    arguments = "\n".join(
        f"| `{p.name}` | {p.type} | {_default(p)} | {_text(p.meaning)} |" for p in query.parameters
    )
    columns = "\n".join(f"| `{c.name}` | {c.type} | {_text(c.meaning)} |" for c in query.returns)
    drawing = f"\nDrawn by `{query.drawing}`.\n" if query.drawing else ""
    return (
        f"## {query.name}\n\n{query.summary}\n{drawing}\n"
        f"| argument | type | default | meaning |\n| --- | --- | --- | --- |\n{arguments}\n\n"
        f"| column | type | meaning |\n| --- | --- | --- |\n{columns}\n\n"
        f"One row per {', '.join(f'`{name}`' for name in query.key)}.\n"
    )


def _default(parameter: Parameter) -> str:
    if not parameter.required:
        return f"`{json.dumps(parameter.default)}`"
    return "the only one" if parameter.type == "model" else "required"


def _text(text: str) -> str:
    return text.replace("|", "\\|")
