"""`atlas concept-effects`: does a concept's circuit carry the classes that contain it, and them alone?"""

from __future__ import annotations

from typing import Annotated

import typer

from atlas.cli import answers, console
from atlas.cli.ablate import Kind
from atlas.cli.answers import AsJson, OfModel, Quiet
from atlas.cli.jobs import Device, complete_run


def concept_effects(
    concepts: Annotated[
        str,
        typer.Argument(
            help="JSON {concept: [class, …]}, a groups file of `atlas catfish`, or what joins class names."
        ),
    ] = "-",
    of: OfModel = None,
    k: Annotated[int, typer.Option("--k", min=1, help="Neurons of a circuit per layer.")] = 8,
    scored: Annotated[int, typer.Option("--scored", min=1, help="List images per concept.")] = 20,
    images: Annotated[int, typer.Option("--images", min=2, help="Judging images at most.")] = 400,
    kind: Annotated[Kind, typer.Option("--kind", help="How a circuit is cut.")] = Kind.zero,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Random circuits per concept.")] = 3,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Store the figures as Evaluation.")
    ] = True,
    device: Device = "auto",
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Cut each concept's circuit and compare classes that contain the concept with all others.

    Per concept: KL divergence and accuracy lost on images of either kind, and how well the divergence tells them apart
    (AUC), for the contrastive CLA circuit and for random ones of the same size.
    """
    from atlas import resolve
    from atlas.cli.jobs import folders
    from atlas.cli.load import load_all
    from atlas.lookup import Table
    from atlas.spool import Spool
    from ingest.devices import pick_device
    from ingest.experiments.concept_effect import ConceptSpec, effect_rows, read_concepts
    from ingest.experiments.concept_effect import concept_effects as measure
    from ingest.experiments.figures import spool_measures
    from ingest.reopen import reopen

    with answers.database() as connection:
        run = complete_run(connection, resolve.model(connection, of), "activations")
        prepared, _ = reopen(folders().work, run.facts, pick_device(device))
        found = read_concepts(concepts, prepared.subject.classes)
        spec = ConceptSpec(found, k=k, scored=scored, images=images, kind=kind.value, draws=draws)
        with console.Progress(quiet=quiet) as progress:
            measures = measure(prepared, spec, progress)
        if store:
            spool = spool_measures(prepared, "concept-effects", spec, measures, run.id, folders())
            load_all([Spool.open(spool)], connection, quiet=True)
        rows = tuple(effect_rows(measures))
        answers.show(
            Table("concept_effects", {"kind": kind.value, "k": k}, tuple(rows[0]), rows), as_json=as_json
        )


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command("concept-effects")(concept_effects)
