"""`atlas ingest`: how an atlas is made."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from atlas.cli import answers, console
from atlas.cli.answers import AsCsv, AsJson, Quiet
from atlas.cli.jobs import ImageSize, folders, square
from atlas.cli.load import fill
from atlas.errors import DataError

if TYPE_CHECKING:
    from ingest.job import IngestSpec
    from ingest.workers import Crew

MOST_RELATIONSHIPS = 50_000_000


def ingest(
    model: Annotated[
        str,
        typer.Option(
            "--model", help="torchvision name, timm:NAME, clip:ARCH, hf:FOLDER, or package.module:factory."
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data", help="Folder of images, best with one per class, or of tar, Parquet or Arrow shards."
        ),
    ],
    weights: Annotated[
        str | None,
        typer.Option("--weights", help="Name of the library's weights (default DEFAULT), or random:SEED."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", help="Your weights: a state dict, .safetensors or torch.save."),
    ] = None,
    image_size: ImageSize = None,
    queries: Annotated[
        str,
        typer.Option(
            "--queries", help="Images to explain exactly: a number, judge, list, all, or a file of names."
        ),
    ] = "20",
    methods: Annotated[str, typer.Option("--methods", help="Comma-separated: gcc, cla, gig, pure.")] = "gcc",
    layers: Annotated[
        str | None, typer.Option("--layers", help="Comma-separated globs on traced names.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option("--classes", help="Class names in output order, one a line, or JSON.")
    ] = None,
    groups: Annotated[
        Path | None,
        typer.Option("--groups", help="JSON that says which half each image is in, and its sources."),
    ] = None,
    judge_share: Annotated[
        float, typer.Option("--judge-share", min=0, max=0.9, help="Share of images kept out of every list.")
    ] = 0.5,
    root_share: Annotated[
        float, typer.Option("--root-share", help="GCC: share of images in a root list.")
    ] = 0.01,
    mask_share: Annotated[
        float, typer.Option("--mask-share", help="GCC: share of images in a mask list.")
    ] = 0.10,
    pot_percentile: Annotated[
        float, typer.Option("--pot-percentile", help="GCC: percentile where the tail begins.")
    ] = 90.0,
    flow_floor: Annotated[float, typer.Option("--flow-floor", help="GCC: least S_SF of an edge.")] = 0.1,
    no_mask: Annotated[bool, typer.Option("--no-mask", help="GCC: every target is a candidate.")] = False,
    scopes: Annotated[
        str,
        typer.Option(
            "--scopes", help="CLA: sets of images, of classes, folders, all, or a JSON file of names."
        ),
    ] = "classes",
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope", help="CLA: NAME=CYPHER, the images that a query of this atlas returns; repeatable."
        ),
    ] = None,
    screen: Annotated[
        bool, typer.Option("--screen", help="CLA: first-order edges of all layers too (SCREENS).")
    ] = False,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="METHOD.NAME=VALUE, any number of times; `atlas parameters` lists them."),
    ] = None,
    tag: Annotated[
        str | None, typer.Option("--as", help="Keep this beside what is there, under model~TAG.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the model in the atlas.")] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Name of the data set in the atlas.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of everything random.")] = 0,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda (all GPUs), or several: cuda:0,cuda:1.")
    ] = "auto",
    ray: Annotated[
        str | None,
        typer.Option("--ray", help="Compute on a Ray cluster: local, auto, or its head's HOST:PORT."),
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Images per forward pass.")] = 32,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; one a core on a CPU if left out.")
    ] = None,
    spool: Annotated[Path | None, typer.Option("--spool", help="Folder for the spools.")] = None,
    no_load: Annotated[bool, typer.Option("--no-load", help="Write the spools, load nothing.")] = False,
    pictures: Annotated[
        bool,
        typer.Option(
            "--pictures",
            help="Make the evidence pictures of all units that circuits name now, not when one is asked for.",
        ),
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Print sizes, memory and time, and stop.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Go on with more than 50 million relationships.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Go on with an accuracy near chance.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --plan: print it as one JSON document.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Build an atlas of a model from a folder of images. Run again, it goes on where it was cut."""
    from ingest.activations import PassSpec
    from ingest.builds import default_weights
    from ingest.devices import pick_devices
    from ingest.job import IngestSpec, Sides, read_groups
    from ingest.methods.cla_job import ClaParameters
    from ingest.methods.gcc_job import GccParameters
    from ingest.models import ModelSpec
    from ingest.numerics.gcc import Thresholds
    from ingest.parameters import with_settings
    from ingest.stages import check_methods

    if pictures and no_load:
        raise typer.BadParameter("--pictures asks the graph which units circuits name: leave out --no-load")
    if as_json and not plan:
        raise typer.BadParameter("--json prints the plan: give --plan too")
    chosen = tuple(part.strip() for part in methods.split(",") if part.strip())
    check_methods(chosen)
    if scope:
        from atlas.cli.scopes import asked

        scopes = f"{scopes},{asked(scope)}"
    if weights is None and checkpoint is None:
        weights = default_weights(model)
    spec = IngestSpec(
        # Beside a cluster this process only merges, on what it has itself.
        model=ModelSpec(
            *(model, weights, checkpoint, seed),
            device=pick_devices("auto" if ray else device)[0],
            image_size=square(image_size),
        ),
        data=data,
        name=name,
        dataset=dataset,
        tag=tag,
        layers=layers,
        methods=chosen,
        queries=queries,
        classes=classes,
        sides=Sides(judge_share) if groups is None else read_groups(groups),
        seed=seed,
        force=force,
        workers=workers,
        passes=PassSpec(batch=batch),
        gcc=GccParameters(
            root_share=root_share,
            mask_share=mask_share,
            thresholds=Thresholds(
                pot_percentile=pot_percentile, flow_floor=flow_floor, candidate_mask=not no_mask
            ),
        ),
        cla=ClaParameters(scopes=scopes, screen=screen),
    )
    spec = with_settings(spec, settings or ())
    build(
        spec,
        spool=spool,
        into_graph=not no_load,
        pictures=pictures,
        plan=plan,
        as_json=as_json,
        yes=yes,
        quiet=quiet,
        crew=_crew(ray, device, workers),
    )


def _crew(ray: str | None, device: str, workers: int | None) -> AbstractContextManager[Crew | None]:
    """Those who compute in this process's place: a cluster, or a process for each of several devices."""
    from ingest.devices import pick_devices
    from ingest.workers import Processes

    if ray is not None:
        from ingest.cluster import connected, require_ray

        require_ray()
        return connected(ray, device, workers)
    devices = pick_devices(device)
    return Processes(devices) if len(devices) > 1 else nullcontext()


def build(
    spec: IngestSpec,
    *,
    spool: Path | None = None,
    into_graph: bool = True,
    pictures: bool = False,
    plan: bool = False,
    as_json: bool = False,
    yes: bool = False,
    quiet: bool = False,
    crew: AbstractContextManager[Crew | None] | None = None,
) -> None:
    """Run a job, print what it found, and load its spools; ``crew`` computes in this process's place."""
    from atlas.lookup import Table
    from atlas.spool import Spool
    from ingest import estimate, evaluation_gcc
    from ingest.demand import Desk
    from ingest.job import prepare
    from ingest.plan import run

    with console.Progress(quiet=quiet) as progress:
        prepared = prepare(spec, progress=progress)
    for name, reason in prepared.images.skipped:
        console.note(f"skipped {name}: {reason}")
    for name, first in prepared.images.duplicates:
        console.note(f"the same image twice: {name} is {first}")
    if plan:
        rows = tuple({"what": line.what, "amount": line.text} for line in estimate.estimate(prepared))
        answers.show(Table("plan", {}, ("what", "amount"), rows), as_json=as_json)
        return
    many = sum(estimate.relationships(prepared).values())
    if many > MOST_RELATIONSHIPS and not yes:
        raise DataError(
            "this job may write very many relationships",
            where=spec.data,
            expected=f"<= {MOST_RELATIONSHIPS:,}",
            got=f"up to {many:,}",
            next_step="see --plan; narrow it with --layers, --methods or --set, or go on with --yes",
        )
    with console.Progress(quiet=quiet) as progress:
        with crew or nullcontext() as hands:
            result = run(prepared, folders(spool), progress, crew=hands)
        spools, remarks = list(result.spools), list(result.remarks)
        if "gcc" in spec.methods:
            desk = Desk(prepared, result.store)
            gcc = result.spools[1 + spec.methods.index("gcc")].name
            if desk.stage.queries:
                agreement, measures = evaluation_gcc.agreement_gcc(desk, gcc, folders(spool), progress)
                spools.append(agreement)
                remarks.append(f"traversal against exact circuits: {evaluation_gcc.summary(measures)}")
    accuracy = "no classes" if math.isnan(result.accuracy) else f"accuracy {result.accuracy:.4f}"
    neurons = sum(layer.channels for layer in prepared.layers)
    console.note(
        f"{prepared.subject.root}: {len(prepared.images.images):,} images, {len(prepared.layers)} layers, "
        f"{neurons:,} neurons, {accuracy}"
    )
    for remark in remarks:
        console.note(remark)
    if into_graph:
        fill([Spool.open(path) for path in spools], quiet=quiet)
        if pictures:
            from atlas.cli import picture

            with answers.database() as connection:
                picture.make_all(connection, str(prepared.subject.root), quiet=quiet)
    else:
        for path in spools:
            console.answer(str(path))


def parameters(as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List every parameter of every method with its default, as `--set` takes it."""
    from atlas.lookup import Table
    from ingest.job import IngestSpec
    from ingest.models import ModelSpec
    from ingest.parameters import parameters as listed

    rows = tuple(listed(IngestSpec(ModelSpec("resnet50"), Path())))
    answers.show(Table("parameters", {}, ("parameter", "value"), rows), as_json=as_json, as_csv=as_csv)


def register(app: typer.Typer) -> None:
    """Add these commands."""
    app.command()(ingest)
    app.command()(parameters)
