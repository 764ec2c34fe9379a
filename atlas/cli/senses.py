"""`atlas splits`: polysemantic neurons, the senses of one, and what a sense is made of and does."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from atlas import address
from atlas.cli import answers, console
from atlas.cli.answers import AsCsv, AsJson, Browser, Limit, OfModel
from atlas.cli.jobs import Device, opened
from atlas.cli.picture import Pictures
from atlas.errors import DataError

if TYPE_CHECKING:
    from atlas.lookup import Table
    from atlas.store.connection import Connection

SHOWN = 8


class Find(StrEnum):
    """What else can be asked of all neurons at once."""

    unrelated = "unrelated"
    alike = "alike"
    joined = "joined"


_FIND = {
    Find.unrelated: "senses_serving_unrelated_classes",
    Find.alike: "senses_alike",
    Find.joined: "classes_joined_by_one_neuron",
}


def splits(
    neuron: Annotated[
        str | None,
        typer.Argument(metavar="[NEURON]", help="A neuron or one sense: layer3.2/117, layer3.2/117:0"),
    ] = None,
    layer: Annotated[str | None, typer.Option("--layer", help="Only neurons of this layer.")] = None,
    class_: Annotated[
        str | None, typer.Option("--class", help="Only neurons of which one sense serves this class.")
    ] = None,
    least: Annotated[
        int | None, typer.Option("--least", min=1, help="References that the smallest sense has at least.")
    ] = None,
    find: Annotated[
        Find | None,
        typer.Option(
            "--find",
            help="unrelated: senses that serve unrelated classes; alike: the same sense in several neurons of a layer; "
            "joined: classes that meet in one neuron only.",
        ),
    ] = None,
    image: Annotated[
        Path | None, typer.Option("--image", help="With NEURON: the sense in which this image activates it.")
    ] = None,
    ablate: Annotated[
        bool,
        typer.Option("--ablate", help="With NEURON: remove the inputs of each sense, and of random ones."),
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option(
            "--picture", help="With NEURON: a PNG with a map of its references and what each sense sees."
        ),
    ] = None,
    map_: Annotated[
        str, typer.Option("--map", help="With --picture: pca, or umap with the extra umap.")
    ] = "pca",
    pictures: Pictures = False,
    of: OfModel = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
    limit: Limit = None,
    browser: Browser = False,
    device: Device = "auto",
) -> None:
    """Polysemantic neurons, the most certain first; or one neuron's senses, their images, inputs and classes."""
    with answers.database() as connection:
        if neuron is None:
            if image is not None or ablate or picture is not None:
                raise DataError(
                    "name the neuron",
                    expected="atlas splits NEURON --image F, --ablate or --picture F",
                    got="none",
                )
            name, params = _asked(find, layer, class_, least, of)
        else:
            from atlas import resolve

            found = resolve.address(connection, neuron)
            if picture is not None:
                _draw(connection, found, picture, map_, device)
            if image is not None or ablate:
                table = _run(connection, found, image, device)
                answers.show(table, as_json=as_json, as_csv=as_csv)
                return
            sense = address.parse(found).kind == "Sense"
            name, params = (
                ("sense_edges", {"sense": found}) if sense else ("senses_of_neuron", {"neuron": found})
            )
        if browser:
            console.answer(answers.browser_link(connection, name, params))
            return
        table = _print(
            connection, name, {**params, **answers.given(limit=limit)}, as_json=as_json, as_csv=as_csv
        )
        if pictures and not (as_json or as_csv):
            _show_senses(connection, table)


def _asked(
    find: Find | None, layer: str | None, class_: str | None, least: int | None, of: str | None
) -> tuple[str, dict[str, Any]]:
    """The catalogue's query over all neurons, and its arguments."""
    if find is None:
        return "polysemantic_neurons", answers.given(model=of, layer=layer, least=least) | answers.given(
            **{"class": class_}
        )
    if class_ is not None or least is not None or (find is Find.joined and layer is not None):
        raise DataError(
            "these filters do not go together", where=f"--find {find}", expected="--layer at most"
        )
    if find is Find.alike and layer is None:
        raise DataError("name the layer", where="--find alike", expected="--layer LAYER", got="none")
    return _FIND[find], answers.given(layer=layer) | (
        answers.given(model=of) if find is not Find.alike else {}
    )


def _print(
    connection: Connection, name: str, params: dict[str, Any], *, as_json: bool, as_csv: bool
) -> Table:
    from atlas import lookup

    table = lookup.run(connection, name, params, draw=as_json)
    answers.show(table, as_json=as_json, as_csv=as_csv)
    if as_json or as_csv:
        return table
    if name == "senses_of_neuron":
        for row in table.rows:
            images = lookup.run(connection, "sense_images", {"sense": row["sense"], "limit": SHOWN})
            answers.show(images, heading=f"\n{_short(row['sense'])}: its most typical images")
    if name == "sense_edges":
        images = lookup.run(connection, "sense_images", {"sense": params["sense"], "limit": SHOWN})
        answers.show(images, heading="\nits most typical images")
    return table


def _show_senses(connection: Connection, table: Table) -> None:
    """Thumbnails of the senses or neurons in a table: several images of each sense, the best one of each neuron."""
    from atlas import lookup
    from atlas.cli import picture

    senses = [table.params["sense"]] if table.name == "sense_edges" else []
    senses += [row["sense"] for row in table.rows if "sense" in row]
    for sense in dict.fromkeys(senses):
        images = lookup.run(connection, "sense_images", {"sense": sense, "limit": picture.EACH})
        shown = [(row["image"], row["name"]) for row in images.rows]
        if not picture.show(connection, shown, heading=_short(sense)):
            return
    if not senses:
        shown = [(row["neuron"], _short(row["neuron"])) for row in table.rows if "neuron" in row]
        picture.show(connection, shown)


def _short(identity: str) -> str:
    """An address without its root."""
    return identity.partition("/")[2]


def _run(connection: Connection, found: str, image: Path | None, device: str) -> Table:
    """What runs the model again: the sense of an image, or the effect of taking senses away."""
    from atlas.lookup import Table
    from ingest.senses import SenseDesk

    job, _ = opened(connection, found.split("/")[0], "pure", device)
    desk = SenseDesk(job)
    neuron = desk.neuron(found)
    rows = [desk.assign(neuron, image)] if image is not None else desk.ablate(neuron)
    name = "sense_of_image" if image is not None else "sense_ablation"
    given = {"neuron": neuron.id} | ({"image": str(image)} if image is not None else {})
    return Table(name, given, tuple(rows[0]), tuple(rows))


def _draw(connection: Connection, found: str, picture: Path, method: str, device: str) -> None:
    from ingest.pictures.senses import picture_of, write_png

    job, _ = opened(connection, found.split("/")[0], "pure", device)
    write_png(picture_of(job, found, method), picture)
    console.note(f"drawn to {picture}")


def circuit(query: str, of: str | None, *, as_json: bool, limit: int | None, browser: bool) -> None:
    """`atlas circuit X --senses`: a circuit (of an image the largest) with the sense of each end, or through one."""
    with answers.database() as connection:
        name, params = _through(connection, query, of)
        if browser:
            console.answer(answers.browser_link(connection, name, params))
            return
        params |= answers.given(limit=limit)
        _print(connection, name, params, as_json=as_json, as_csv=False)


def _through(connection: Connection, query: str, of: str | None) -> tuple[str, dict[str, Any]]:
    from atlas import resolve
    from atlas.cli.circuit import named, own_circuits

    if re.search(r"/\d+:\d+$", query):
        return "sense_edges", {"sense": resolve.sense(connection, query)}
    kind, found = named(connection, query)
    if kind == "image":
        circuits = own_circuits(connection, {"image": found, **answers.given(model=of)}, 1)
        if not circuits.rows:
            raise DataError(
                "no exact circuit of this image is stored",
                where=query,
                next_step="`atlas circuit IMAGE --exact`",
            )
        kind, found = "circuit", str(circuits.rows[0]["circuit"])
    if kind != "circuit":
        raise DataError(
            "senses are told of", where=query, expected="a circuit, an image or a sense", got=kind
        )
    return "circuit_senses", {"circuit": found}


def register(app: typer.Typer) -> None:
    """Add this command."""
    app.command()(splits)
