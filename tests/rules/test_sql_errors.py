"""A text that is no statement: the place, and what was expected there."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nanomq_py.plugins.rules.sql import EVENTS, SqlError, Statement, parse

pytestmark = pytest.mark.plain

WRONG = {
    "": (1, 1, "expected FOREACH or SELECT, not the end"),
    "UPDATE t": (1, 1, "expected FOREACH or SELECT, not `UPDATE`"),
    "SELECT": (1, 7, "expected a value or '*', not the end"),
    "SELECT FROM t": (1, 8, "expected a value or '*', not `FROM`"),
    "SELECT a": (1, 9, "expected a name, ',', AS or FROM, not the end"),
    "SELECT a FROM": (1, 14, "expected a name, not the end"),
    "SELECT a, FROM t": (1, 11, "expected a value or '*', not `FROM`"),
    "SELECT a b c FROM t": (1, 12, "expected ',', '.', '[' or FROM, not `c`"),
    "SELECT a FROM t WHERE": (1, 22, "expected a value, not the end"),
    "SELECT a FROM t WHERE a =": (1, 26, "expected a value, not the end"),
    "SELECT a FROM t WHERE a in 1": (1, 28, "expected '(', not `1`"),
    "SELECT a FROM t WHERE (a = 1": (1, 29, "expected ')', not the end"),
    "SELECT 1 = 2 = 3 FROM t": (1, 14, "expected a name, ',', AND, AS, FROM or OR, not `=`"),
    "SELECT CASE WHEN a THEN b FROM t": (1, 27, "expected ELSE, END or WHEN, not `FROM`"),
    "SELECT upper(a FROM t": (1, 16, "expected ')' or ',', not `FROM`"),
    "SELECT a AS b[1..3] FROM t": (1, 16, "expected ']', not `.`"),
    "SELECT a FROM t;": (1, 16, "expected ',', WHERE or the end, not `;`"),
    "SELECT ? FROM t": (1, 8, "expected a value or '*', not `?`"),
    "SELECT a FROM t\nWHERE\n  b = 'x": (3, 7, "expected a value, not a text without its end"),
    'SELECT a FROM "t': (1, 15, "expected a name, not a name without its end"),
    "SELECT a\n  FROM t x": (2, 10, "expected ',', WHERE or the end, not `x`"),
    "FOREACH a DO FROM t": (1, 14, "expected a value or '*', not `FROM`"),
    "FOREACH * FROM t": (1, 9, "expected an array for FOREACH"),
    "SELECT uper(a) FROM t": (1, 8, "there is no function `uper`"),
    "SELECT upper(a, b) FROM t": (1, 8, "upper takes 1 arguments, not 2"),
    "SELECT a, abs('x') FROM t": (1, 15, "abs: expected a number, have a text"),
    "SELECT a[0..2] FROM t": (1, 9, "expected positions from 1, or from -1 at the end"),
    "SELECT a[9999999999] FROM t": (1, 9, "expected an index of at most 9 digits"),
    'SELECT a FROM "t", "a/#/b"': (1, 20, "expected a topic filter: # at its end"),
    'SELECT a FROM "a+"': (1, 15, "expected a topic filter"),
    'SELECT a FROM ""': (1, 15, "expected a topic filter"),
    'SELECT a FROM "$events/client_gone"': (1, 15, "expected one of $events/message_delivered"),
}  # fmt: skip


@pytest.mark.parametrize(("sql", "fault"), WRONG.items(), ids=list(WRONG))
def test_an_error_has_its_place_and_what_was_expected(
    sql: str, fault: tuple[int, int, str]
) -> None:
    with pytest.raises(SqlError) as found:
        parse(sql)
    line, column, reason = fault
    assert (found.value.line, found.value.column) == (line, column)
    assert found.value.reason.startswith(reason)
    assert str(found.value) == f"line {line}, column {column}: {found.value.reason}"


def test_an_unknown_event_is_told_those_that_are() -> None:
    with pytest.raises(SqlError) as fault:
        parse("SELECT * FROM '$events/none'")
    assert all(event in fault.value.reason for event in EVENTS)


def test_a_long_token_is_cut() -> None:
    with pytest.raises(SqlError) as fault:
        parse(f"SELECT a b {'c' * 5000} FROM t")
    assert len(str(fault.value)) < 200


# --- any text

WORDS = (
    "SELECT FOREACH DO INCASE FROM WHERE AS AND OR NOT IN CASE WHEN THEN ELSE END div mod"
    " * + - / ( ) [ ] , . = =~ <> a payload x.y a[1] a[1..2] [1..2] 'text' \"t/#\" 1 2.5"
    " upper( regex_match(a,'(a+)+') -- \n '' '  \" ~ é \0 \ud800 $events/x"
)
PIECES = st.sampled_from(re.split(" ", WORDS))


@given(st.one_of(st.text(), st.lists(PIECES, max_size=30).map(" ".join)))
@example("SELECT a FROM '\ud800'")
@example("SELECT a FROM t WHERE '\ud800' = x")
@example("SELECT md5('\ud800') FROM t")
@example("SELECT a\n FROM t, \ud800")
@example("SELECT [" + "9" * 400 + "..1] FROM t")
def test_any_text_is_a_statement_or_has_an_error_with_a_place(text: str) -> None:
    try:
        assert type(parse(text)) is Statement
    except SqlError as fault:
        lines = text.split("\n")
        assert 1 <= fault.line <= len(lines)
        assert 1 <= fault.column <= len(lines[fault.line - 1]) + 1
        assert fault.reason
