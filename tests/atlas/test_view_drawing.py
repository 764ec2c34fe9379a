"""What is drawn: columns, scores, parts, modules; SVG and HTML that stay well-formed whatever the graph holds."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from atlas.lookup import Subgraph
from atlas.schema import RELATIONSHIP_TYPES
from atlas.views import drawing as drawings
from atlas.views import grouping, html, pictures, svg
from atlas.views.drawing import Caption, Context, Drawing, of_subgraph, of_two
from atlas.views.markup import columns, script_json, shorten, text
from tests.view_examples import AWKWARD, ROOT, layered, small

CAPTION = Caption(AWKWARD, "CLA", statement="MATCH (n) WHERE n.x < 1 RETURN n LIMIT 1")


def drawn() -> Drawing:
    return of_subgraph(CAPTION, small(), Context(["a", "b"]))


def test_columns_stand_in_execution_order_between_images_and_classes() -> None:
    assert drawn().columns == ("Images", "a", "b", "b concepts", "Classes")
    assert of_subgraph(CAPTION, small(), Context(["b", "a"])).columns == (
        "Images",
        "b",
        "b concepts",
        "a",
        "Classes",
    )


def test_parallel_edges_are_one_arc_with_the_strongest_score() -> None:
    arcs = {(a.source, a.target): a for a in drawn().arcs}
    arc = arcs[f"{ROOT}/a/0", f"{ROOT}/b/0"]
    assert (arc.score, arc.strength) == (-0.75, 1.0)
    assert ("edges like it", "2") in arc.detail
    assert arcs[f"{ROOT}/a/1", f"{ROOT}/b/1"].strength == pytest.approx(0.25 / 0.75)


def test_arcs_run_from_image_to_class() -> None:
    found = drawn()
    place = {v.id: found.columns.index(v.column) for v in found.vertices}
    assert all(place[a.source] < place[a.target] for a in found.arcs)


def test_a_node_scores_what_leaves_it_unless_its_circuit_says() -> None:
    scores = {v.id: v.score for v in drawn().vertices}
    assert scores[f"{ROOT}/b/0"] == 2.0
    assert scores["set/c"] == pytest.approx(2.0 + 1.0 - 0.5)
    told = of_subgraph(CAPTION, small(), Context(["a", "b"], {f"{ROOT}/b/0": -7.0}))
    assert {v.id: v.score for v in told.vertices}[f"{ROOT}/b/0"] == -7.0


def test_two_share_what_both_have() -> None:
    first = small()
    second = Subgraph(first.nodes[:4], first.edges[5:6])
    found = of_two(Caption("A and B", parts=("A", "B")), first, second)
    parts = {v.id: v.part for v in found.vertices}
    assert parts[f"{ROOT}/a/0"] == "both"
    assert parts[f"{ROOT}/b/1"] == "first"
    assert {a.part for a in found.arcs if a.type == "ACTIVATED_BY"} == {"both"}
    assert {a.part for a in found.arcs if a.type == "ATTRIBUTES_TO"} == {"first"}
    swapped = of_two(Caption("B and A", parts=("B", "A")), second, first)
    other = {"first": "second", "second": "first", "both": "both"}
    assert {v.id: other[v.part] for v in swapped.vertices} == parts


def test_every_score_is_a_property_of_the_schema() -> None:
    for name, scored in drawings.SCORES.items():
        assert scored in {p.name for p in RELATIONSHIP_TYPES[name].properties}, name
    unscored = {r.type for r in RELATIONSHIP_TYPES.values() if r.scored} - set(drawings.SCORES)
    assert not unscored


def test_svg_is_well_formed_and_complete() -> None:
    found = drawn()
    tree = ElementTree.fromstring(svg.document(found).encode())
    name = "{http://www.w3.org/2000/svg}"
    groups = [g for g in tree.iter(f"{name}g") if "vertex" in g.get("class", "").split()]
    paths = [p for p in tree.iter(f"{name}path") if p.find(f"{name}title") is not None]
    assert (len(groups), len(paths)) == (len(found.vertices), len(found.arcs))
    assert sum("negative" in p.get("class", "") for p in paths) == sum(a.score < 0 for a in found.arcs) == 2
    assert AWKWARD.replace("\x07", "\ufffd") in "".join(tree.itertext())
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", svg.document(found))


def test_html_holds_its_data_and_fetches_nothing() -> None:
    page = html.document(drawn())
    data = json.loads(page.split('id="data">')[1].split("</script>")[0])
    assert [v["id"] for v in data["vertices"]] == [v.id for v in drawn().vertices]
    assert "<b>" not in page
    assert not re.search(r"(src|href)=.(https?:)?//", page)
    assert "default-src 'none'" in page


def test_what_would_end_a_script_cannot() -> None:
    assert "<" not in script_json({"x": "</script><!--"})
    assert json.loads(script_json({"x": "</script>\u2028&"})) == {"x": "</script>\u2028&"}
    assert text("\x00\ud800\"'<") == "\ufffd\ufffd&quot;&#x27;&lt;"


@pytest.mark.parametrize("word", ["layer3.2/117", "数字" * 20, "a" * 50, ""])
def test_long_names_are_cut_to_their_columns(word: str) -> None:
    assert columns(shorten(word, 14)) <= 15
    assert shorten("short", 14) == "short"


def test_large_drawings_are_grouped_by_layer_and_module() -> None:
    large = of_subgraph(CAPTION, layered(8, 250, 6000), Context([f"layer{i}" for i in range(8)]))
    assert len(large.vertices) == 2000
    joined = grouping.readable(large)
    assert len(joined.vertices) <= 8 * (grouping.PER_COLUMN + 1)
    assert sum(v.members for v in joined.vertices) == 2000
    assert joined.columns == large.columns
    counted = sum(int(dict(a.detail)["edges"]) for a in joined.arcs)
    assert counted == len(large.arcs)
    assert sum(a.score for a in joined.arcs) == pytest.approx(sum(a.score for a in large.arcs))
    assert joined == grouping.readable(large)
    assert len(html.document(joined)) < 2_000_000


def test_communities_are_those_that_hang_together() -> None:
    ring = [(f"{g}{i}", f"{g}{(i + 1) % 5}", 1.0) for g in "ab" for i in range(5)]
    found = grouping.communities([f"{g}{i}" for g in "ab" for i in range(5)], [*ring, ("a0", "b0", 0.1)])
    assert len({found[f"a{i}"] for i in range(5)}) == 1
    assert found["a0"] != found["b0"]
    assert grouping.communities(["x", "y"], []) == {"x": 0, "y": 1}


def test_small_drawings_are_left_as_they_are() -> None:
    assert grouping.readable(drawn()) == drawn()


def test_pictures_come_from_the_media_folder_alone(tmp_path: Path) -> None:
    media = tmp_path / "media"
    media.mkdir()
    (media / "a.png").write_bytes(b"png")
    (tmp_path / "secret.png").write_bytes(b"secret")
    (media / "a.txt").write_bytes(b"text")
    assert pictures.data_uri(media, "a.png") == "data:image/png;base64,cG5n"
    for name in ("../secret.png", "missing.png", "a.txt", "", None):
        assert pictures.data_uri(media, name) is None


def test_pictures_stop_at_their_budget_and_count_once(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    (tmp_path / "b.png").write_bytes(b"other")
    found = drawn()
    names = {v.id: "a.png" for v in found.vertices[:-1]} | {found.vertices[-1].id: "b.png"}
    whole = pictures.with_pictures(found, tmp_path, names)
    assert all(v.picture for v in whole.vertices)
    assert svg.document(whole).count("base64,") == 2
    little = pictures.with_pictures(found, tmp_path, names, budget=30)
    assert len({v.picture for v in little.vertices} - {None}) == 1


def test_the_largest_page_stays_below_two_megabytes(tmp_path: Path) -> None:
    found = of_subgraph(CAPTION, layered(8, 37, 3000), Context([f"layer{i}" for i in range(8)]))
    detail = tuple((name, "0.1234567") for name in ("share", "rank_in", "rank_out", "hops", "overlap", "raw"))
    vertices = tuple(replace(v, link="x" * 800) for v in found.vertices)
    found = replace(found, vertices=vertices, arcs=tuple(replace(a, detail=detail) for a in found.arcs))
    for i in range(len(found.vertices)):
        (tmp_path / f"{i}.png").write_bytes(i.to_bytes(2) * 1500)
    names = {v.id: f"{i}.png" for i, v in enumerate(found.vertices)}
    page = html.document(pictures.with_pictures(found, tmp_path, names))
    assert 1_000_000 < len(page.encode()) < 2_000_000
