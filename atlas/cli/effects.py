"""`atlas ablate` and `atlas evaluate`, and exact circuits on demand: the commands that run the model again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atlas.cli import answers, console
from atlas.cli.answers import AsJson, Limit, OfModel
from atlas.errors import DataError, StoreError

if TYPE_CHECKING:
    from atlas.lookup import Table
    from atlas.store.connection import Connection
    from atlas.store.runs import RunInfo
    from ingest.demand import Desk

Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]


def ablate(
    circuit: Annotated[
        str, typer.Argument(help="Id of a circuit, or its beginning; `atlas circuit` lists them.")
    ],
    as_json: AsJson = False,
    device: Device = "auto",
) -> None:
    """Set a circuit's neurons to zero and compare with others: random, matched, most activated, complement."""
    with answers.database() as connection:
        answers.show(ablation(connection, circuit, device), as_json=as_json)


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
    from atlas.cli.build import folders
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
    from atlas.cli.build import folders
    from atlas.store.runs import COMPLETE, list_runs
    from ingest.demand import Desk
    from ingest.plan import pick_device
    from ingest.reopen import reopen

    runs = [run for run in list_runs(connection) if run.model == model and run.method == "gcc"]
    if not runs or runs[0].status != COMPLETE:
        raise StoreError(
            "no complete GCC run of this model", where=model, next_step="`atlas ingest --methods gcc`"
        )
    return Desk(*reopen(folders().work, runs[0].facts, pick_device(device))), runs[0]


def evaluate(
    method: Annotated[str, typer.Argument(help="The method whose claims are measured: gcc.")] = "gcc",
    of: OfModel = None,
    queries: Annotated[int, typer.Option("--queries", min=2, help="Judging images to measure on.")] = 100,
    as_json: AsJson = False,
    limit: Limit = None,
    device: Device = "auto",
) -> None:
    """Measure a method on this atlas: interventions, edge curves, traversal against exact; stored as Evaluation."""
    from atlas import lookup, resolve
    from atlas.cli.build import folders, load_all
    from atlas.spool import Spool
    from ingest.evaluation import evaluate_gcc

    if method != "gcc":
        raise DataError("nothing is measured for this method", where=method, expected="gcc", got=method)
    with answers.database() as connection:
        desk, run = _desk(connection, resolve.model(connection, of), device)
        with console.Progress() as progress:
            spool = evaluate_gcc(desk, run.id, queries, folders(), progress)
        opened = Spool.open(spool)
        load_all([opened], connection, quiet=True)
        params: dict[str, Any] = {"run": opened.run.id, **answers.given(limit=limit)}
        answers.show(lookup.run(connection, "evaluations", params), as_json=as_json)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(ablate)
    app.command()(evaluate)
