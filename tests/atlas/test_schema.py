"""The schema is all of the graph, as declared, and the server takes every word of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from atlas.errors import SchemaError
from atlas.schema import (
    NODE_TYPES,
    PROPERTIES,
    RELATIONSHIP_TYPES,
    TABLES,
    Property,
    RelationshipType,
    node_type,
    relationship_type,
    statements,
    table,
)
from atlas.schema.reference import page
from atlas.spool.manifest import LOADER_TABLES
from atlas.store.connection import Connection
from atlas.store.loader import load
from atlas.store.prepare import constrain, introduce

ROOT = Path(__file__).parents[2]
LABELS = [
    "Atlas",
    "Model",
    "Layer",
    "Neuron",
    "Sense",
    "Dictionary",
    "Concept",
    "Class",
    "Dataset",
    "Image",
    "Circuit",
    "Run",
    "ImageSet",
    "Evaluation",
    "Intervention",
]
PATTERNS = [
    "Model-HAS_LAYER-Layer",
    "Layer-HAS_NEURON-Neuron",
    "Layer-HAS_DICTIONARY-Dictionary",
    "Dictionary-HAS_CONCEPT-Concept",
    "Layer-FEEDS-Layer",
    "Dataset-HAS_CLASS-Class",
    "Dataset-HAS_IMAGE-Image",
    "Image-LABELLED-Class",
    "Image-PREDICTED_AS-Class",
    "Run-OF-Model",
    "Run-ON-Dataset",
    "ImageSet-HOLDS-Image",
    "Run-WROTE-Circuit",
    "Model-DERIVED_FROM-Model",
    "Neuron-MATCHES-Neuron",
    "Concept-MATCHES-Concept",
    "Sense-MATCHES-Sense",
    "Layer-MATCHES-Layer",
    "Circuit-MATCHES-Circuit",
    "Evaluation-OF-Circuit",
    "Evaluation-OF-Layer",
    "Evaluation-OF-Dictionary",
    "Evaluation-OF-Run",
    "Intervention-CUTS-Circuit",
    "Intervention-CHANGED-Class",
    "Neuron-ACTIVATED_BY-Image",
    "Image-ACTIVATES-Layer",
    "Neuron-RESPONDS_TO-Class",
    "Neuron-FLOWS_TO-Neuron",
    "Sense-FLOWS_TO-Neuron",
    "Image-ASSIGNED_TO-Sense",
    "Neuron-DRIVES-Neuron",
    "Neuron-ATTRIBUTES_TO-Neuron",
    "Neuron-ATTRIBUTES_TO-Class",
    "Neuron-SCREENS-Neuron",
    "Neuron-SCREENS-Class",
    "Concept-CONTRIBUTES_TO-Concept",
    "Concept-CONTRIBUTES_TO-Class",
    "Image-EXPRESSES-Concept",
    "Concept-LOADS_ON-Neuron",
    "Concept-EXEMPLIFIED_BY-Image",
    "Sense-EXEMPLIFIED_BY-Image",
    "Circuit-EXEMPLIFIED_BY-Image",
    "Neuron-HAS_SENSE-Sense",
    "Neuron-FEEDS_SENSE-Sense",
    "Sense-SERVES-Class",
    "Sense-DRIVES-Neuron",
    "Sense-ATTRIBUTES_TO-Neuron",
    "Class-RELATED_TO-Class",
    "Sense-RESEMBLES-Sense",
    "Circuit-EXPLAINS-Image",
    "Circuit-EXPLAINS-Class",
    "Circuit-EXPLAINS-Neuron",
    "Circuit-EXPLAINS-Concept",
    "Circuit-EXPLAINS-ImageSet",
    "Circuit-INCLUDES-Neuron",
    "Circuit-INCLUDES-Concept",
    "Circuit-MERGED_INTO-Circuit",
]


def test_every_label_and_pattern_of_the_design_is_declared_and_no_other() -> None:
    assert list(NODE_TYPES) == LABELS
    assert sorted(TABLES) == sorted(LABELS + PATTERNS)


def test_every_scored_type_belongs_to_a_run_and_can_be_compared() -> None:
    scored = {r.type for r in RELATIONSHIP_TYPES.values() if r.scored}
    assert scored == {"FLOWS_TO", "DRIVES", "ATTRIBUTES_TO", "SCREENS", "CONTRIBUTES_TO", "FEEDS_SENSE"}
    for name in scored:
        names = [p.name for p in RELATIONSHIP_TYPES[name].properties]
        assert {"share", "rank_in", "rank_out", "hops", "n", "std", "run"} <= set(names)
        assert len(names) == len(set(names))


def test_what_outlives_a_run_remembers_whose_it_is() -> None:
    owned = {n.label for n in NODE_TYPES.values() if n.run} | {"Run"}
    for node in NODE_TYPES.values():
        assert node.run + node.shared + (node.label in LOADER_TABLES) == 1, node.label
    for relationship in RELATIONSHIP_TYPES.values():
        between_shared = not any({a, b} & owned for a, b in relationship.ends)
        # A structural relationship of an owned node goes with it; one between shared nodes would stay behind.
        assert relationship.run or relationship.shared == between_shared, relationship.type


def test_every_property_has_a_meaning() -> None:
    for item in TABLES.values():
        names = [p.name for p in item.columns]
        assert len(names) == len(set(names)), item.name
        assert all(p.meaning for p in item.properties)
    assert {"id", "run", "runs", "circuit", "λ", "lease_until"} <= PROPERTIES


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: node_type("Neurons"), "unknown label: Neurons (expected Neuron, got Neurons)"),
        (lambda: relationship_type("FLOW_TO"), "unknown relationship type: FLOW_TO (expected FLOWS_TO"),
        (
            lambda: table("Neuron-FLOWS-Neuron"),
            "unknown table: Neuron-FLOWS-Neuron (expected Neuron-FLOWS_TO",
        ),
        (lambda: Property("a b", "string", "x"), "bad property declaration"),
        (lambda: Property("a", "number", "x"), "bad property declaration"),  # type: ignore[arg-type]
        (lambda: RelationshipType("A", "x", (), key=("y",)), "key of a relationship names no property"),
    ],
)
def test_unknown_names_are_refused(call: Any, message: str) -> None:
    with pytest.raises(SchemaError) as error:
        call()
    assert message in str(error.value)


JOIN = (
    "{0}.runs = CASE WHEN $run IN coalesce({0}.runs, []) THEN {0}.runs ELSE coalesce({0}.runs, []) + $run END"
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "Class",
            "UNWIND $rows AS row MERGE (n:Class {id: row[0]}) "
            "SET n.name = coalesce(n.name, row[1]), n.ordinal = coalesce(n.ordinal, row[2]), "
            + JOIN.format("n")
            + " RETURN count(*) AS rows",
        ),
        (
            "Intervention",
            "UNWIND $rows AS row MERGE (n:Intervention {id: row[0]}) "
            "SET n.kind = coalesce(row[1], n.kind), n.baseline = coalesce(row[2], n.baseline), "
            "n.seed = coalesce(row[3], n.seed), n.n = coalesce(row[4], n.n), n.run = $run "
            "RETURN count(*) AS rows",
        ),
        (
            "Layer-HAS_NEURON-Neuron",
            "UNWIND $rows AS row MATCH (a:Layer {id: row[0]}) MATCH (b:Neuron {id: row[1]}) "
            "MERGE (a)-[r:HAS_NEURON]->(b) SET " + JOIN.format("r") + " RETURN count(*) AS rows",
        ),
        (
            "Model-DERIVED_FROM-Model",
            "UNWIND $rows AS row MATCH (a:Model {id: row[0]}) MATCH (b:Model {id: row[1]}) "
            "MERGE (a)-[r:DERIVED_FROM {step: row[2]}]->(b) SET "
            + JOIN.format("r")
            + " RETURN count(*) AS rows",
        ),
        (
            "Neuron-HAS_SENSE-Sense",
            "UNWIND $rows AS row MATCH (a:Neuron {id: row[0]}) MATCH (b:Sense {id: row[1]}) "
            "MERGE (a)-[r:HAS_SENSE]->(b) RETURN count(*) AS rows",
        ),
        (
            "Concept-LOADS_ON-Neuron",
            "UNWIND $rows AS row MATCH (a:Concept {id: row[0]}) MATCH (b:Neuron {id: row[1]}) "
            "CREATE (a)-[:LOADS_ON {weight: row[2], rank_out: row[3], run: $run}]->(b) "
            "RETURN count(*) AS rows",
        ),
    ],
)
def test_load_statements(name: str, text: str) -> None:
    assert statements.load(TABLES[name]) == text


def test_other_statements() -> None:
    made = statements.definitions()
    assert made["neuron_id"] == (
        "CREATE CONSTRAINT neuron_id IF NOT EXISTS FOR (n:Neuron) REQUIRE n.id IS UNIQUE"
    )
    assert made["neuron_place"] == (
        "CREATE RANGE INDEX neuron_place IF NOT EXISTS FOR (x:Neuron) ON (x.model, x.layer, x.channel)"
    )
    assert made["drives_circuit"] == (
        "CREATE RANGE INDEX drives_circuit IF NOT EXISTS FOR ()-[x:DRIVES]-() ON (x.circuit)"
    )
    assert made["atlas_text"] == (
        "CREATE FULLTEXT INDEX atlas_text IF NOT EXISTS FOR (x:Model|Layer|Class|Image|Concept) "
        "ON EACH [x.name, x.label]"
    )
    assert made["concept_vector"] == (
        "CREATE VECTOR INDEX concept_vector IF NOT EXISTS FOR (x:Concept) ON (x.vector) "
        "OPTIONS {indexConfig: {`vector.similarity_function`: 'cosine'}}"
    )
    removal = statements.removal()
    assert removal[0] == (
        "MATCH ()-[x:HAS_LAYER]->() WHERE x.runs = [$run] CALL (x) { DELETE x } IN TRANSACTIONS OF 10000 ROWS"
    )
    assert removal[-1] == (
        "MATCH (x:Intervention) WHERE x.run = $run CALL (x) { DETACH DELETE x } IN TRANSACTIONS OF 10000 ROWS"
    )
    assert statements.release({"Neuron": ["q", "senses"]})[10] == (
        "MATCH (x:Neuron) WHERE $run IN x.runs CALL (x) { SET x.runs = [other IN x.runs WHERE other <> $run], "
        "x.senses = null, x.q = null } IN TRANSACTIONS OF 10000 ROWS"
    )


@pytest.mark.server
def test_the_server_takes_every_constraint_and_index(bare_connection: Connection) -> None:
    introduce(bare_connection)
    constrain(bare_connection)
    found = bare_connection.auto(
        "SHOW INDEXES YIELD name, state, type WHERE type <> 'LOOKUP' RETURN name, state"
    ).rows
    assert dict(found) == dict.fromkeys(statements.definitions(), "ONLINE")
    constraints = bare_connection.auto("SHOW CONSTRAINTS YIELD name RETURN collect(name)").rows[0][0]
    assert set(constraints) == {f"{label.lower()}_id" for label in LABELS}


def _check_load_plans(connection: Connection) -> None:
    for item in TABLES.values():
        plan = connection.explain(statements.load(item), {"rows": [], "run": "r"})
        leaves = {node.operator for node in plan.root.walk() if not node.children}
        # Ends are found by their key; an Eager would buffer a whole batch.
        assert leaves <= {"Argument", "Unwind", "NodeUniqueIndexSeek", "NodeUniqueIndexSeek(Locking)"}, (
            item.name
        )
        assert "Eager" not in plan.operators, item.name
        assert plan.notices == (), item.name


@pytest.mark.server
def test_load_statements_plan_well_on_an_empty_and_on_a_full_graph(
    connection: Connection, spools: Any, tmp_path: Path
) -> None:
    introduce(connection)
    constrain(connection)
    connection.auto("CALL db.prepareForReplanning(60)")
    _check_load_plans(connection)
    run = spools.run_record()
    load(spools.write(tmp_path / "s", run, spools.one_of_each(run)), connection)
    _check_load_plans(connection)


@pytest.mark.server
def test_other_statements_draw_no_notice(connection: Connection) -> None:
    introduce(connection)
    wrote = {node.label: [p.name for p in node.own] for node in NODE_TYPES.values() if node.shared}
    ends = [statements.missing_end(item) for item in TABLES.values() if item.start is not None]
    others = [*statements.removal(), *statements.release(wrote), *map(statements.owners, wrote), *ends]
    for statement in others:
        plan = connection.explain(statement, {"run": "r", "rows": []})
        assert (statement, plan.notices) == (statement, ())
        assert "AllNodesScan" not in plan.operators


def test_the_reference_page_is_up_to_date() -> None:
    assert (ROOT / "docs/schema.md").read_text(encoding="utf-8") == page(), "run `make docs`"


def test_the_reference_page_tells_every_name() -> None:
    text = page()
    for item in TABLES.values():
        heading = item.relationship.type if item.relationship is not None else item.name
        assert f"\n### {heading}\n" in text
        assert all(f"| `{p.name}` |" in text for p in item.properties)
