"""A report of more than ten thousand pages: all are written, and every link of every page resolves."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from atlas.figures import Places, Studio
from atlas.report.build import build
from atlas.store import prepare
from atlas.store.connection import Connection

pytestmark = [pytest.mark.server, pytest.mark.slow]
NEURONS = 10_000
LINK = re.compile(r'(?:href|src)="([^"]+)"')

GRAPH = (
    """
    CREATE (m:Model {id: 'net@0123abcd', name: 'net', digest: 'd', weights: 'w'})
    CREATE (d:Dataset {id: 'set', name: 'set', digest: 'd'})-[:HAS_CLASS]->(k:Class {id: 'set/a', name: 'a'})
    CREATE (d)-[:HAS_IMAGE]->(i:Image {id: 'img:0000000000000001', name: 'a/1.png'})-[:LABELLED]->(k)
    CREATE (c:Circuit {id: 'c00000000001', method: 'gcc', target: i.id, size: 2})-[:EXPLAINS]->(i)
    WITH m UNWIND range(0, 9) AS n
    CREATE (m)-[:HAS_LAYER]->(:Layer {id: m.id + '/l' + n, name: 'l' + n, model: m.id, ordinal: n, kind: 'conv',
      channels: $neurons / 10})
    """,
    """
    MATCH (l:Layer), (c:Circuit), (i:Image) UNWIND range(0, $neurons / 10 - 1) AS n
    CREATE (l)-[:HAS_NEURON]->(u:Neuron {id: l.id + '/' + n, layer: l.name, model: l.model, channel: n})
    CREATE (c)-[:INCLUDES {role: 'root', run: 'r1', rank: n}]->(u)
    CREATE (u)-[:ACTIVATED_BY {value: 1.0, rank: 1, x: 1.0, y: 1.0, run: 'r1'}]->(i)
    """,
    """
    MATCH (a:Neuron) WHERE a.layer <> 'l9'
    MATCH (b:Neuron {id: a.model + '/l' + (toInteger(right(a.layer, 1)) + 1) + '/' + a.channel})
    CREATE (a)-[:FLOWS_TO {sensitivity: 0.5, overlap: 0.5, hops: 1, run: 'r1'}]->(b)
    """,
)


@pytest.fixture
def many(connection: Connection) -> Connection:
    prepare.introduce(connection)
    prepare.constrain(connection)
    for statement in GRAPH:
        connection.write(statement, {"neurons": NEURONS}, timeout=0)
    return connection


def test_ten_thousand_pages_hold_together(many: Connection, tmp_path: Path) -> None:
    studio = Studio(many, Places("http://127.0.0.1:7474/browser/", tmp_path))
    site = build(studio, tmp_path / "r", lambda stage, done, total: None)
    assert len(site.written) > NEURONS
    assert site.ready == {}
    there = {str(path.relative_to(tmp_path / "r")) for path in (tmp_path / "r").rglob("*") if path.is_file()}
    for name in site.written:
        folder = Path(name).parent
        for link in LINK.findall((tmp_path / "r" / name).read_text(encoding="utf-8")):
            if not link.startswith(("http:", "data:", "#")):
                target = unquote(link)
                path = target[3:] if target.startswith("../") else str(folder / target)
                assert path in there, f"{name}: {link}"
