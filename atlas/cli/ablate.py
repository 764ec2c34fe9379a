"""`atlas ablate`: what cutting a circuit does, beside cutting as many other neurons."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atlas.cli import answers, console, effects
from atlas.cli.answers import AsJson, Limit, Quiet
from atlas.cli.jobs import Device, complete_run
from atlas.errors import DataError, QueryError, StoreError

if TYPE_CHECKING:
    from atlas.lookup import Table
    from atlas.store.connection import Connection
    from ingest.ablate import Question

_MANY = 100_000


class Kind(StrEnum):
    """How a circuit is cut."""

    zero = "zero"
    circuit = "circuit"
    edges = "edges"


class On(StrEnum):
    """The images on which it is looked at."""

    image = "image"
    of_class = "class"
    all = "all"


def ablate(
    circuit: Annotated[
        str | None, typer.Argument(help="Id of a circuit, or its beginning; `atlas circuit` lists them.")
    ] = None,
    cypher: Annotated[
        str | None,
        typer.Option("--cypher", help="In place of a circuit: a query that returns neurons or their ids."),
    ] = None,
    kind: Annotated[
        Kind,
        typer.Option(
            "--kind",
            help="zero: neurons at zero. circuit: CLA's circuit pruning. edges: the circuit's own edges, or all "
            "paths between its first two layers.",
        ),
    ] = Kind.zero,
    on: Annotated[
        On | None,
        typer.Option(
            "--on", help="Images: the circuit's own, its class, or all; default: what it is a circuit of."
        ),
    ] = None,
    images: Annotated[int, typer.Option("--images", min=1, help="Images at most.")] = 500,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Random sets of the same size.")] = 10,
    store: Annotated[bool, typer.Option("--store/--no-store", help="Store it as Intervention.")] = True,
    as_json: AsJson = False,
    limit: Limit = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Cut a circuit's neurons or edges and compare with as many others: random, most activated.

    On classes: logit, probability, accuracy and KL of every class, and what a linear probe still reads of it at each
    layer behind. On one image, neurons at zero: its logit.
    """
    if (circuit is None) == (cypher is None):
        raise QueryError("name a circuit or a query", expected="CIRCUIT or --cypher", got="both or neither")
    with answers.database() as connection:
        known = None if circuit is None else _known(connection, circuit)
        target = "" if known is None else str(known["target"])
        on = on or (On.image if target.startswith("img:") else None)
        if known is not None and on is On.image and kind is Kind.zero:
            answers.show(effects.ablation(connection, str(known["circuit"]), device), as_json=as_json)
            return
        neurons = _members(connection, known) if known is not None else _asked(connection, str(cypher))
        measured = _Measured(connection, known, neurons, on, device)
        table = measured.table(kind.value, images, draws, store=store, quiet=quiet)
        shown = table.rows if limit is None else table.rows[:limit]
        answers.show(type(table)(table.name, table.params, table.columns, shown), as_json=as_json)


def _known(connection: Connection, circuit: str) -> Mapping[str, Any]:
    """What is stored about the circuit; a word on standard error if another one holds it."""
    from atlas import lookup

    row = lookup.run(connection, "circuit_by_id", {"circuit": circuit}).rows[0]
    if row["merged_into"] is not None:
        console.note(
            f"{row['circuit']} is merged into {row['merged_into']}: only its root is cut here; "
            f"`atlas ablate {row['merged_into']}` cuts all of it"
        )
    return row


def _members(connection: Connection, known: Mapping[str, Any]) -> tuple[str, ...]:
    from atlas import lookup

    rows = lookup.run(connection, "circuit_nodes", {"circuit": known["circuit"], "limit": _MANY}).rows
    if not rows:
        raise StoreError("this circuit has no neurons", where=str(known["circuit"]))
    return tuple(str(row["node"]) for row in rows)


def _asked(connection: Connection, cypher: str) -> tuple[str, ...]:
    """Neurons of a person's own query, which must only read.

    Raises QueryError for a query that does more, or returns something else.
    """
    from atlas.store.guard import guarded_ids

    found = guarded_ids(connection, cypher, limit=_MANY)
    wrong = [cell for cell in found if not isinstance(cell, str)]
    if wrong or not found:
        raise QueryError(
            "the query returns no neurons",
            expected="nodes or ids of neurons",
            got=repr(wrong[0]) if wrong else "no row",
            next_step="e.g. --cypher 'MATCH (n:Neuron {layer: \"layer4.1\"}) RETURN n LIMIT 10'",
        )
    return tuple(dict.fromkeys(str(cell) for cell in found))


class _Measured:
    """One measurement: the reopened job it is made on, and what is stored of it."""

    def __init__(
        self,
        connection: Connection,
        known: Mapping[str, Any] | None,
        neurons: tuple[str, ...],
        on: On | None,
        device: str,
    ) -> None:
        self.connection, self.known, self.neurons, self.on = connection, known, neurons, on
        self.run = complete_run(connection, neurons[0].split("/")[0], "activations")
        self.device = device

    def table(self, kind: str, images: int, draws: int, *, store: bool, quiet: bool) -> Table:
        """Measure, store if wanted, and give the rows."""
        from atlas.cli.jobs import folders
        from atlas.lookup import Table
        from atlas.spool import Spool
        from atlas.store import loader
        from ingest import ablate as ablation
        from ingest.devices import pick_device
        from ingest.methods.effect_tables import effect_rows
        from ingest.reopen import reopen

        prepared, opened = reopen(folders().work, self.run.facts, pick_device(self.device))
        rows = {record.id: row for row, record in enumerate(prepared.images.images)}
        question = self._question(kind, images, draws, rows, prepared.subject.class_ids())
        with console.Progress(quiet=quiet) as progress:
            found = ablation.ablate(prepared, opened, question, progress)
        if store:
            requires = [self.run.id if self.known is None else str(self.known["run"])]
            spool = ablation.spool_effects(prepared, question, found, requires, folders())
            loader.load(Spool.open(spool), self.connection)
        told = effect_rows(found)
        params = {"circuit": question.circuit, "kind": kind, "neurons": len(self.neurons)}
        return Table("ablate", params, tuple(told[0]), tuple(told))

    def _question(
        self, kind: str, images: int, draws: int, rows: Mapping[str, int], classes: list[str]
    ) -> Question:
        from ingest.ablate import Question

        target = "" if self.known is None else str(self.known["target"])
        own_image = self.on is On.image or (self.on is On.of_class and target.startswith("img:"))
        if own_image and target not in rows:
            raise DataError(
                "the circuit's image is not in the data set", where=target, next_step="use --on all"
            )
        looked: tuple[str, ...] = (target,) if target in classes and self.on in (None, On.of_class) else ()
        if self.on is On.of_class and target.startswith("img:"):
            looked = self._class_of(target)
        elif self.on is On.of_class and not looked:
            raise DataError(
                "this is no circuit of a class", where=target or "--cypher", next_step="use --on all"
            )
        return Question(
            neurons=self.neurons,
            edges=self._edges() if kind == Kind.edges.value else (),
            kind=kind,
            circuit=None if self.known is None else str(self.known["circuit"]),
            images=(rows[target],) if self.on is On.image else None,
            classes=looked,
            predicted=self._predicted(),
            most=images,
            draws=draws,
        )

    def _class_of(self, image: str) -> tuple[str, ...]:
        from atlas import lookup

        row = lookup.run(self.connection, "image_by_id", {"image": image}).rows[0]
        if row["class"] is None:
            raise DataError("the circuit's image has no class", where=image, next_step="use --on all")
        return (str(row["class"]),)

    def _edges(self) -> tuple[tuple[str, str], ...]:
        from atlas import lookup

        if self.known is None:
            return ()
        found = lookup.run(
            self.connection, "circuit_edges", {"circuit": self.known["circuit"], "limit": 1_000_000}
        ).rows
        return tuple((str(row["source"]), str(row["target"])) for row in found)

    def _predicted(self) -> dict[str, float]:
        """Class -> change predicted: the loss of what the members carry to it, where all scores are stored."""
        from atlas import lookup

        if self.known is None:
            return {}
        scores = lookup.run(
            self.connection, "circuit_class_scores", {"circuit": self.known["circuit"], "limit": _MANY}
        ).rows
        layers = [neuron.rsplit("/", 1)[0] for neuron in self.neurons]
        last = layers.count(layers[-1])
        return {str(row["class"]): -float(row["score"]) for row in scores if row["neurons"] == last}


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(ablate)
