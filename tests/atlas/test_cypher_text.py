"""Cypher as tokens: what the checks of a query file rest on."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas import cypher_text
from atlas.errors import QueryError


def named(text: str) -> list[tuple[str, str]]:
    return [(found.kind, found.name) for found in cypher_text.names(cypher_text.tokens(text))]


def test_strings_comments_and_names_hide_what_they_hold() -> None:
    text = "MATCH (n {id: 'a $b // c', name: \"it''s\"}) // $d\n/* $e */ WHERE n.`$f` = $g RETURN n AS n"
    assert cypher_text.parameters(cypher_text.tokens(text)) == {"g"}


def test_an_escaped_quote_does_not_end_a_string() -> None:
    assert [t.text for t in cypher_text.tokens(r"RETURN 'a\'b' AS x")][1] == r"'a\'b'"


@pytest.mark.parametrize("text", ["RETURN 'a", "RETURN (1", "RETURN 1)", "RETURN [1)", "RETURN `a", "/* a"])
def test_what_stays_open_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        cypher_text.tokens(text)


def test_names_of_a_query() -> None:
    text = (
        "MATCH (n:Neuron {id: $id})-[r:DRIVES|FLOWS_TO {circuit: $c}]->(:Layer) WHERE n:Sense OR n.mean > 0 "
        "WITH {layer: n, many: 1} AS made, [x IN xs | {y: x}] AS ys WHERE made.many = r.hops "
        "CALL (made) { MATCH (c:Circuit) RETURN c.size AS s } RETURN COUNT { (:Image) } AS n, xs[0..2] AS t"
    )
    assert named(text) == [
        ("label", "Neuron"),
        ("property", "id"),
        ("type", "DRIVES"),
        ("type", "FLOWS_TO"),
        ("property", "circuit"),
        ("label", "Layer"),
        ("label", "Sense"),
        ("property", "mean"),
        ("property", "hops"),
        ("label", "Circuit"),
        ("property", "size"),
        ("label", "Image"),
    ]


def test_a_dotted_function_is_no_property() -> None:
    text = "MATCH (n) RETURN vector.similarity.cosine(n.vector, $v) AS a, abs(n.gig) AS b, (n.share) AS c"
    assert named(text) == [("property", "vector"), ("property", "gig"), ("property", "share")]


@pytest.mark.parametrize(
    "text",
    [
        "CREATE (n)",
        "MATCH (n) SET n.x = 1",
        "MATCH (n) detach delete n",
        "MATCH (n) REMOVE n.x",
        "LOAD CSV FROM 'x' AS l RETURN l",
        "CALL db.labels() YIELD label RETURN label",
        "MATCH (n) CALL (n) { MERGE (m) } RETURN 1",
        "FOREACH (x IN [1] | CREATE (n))",
        "SHOW SETTINGS",
    ],
)
def test_a_clause_that_is_not_a_question_is_found(text: str) -> None:
    assert cypher_text.write_clause(cypher_text.tokens(text)) is not None


@pytest.mark.parametrize(
    "text",
    [
        "MATCH (n) RETURN n.set AS x",
        "RETURN {set: 1} AS x",
        "MATCH (n:Set) RETURN 'CREATE' AS x",
        "MATCH (c) RETURN c.drop AS drop",
        "CALL () { RETURN 1 AS x } RETURN x",
        "CALL db.index.vector.queryNodes('i', 3, $v) YIELD node AS n RETURN n.id AS id",
    ],
)
def test_a_question_is_left_alone(text: str) -> None:
    assert cypher_text.write_clause(cypher_text.tokens(text)) is None


def test_the_ending_is_that_of_the_outer_return() -> None:
    text = (
        "CALL () { RETURN 1 AS inner ORDER BY inner LIMIT 1 } RETURN DISTINCT inner, f(a, b) AS c, [d, e] AS `g`, "
        "n.x ORDER BY n.x DESC, c ASC, g LIMIT $k"
    )
    end = cypher_text.ending(cypher_text.tokens(text))
    assert end is not None
    assert (end.columns, end.order, end.limited) == (("inner", "c", "g", None), (None, "c", "g"), True)


def test_parameters_are_filled_where_they_stand_only() -> None:
    text = "MATCH (n {id: $id}) WHERE n.name = '$id' RETURN n.x[..$k] AS x // $id"
    filled = cypher_text.fill(text, {"id": "a'b", "k": 3})
    assert filled == r"MATCH (n {id: 'a\'b'}) WHERE n.name = '$id' RETURN n.x[..3] AS x // $id"


def test_a_literal_holds_nothing_that_ends_a_browser_link() -> None:
    assert cypher_text.literal("a&b#c\n") == "'a\\u0026b\\u0023c\\u000a'"
    assert cypher_text.literal({"a b": [1, None, True, 0.5]}) == "{`a b`: [1, null, true, 0.5]}"


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), b"x"])
def test_what_has_no_literal_is_refused(value: object) -> None:
    with pytest.raises(QueryError):
        cypher_text.literal(object() if isinstance(value, bytes) else value)


@given(st.text())
def test_a_string_stays_one_token_whatever_it_holds(text: str) -> None:
    found = cypher_text.tokens(f"RETURN {cypher_text.literal(text)} AS x")
    assert [token.kind for token in found] == ["word", "string", "word", "word"]


def test_a_statement_for_each_value_of_a_list() -> None:
    text = "CALL () {\n  MATCH (n {id: $unit}) RETURN n LIMIT $limit // $unit\n}\nRETURN n.id AS id, '$unit' AS word"
    assert cypher_text.each(text, "unit", ("id", "word")) == (
        "UNWIND $unit AS each_\nCALL (each_) {\n"
        "CALL (each_) {\n  MATCH (n {id: each_}) RETURN n LIMIT $limit // $unit\n}\n"
        "RETURN n.id AS id, '$unit' AS word\n}\nRETURN each_, `id`, `word`"
    )
