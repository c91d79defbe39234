"""Templates of actions.

Source   EMQX 4.4, emqx_rule_utils_SUITE and its pages of actions
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.plugins.rules.sql import template

pytestmark = pytest.mark.plain

COLUMNS: dict[str, Any] = {
    "topic": "t/a",
    "qos": 1,
    "flag": True,
    "ratio": 2.0,
    "nothing": None,
    "map": {"a": [1, {"b": None}]},
    "payload": b'{"x":{"y":"z","n":null},"list":[1,"a"]}',
    "selected": {"name": "n"},
}

FILLED = {
    "no place": "no place",
    "": "",
    "${topic}": "t/a",
    "a${topic}b${qos}c": "at/ab1c",
    "${flag} ${ratio}": "true 2.0",
    "${missing} ${nothing} ${topic.x}": "undefined undefined undefined",
    "${map}": '{"a":[1,{"b":null}]}',
    "${payload}": '{"x":{"y":"z","n":null},"list":[1,"a"]}',
    "${payload.x.y} ${payload.x} ${payload.list}": 'z {"y":"z","n":null} [1,"a"]',
    "${payload.x.n} ${payload.x.m}": "null undefined",
    "${selected.name}": "n",
    "$topic ${} ${a b} ${topic": "$topic ${} ${a b} ${topic",
    "$${topic}": "$t/a",
}


@pytest.mark.parametrize(("text", "filled"), FILLED.items(), ids=list(FILLED))
def test_places_are_filled(text: str, filled: str) -> None:
    assert template(text)(COLUMNS) == filled
    assert template(text).encoded(COLUMNS) == filled.encode()


def test_what_is_filled_in_is_no_template() -> None:
    assert template("${a}")({"a": "${b}", "b": "x"}) == "${b}"


def test_bytes_stay_bytes_and_are_replaced_in_a_text() -> None:
    columns = {"payload": b"\xff\x00"}
    assert template("<${payload}>").encoded(columns) == b"<\xff\x00>"
    assert template("<${payload}>")(columns) == "<\ufffd\x00>"


def test_a_place_in_a_payload_that_is_not_json_is_undefined() -> None:
    assert template("${payload.x}")({"payload": b"{"}) == "undefined"


def test_values_are_those_of_the_places_in_order() -> None:
    assert template("(${qos}, ${map.a}, ${payload.x.y})").values(COLUMNS) == [
        1,
        [1, {"b": None}],
        "z",
    ]
    assert template("${payload}").values({"payload": b"a"}) == ["a"]
    assert template("${payload}").values({"payload": b"\xff"}) == [b"\xff"]


@given(st.text(), st.binary())
def test_any_text_and_payload_are_filled(text: str, payload: bytes) -> None:
    filled = template(f"{text}${{payload}}").encoded({"payload": payload})
    assert filled.endswith(payload)
