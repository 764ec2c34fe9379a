"""Cypher as tokens: enough of the language to check a query file and to fill in its parameters.

The server remains the authority; what is read here is names, parameters, write clauses and the shape of the
last ``RETURN``. Positions are offsets into the text, so that errors can name a line.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from atlas.errors import QueryError

TokenKind = Literal["word", "name", "number", "string", "param", "symbol"]

_WRITES = "CREATE MERGE SET DELETE DETACH REMOVE FOREACH DROP ALTER GRANT DENY REVOKE LOAD INSERT"
WRITE_CLAUSES = frozenset(f"{_WRITES} USE TERMINATE SHOW".split())
READING_PROCEDURES = ("db.index.vector.queryNodes", "db.index.fulltext.queryNodes")
EACH = "each_"
_OPEN, _CLOSE = "([{", ")]}"
_TOKEN = re.compile(
    r"(?P<blank>\s+|//[^\n]*|/\*.*?\*/)"
    r"|(?P<string>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<name>`(?:[^`]|``)*`)"
    r"|\$(?P<param>\w+)"
    r"|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<word>[^\W\d]\w*)"
    r"|(?P<symbol>\.\.|<=|>=|<>|=~|[^\s\w'\"`$])",
    re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """One token; ``within`` is the chain of open brackets before it, outermost first."""

    kind: TokenKind
    text: str
    start: int
    within: str = ""

    @property
    def keyword(self) -> str:
        """The word in upper case, empty for anything else."""
        return self.text.upper() if self.kind == "word" else ""


@dataclass(frozen=True)
class Named:
    """A label, relationship type or property that a query names."""

    kind: Literal["label", "type", "property"]
    name: str
    start: int


@dataclass(frozen=True)
class Ending:
    """The last ``RETURN``: its columns, what it is ordered by, and whether it has a limit.

    A column without an alias and an order by an expression are None.
    """

    columns: tuple[str | None, ...]
    order: tuple[str | None, ...]
    limited: bool
    start: int


@lru_cache(maxsize=256)
def tokens(text: str) -> tuple[Token, ...]:
    """Split a statement; comments and white space vanish.

    Raises QueryError with the offset in ``where`` for an open string, comment or bracket.
    """
    found: list[Token] = []
    brackets: list[str] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or (match["symbol"] == "/" and text.startswith("/*", position)):
            raise QueryError(
                "cannot be read as Cypher", where=position, got=repr(text[position : position + 20])
            )
        kind = match.lastgroup
        if kind != "blank":
            value = match[kind or 0]
            closes = kind == "symbol" and value in _CLOSE
            if closes and (not brackets or _CLOSE.index(value) != _OPEN.index(brackets.pop())):
                raise QueryError("a bracket closes that was not opened", where=position, got=value)
            found.append(Token(kind, value, match.start(), "".join(brackets)))  # type: ignore[arg-type]
            if value in _OPEN and kind == "symbol":
                brackets.append(value)
        position = match.end()
    if brackets:
        raise QueryError("a bracket stays open", where=len(text) - 1, got=brackets[-1])
    return tuple(found)


def parameters(text: Sequence[Token]) -> frozenset[str]:
    """Names of the parameters used."""
    return frozenset(token.text for token in text if token.kind == "param")


def write_clause(text: Sequence[Token]) -> Token | None:
    """The first clause that is not a question, if there is one; calls of other procedures than these count as such."""
    for i, (before, token, after) in enumerate(_neighbours(text)):
        if token.keyword in WRITE_CLAUSES and before.upper() not in (".", ":", "AS") and after != ":":
            return token
        if (
            token.keyword == "CALL"
            and after not in ("(", "{")
            and _called(text[i + 1 :]) not in READING_PROCEDURES
        ):
            return token
    return None


def names(text: Sequence[Token]) -> Iterator[Named]:
    """Labels, relationship types and properties in order of appearance.

    A key of a map that the query itself makes is not a property, nor is reading that key, nor a dotted function.
    """
    functions = _dotted_functions(text)
    maps = _map_braces(text)
    made = {t.text for i, t in enumerate(text) if _is_key(text, i) and not _in_pattern(text, i, maps)}
    kind: Literal["label", "type"] | None = None
    for i, token in enumerate(text):
        before = text[i - 1].text if i else ""
        if token.kind == "symbol":
            if token.text == ":" and not (i and _is_key(text, i - 1)):
                kind = "type" if token.within.endswith("[") else "label"
            elif token.text not in "|!":
                kind = None
        elif token.kind in ("word", "name"):
            if kind and before in (":", "|", "!"):
                yield Named(kind, token.text.strip("`"), token.start)
            elif (before == "." and token.text not in made and i not in functions) or (
                _is_key(text, i) and _in_pattern(text, i, maps)
            ):
                yield Named("property", token.text.strip("`"), token.start)
            if before not in (":", "|", "!"):
                kind = None


def ending(text: Sequence[Token]) -> Ending | None:
    """The last ``RETURN`` outside all brackets, or None if there is none."""
    outer = [i for i, token in enumerate(text) if token.keyword == "RETURN" and not token.within]
    if not outer:
        return None
    tail = text[outer[-1] + 1 :]
    cuts = {
        t.keyword: i for i, t in enumerate(tail) if not t.within and t.keyword in ("ORDER", "SKIP", "LIMIT")
    }
    end = min(cuts.values(), default=len(tail))
    columns = tail[:end]
    if columns and columns[0].keyword == "DISTINCT":
        columns = columns[1:]
    order: list[str | None] = []
    if "ORDER" in cuts:
        stop = min((i for i in cuts.values() if i > cuts["ORDER"]), default=len(tail))
        order = [_sort_name(item) for item in _commas(tail[cuts["ORDER"] + 2 : stop])]
    return Ending(
        tuple(_alias(item) for item in _commas(columns)), tuple(order), "LIMIT" in cuts, text[outer[-1]].start
    )


def unions(text: Sequence[Token]) -> Token | None:
    """A ``UNION`` outside all brackets, if there is one."""
    return next((token for token in text if token.keyword == "UNION" and not token.within), None)


def fill(text: str, values: Mapping[str, object]) -> str:
    """The statement with literals in place of its parameters.

    Raises QueryError for a value without a literal, KeyError for a missing one.
    """
    parts, position = [], 0
    for token in tokens(text):
        if token.kind == "param":
            parts += [text[position : token.start], literal(values[token.text])]
            position = token.start + 1 + len(token.text)
    return "".join([*parts, text[position:]])


def each(text: str, parameter: str, columns: Sequence[str]) -> str:
    """The statement asked of every value of the list ``$parameter`` in turn; its first column is then the value.

    ``text`` is the statement for one value, in ``$parameter``.
    """
    parts, position = [], 0
    for token in tokens(text):
        if token.kind == "param" and token.text == parameter:
            parts += [text[position : token.start], EACH]
            position = token.start + 1 + len(parameter)
        elif token.kind == "symbol" and token.text == "{" and text[: token.start].endswith("CALL () "):
            # A subquery sees only what it names.
            parts += [text[position : token.start - 2], EACH, text[token.start - 2 : token.start]]
            position = token.start
    inner = "".join([*parts, text[position:]])
    returned = ", ".join([EACH, *(f"`{name}`" for name in columns)])
    return f"UNWIND ${parameter} AS {EACH}\nCALL ({EACH}) {{\n{inner}\n}}\nRETURN {returned}"


def literal(value: object) -> str:
    """A value as a Cypher literal; ``&`` and ``#`` are escaped, because Browser would cut a link there.

    Raises QueryError for a value that has none.
    """
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, str):
        return "'" + "".join(_escaped(c) for c in value) + "'"
    if isinstance(value, Mapping):
        pairs = (f"`{str(k).replace('`', '``')}`: {literal(v)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(literal(item) for item in value) + "]"
    raise QueryError("a value that Cypher cannot write down", got=repr(value))


def _escaped(c: str) -> str:
    if c in "\\'":
        return "\\" + c
    return f"\\u{ord(c):04x}" if c in "&#" or ord(c) < 32 else c


def _called(text: Sequence[Token]) -> str:
    """The dotted name that a ``CALL`` is followed by."""
    end = next(
        (i for i, token in enumerate(text) if token.kind not in ("word", "name") and token.text != "."), 0
    )
    return "".join(token.text for token in text[:end])


def _dotted_functions(text: Sequence[Token]) -> set[int]:
    """Indices of the words of dotted names that are called, as in ``vector.similarity.cosine(…)``."""
    found: set[int] = set()
    for i, token in enumerate(text):
        if token.text == "(" and i and text[i - 1].kind == "word":
            found.add(i - 1)
    for i in range(len(text) - 3, -1, -1):
        if i + 2 in found and text[i + 1].text == "." and text[i].kind == "word":
            found.add(i)
    return found


def _neighbours(text: Sequence[Token]) -> Iterator[tuple[str, Token, str]]:
    padded = ["", *(t.text for t in text), ""]
    for i, token in enumerate(text):
        yield padded[i], token, padded[i + 2]


def _is_key(text: Sequence[Token], i: int) -> bool:
    """Whether the token is a key of a map, of a pattern or of an expression."""
    token = text[i]
    if not token.within.endswith("{") or token.kind not in ("word", "name") or i + 1 >= len(text):
        return False
    return text[i + 1].text == ":" and text[i - 1].text in ("{", ",")


def _map_braces(text: Sequence[Token]) -> dict[int, int]:
    """For each token index inside braces, the index of the nearest brace that is still open."""
    stack: list[int] = []
    nearest: dict[int, int] = {}
    for i, token in enumerate(text):
        if token.kind == "symbol" and token.text == "}":
            stack.pop()
        if stack:
            nearest[i] = stack[-1]
        if token.kind == "symbol" and token.text == "{":
            stack.append(i)
    return nearest


def _in_pattern(text: Sequence[Token], i: int, maps: Mapping[int, int]) -> bool:
    """Whether the map around a key is part of a pattern, as in ``(n:Neuron {id: $id})``."""
    brace = maps[i]
    if not brace:
        return False
    before = text[brace - 1]
    return before.kind in ("word", "name") and brace > 1 and text[brace - 2].text in (":", "|", "(", "[")


def _commas(text: Sequence[Token]) -> list[list[Token]]:
    items: list[list[Token]] = [[]]
    depth = len(text[0].within) if text else 0
    for token in text:
        if token.text == "," and token.kind == "symbol" and len(token.within) == depth:
            items.append([])
        else:
            items[-1].append(token)
    return items


def _alias(item: Sequence[Token]) -> str | None:
    if len(item) > 1 and item[-2].keyword != "AS":
        return None
    return item[-1].text.strip("`") if item and item[-1].kind in ("word", "name") else None


def _sort_name(item: Sequence[Token]) -> str | None:
    if len(item) > 1 and item[-1].keyword in ("ASC", "ASCENDING", "DESC", "DESCENDING"):
        item = item[:-1]
    return item[0].text.strip("`") if len(item) == 1 and item[0].kind in ("word", "name") else None
