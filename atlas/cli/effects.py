"""Answers about one image that run the model again: its exact circuits, what they push, and what cutting one does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from atlas.cli import answers, console
from atlas.cli.jobs import opened
from atlas.errors import DataError

if TYPE_CHECKING:
    from atlas.lookup import Table
    from atlas.store.connection import Connection
    from atlas.store.runs import RunInfo
    from ingest.demand import Desk


def ablation(connection: Connection, circuit: str, device: str = "auto") -> Table:
    """The logit of the circuit's image with the circuit, or as many other neurons per layer, at zero."""
    from atlas import lookup
    from atlas.lookup import Table

    known = lookup.run(connection, "circuit_by_id", {"circuit": circuit})
    identity, target = known.rows[0]["circuit"], known.rows[0]["target"]
    members = lookup.run(connection, "circuit_nodes", {"circuit": identity, "limit": 100_000})
    desk, _ = _desk(connection, str(members.rows[0]["node"]).split("/")[0], device)
    rows = desk.ablation(desk.ask(str(target), None), [str(row["node"]) for row in members.rows])
    return Table("ablate", {"circuit": identity, "image": target}, tuple(rows[0]), tuple(rows))


def push(
    connection: Connection, kind: str, found: str, target: str, of: str | None, limit: int | None
) -> Table:
    """The circuits of an image, ranked by what each adds to a target.

    Raises DataError for anything but an image.
    """
    from atlas import lookup
    from atlas.lookup import Table

    if kind != "image":
        raise DataError("only circuits of an image push a target", where=found, expected="an image", got=kind)
    circuits = lookup.run(
        connection, "image_circuits", {"image": found, **answers.given(model=of), "limit": 1000}
    )
    own = [row for row in circuits.rows if row["merged_into"] is None]
    if not own:
        return Table("circuit_pushes", {"image": found, "target": target}, ("circuit", "push"), ())
    cuts = [
        [
            row["node"]
            for row in lookup.run(connection, "circuit_nodes", {"circuit": c, "limit": 100_000}).rows
        ]
        for c in (row["circuit"] for row in own)
    ]
    desk, _ = _desk(connection, str(own[0]["model"]), "auto")
    pushes = desk.pushes(desk.ask(found, None), cuts, target)
    columns = ("circuit", "root", "size", "edges", "push")
    rows = [
        {**{c: row[c] for c in columns[:-1]}, "push": value} for row, value in zip(own, pushes, strict=True)
    ]
    rows.sort(key=lambda row: (-float(row["push"]), str(row["circuit"])))
    return Table("circuit_pushes", {"image": found, "target": target}, columns, tuple(rows[:limit]))


def explain(connection: Connection, file: Path | None, found: str, of: str | None) -> str:
    """Compute and store the exact circuits of an image; gives its id."""
    from atlas import address, resolve
    from atlas.cli.jobs import folders
    from atlas.spool import Spool
    from atlas.store import loader
    from ingest import demand

    desk, run = _desk(connection, resolve.model(connection, of), "auto")
    asked = desk.ask(found if address.is_image_id(found) else None, file)
    console.note(f"computing the exact circuits of {asked.file.name}")
    spool = Spool.open(demand.explain(desk, asked, run.requires[0], folders()))
    loader.load(spool, connection)
    return asked.query.id


def _desk(connection: Connection, model: str, device: str) -> tuple[Desk, RunInfo]:
    """The job of the model's GCC run, opened again, and that run."""
    from ingest.demand import Desk

    job, run = opened(connection, model, "gcc", device)
    return Desk(job.prepared, job.store), run
