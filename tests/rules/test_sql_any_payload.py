"""Whatever a message brings, a statement gives rows or raises RuleError."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nanomq_py.plugins.rules.sql import RuleError, Statement, json_text, parse
from nanomq_py.plugins.rules.sql.functions.all import FUNCTIONS

pytestmark = pytest.mark.plain

VALUE = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
        st.sampled_from(
            ["1", "-1.5", "1e400", "t/#", "+08:00", "second", "%Y", '{"a":1}', "[1]"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["a", "b", "topic"]), inner, max_size=3),
    ),
    max_leaves=8,
)

ARGUMENTS = ("payload.a", "payload.b", "payload.c", "payload.a", "payload.b", "payload.c")


def calls() -> list[Statement]:
    """Return each function, with each number of arguments."""
    return [
        parse(f"SELECT {name}({', '.join(ARGUMENTS[:count])}) AS x FROM t")
        for name, function in FUNCTIONS.items()
        for count in range(function.least, min(len(function.checks), len(ARGUMENTS)) + 1)
    ]


CALLS = calls()
OTHERS = [
    parse(sql)
    for sql in (
        "SELECT payload.a + payload.b AS x, payload.a * payload.b AS y FROM t",
        "SELECT payload.a / payload.b AS x FROM t WHERE payload.a < payload.b",
        "SELECT payload.a div payload.b AS x, payload.a mod payload.b AS y FROM t",
        "SELECT -payload.a AS x, payload.a - payload.b AS y FROM t",
        "SELECT * FROM t WHERE payload.a = payload.b OR payload.a =~ payload.c",
        "SELECT * FROM t WHERE payload.a",
        "SELECT * FROM t WHERE payload.a IN (payload.b, payload.c) AND NOT payload.b",
        "SELECT payload.a[payload.b].c[1..-1] AS x, payload.c AS payload.a[payload.b].c FROM t",
        "SELECT payload.a AS payload, payload.b AS payload.c[-1], payload, * FROM t",
        "SELECT CASE payload.a WHEN payload.b THEN 1 WHEN payload.c THEN 2 END AS x FROM t",
        "FOREACH payload.a AS payload DO payload.b AS x INCASE payload.c > 1 FROM t",
        "FOREACH payload.a, payload.b DO item.a.b, item INCASE item = payload.c FROM t",
    )
]


def check(statement: Statement, payload: Any) -> None:
    try:
        rows = statement.run({"payload": payload, "topic": "t/a", "qos": 1})
    except RuleError as fault:
        assert str(fault)
        assert "Error" not in str(fault), fault  # a reason, not the name of an exception
    else:
        assert all(type(row) is dict for row in rows)
        json_text(rows)


@given(a=VALUE, b=VALUE, c=VALUE)
@example(a=1e308, b=10, c=None)
@example(a="a", b=10**9, c="x")
@example(a=[1], b=-(2**63), c=0)
@example(a="\0", b="\0", c="\0")
def test_any_value_is_taken_or_refused_by_every_function(a: Any, b: Any, c: Any) -> None:
    payload = orjson.dumps({"a": a, "b": b, "c": c})
    for statement in (*CALLS, *OTHERS):
        check(statement, payload)


@given(st.one_of(st.binary(), st.text().map(str.encode), VALUE.map(orjson.dumps)))
def test_any_payload_is_taken_or_refused(payload: bytes) -> None:
    for statement in (*CALLS, *OTHERS):
        check(statement, payload)


@given(VALUE)
def test_a_value_is_selected_as_it_is(value: Any) -> None:
    (row,) = parse("SELECT payload.a AS x FROM t").run(
        {"payload": orjson.dumps({"a": value})}
    )
    assert repr(row["x"]) == repr(orjson.loads(orjson.dumps(value)))
