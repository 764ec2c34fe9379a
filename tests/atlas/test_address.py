"""Addresses: what is printed can be parsed, what is not an address is refused."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas import address
from atlas.address import Address, Root
from atlas.errors import AddressError

names = st.text(min_size=1, max_size=12).filter(lambda s: s.isprintable())
roots = st.builds(Root, names, st.text("0123456789abcdef", min_size=8, max_size=8), st.none() | names)
number = st.integers(0, 10**6)
addresses = st.one_of(
    st.builds(Address, st.none() | roots, names),
    st.builds(Address, st.none() | roots, names, channel=number),
    st.builds(Address, st.none() | roots, names, channel=number, sense=number),
    st.builds(Address, st.none() | roots, names, concept=number, dictionary=st.none() | names),
)


@given(addresses)
def test_parse_undoes_print(value: Address) -> None:
    assert address.parse(str(value)) == value


@given(roots)
def test_parse_root_undoes_print(value: Root) -> None:
    assert address.parse_root(str(value)) == value


@given(names, names)
def test_parse_class_undoes_class_id(dataset: str, name: str) -> None:
    assert address.parse_class(address.class_id(dataset, name)) == (dataset, name)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("resnet50@9f2c1a7b/layer3.2", "Layer"),
        ("layer3.2/117", "Neuron"),
        ("resnet50@9f2c1a7b~half/layer3.2/117", "Neuron"),
        ("layer3.2/c42", "Concept"),
        ("layer3.2/sae.c42", "Concept"),
        ("layer4.2/117:0", "Sense"),
    ],
)
def test_designed_forms(text: str, kind: str) -> None:
    value = address.parse(text)
    assert (value.kind, str(value)) == (kind, text)


@pytest.mark.parametrize(
    "text", ["", "/3", "a/b/c/d", "a/x3", "m@xyz/l/1", "m@9f2c1a7b", "layer:1/3", "l/-1"]
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(AddressError, match="expected"):
        address.parse(text)


@pytest.mark.parametrize("text", ["", "digits", "/a", "a/", "a/b/c"])
def test_not_a_class(text: str) -> None:
    with pytest.raises(AddressError):
        address.parse_class(text)


def test_under_completes_a_short_form() -> None:
    root = Root("resnet50", "9f2c1a7b")
    assert str(address.parse("layer3.2/117").under(root)) == "resnet50@9f2c1a7b/layer3.2/117"


def test_image_id_is_the_digest_of_the_bytes() -> None:
    assert address.image_id(b"abc") == "img:" + hashlib.sha256(b"abc").hexdigest()[:16]
    assert address.is_image_id(address.image_id(b""))
    assert not address.is_image_id("img:xyz")


def test_run_id_depends_on_what_makes_the_run_and_on_nothing_else() -> None:
    base = ("m@00000000", "d", "gcc", "1", {"a": 1, "b": 2}, 0)
    same = address.run_id("m@00000000", "d", "gcc", "1", {"b": 2, "a": 1}, 0)
    assert address.run_id(*base) == same
    assert len(same) == 11
    changed = [("x", *base[1:]), (*base[:2], "cla", *base[3:]), (*base[:4], {"a": 1}, 0), (*base[:5], 1)]
    assert len({address.run_id(*c) for c in changed} | {same}) == 5


@given(st.text(max_size=20), st.text(max_size=20))
def test_short_ids_are_short_and_tell_their_parts_apart(a: str, b: str) -> None:
    value = address.short_id("c", a, b)
    assert len(value) == 12
    assert set(value) <= set("abcdefghijklmnopqrstuvwxyz0123456789")
    assert value != address.short_id("c", a + "\0" + b + "x")
