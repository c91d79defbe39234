"""What a statement may cost: its length, its nesting, and what its expressions make."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from nanomq_py.plugins.rules.sql import RuleError, SqlError, parse
from nanomq_py.plugins.rules.sql.functions.patterns import MOST_STEPS, pattern
from nanomq_py.plugins.rules.sql.grammar import MOST_CHARACTERS
from nanomq_py.plugins.rules.sql.values import MOST_ITEMS, MOST_PARTS, MOST_TEXT

pytestmark = pytest.mark.plain


def run(sql: str, **columns: Any) -> list[dict[str, Any]]:
    return parse(sql).run(columns)


# --- the statement


def padded(length: int) -> str:
    return "SELECT a FROM t" + " " * (length - 15)


def test_a_statement_has_a_length() -> None:
    assert parse(padded(MOST_CHARACTERS)).topics == ("t",)
    with pytest.raises(SqlError, match=f"at most {MOST_CHARACTERS} characters"):
        parse(padded(MOST_CHARACTERS + 1))


@pytest.mark.parametrize(
    "nested",
    [
        "upper(" * 101 + "a" + ")" * 101,
        "CASE WHEN " * 101 + "a" + " THEN 1 END" * 101,
        "[" * 101 + "]" * 101,
        "not " * 101 + "a",
        "- " * 101 + "a",
        "a" + "[a" * 101 + "]" * 101,
    ],
)
def test_a_statement_is_nested_so_deep_and_no_deeper(nested: str) -> None:
    with pytest.raises(SqlError, match="at most 100 levels") as fault:
        parse(f"SELECT {nested} AS x FROM t")
    assert fault.value.column > 100


def test_what_is_long_and_not_nested_is_taken() -> None:
    assert run(f"SELECT {'+'.join(['1'] * 5000)} AS x FROM t") == [{"x": 5000}]
    assert run(f"SELECT 1 AS x FROM t WHERE {' or '.join(['a = 1'] * 1500)}") == []
    assert run(f"SELECT {'(' * 5000}1{')' * 5000} AS x FROM t") == [{"x": 1}]


@pytest.mark.parametrize("number", ["9" * 301, "1." + "9" * 301, "1e999", "[1..10002]"])
def test_a_number_of_a_statement_is_bounded(number: str) -> None:
    with pytest.raises(SqlError, match="expected a"):
        parse(f"SELECT {number} AS x FROM t")


# --- what expressions make


def doubled(expression: str, times: int, first: str = "x") -> str:
    """Return a statement that takes what it has made twice, again and again."""
    fields = ", ".join([f"{first} AS x", *[f"{expression} AS x"] * times])
    return f"SELECT {fields} FROM t"


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (doubled("x + x", 30), f"a text of more than {MOST_TEXT} characters"),
        (doubled("concat(x, x)", 30), f"a text of more than {MOST_TEXT} characters"),
        (
            doubled("replace(x, 'x', 'xx')", 30),
            f"a text of more than {MOST_TEXT} characters",
        ),
        (doubled("json_encode(x)", 30), f"a text of more than {MOST_TEXT} characters"),
        (doubled("bin2hexstr(x)", 30), f"a text of more than {MOST_TEXT} characters"),
        (doubled("[x, x]", 30), f"of more than {MOST_PARTS} values"),
        (doubled("[x]", 150), "of more than 100 levels"),
        (doubled("map_put('x', x, map_new())", 150), "of more than 100 levels"),
        (doubled("mput('x', [x, x], map_new())", 30), f"of more than {MOST_PARTS} values"),
        (doubled("x * x", 30, "2"), "a whole number of more than 64 bits"),
        (doubled("bitsl(x, 40)", 2, "1"), "a whole number of more than 64 bits"),
        ("SELECT bitsl(1, 65) AS x FROM t", "expected 64 bits at most"),
        ("SELECT pad('a', 9999999) AS x FROM t", f"expected 0 to {MOST_TEXT}"),
        (
            "SELECT pad('', 99999, 'both', x) AS x FROM t",
            f"more than {MOST_TEXT} characters",
        ),
        ("SELECT sprintf('~99999s', x) AS x FROM t", "a width of 16384 at most"),
        ("SELECT gunzip(bomb) AS x FROM t", f"more than {MOST_TEXT} bytes"),
        (
            "SELECT join_to_string(big, [1..99]) AS x FROM t",
            f"more than {MOST_TEXT} characters",
        ),
        ("SELECT regex_replace(x, 'x', big) AS x FROM t", "replacement of at most 256"),
        ("SELECT subbits(big, 1, 2000) AS x FROM t", "64 bits at most"),
        (doubled("x AS a.l, x AS a.r, a", 30), f"of more than {MOST_PARTS} values"),
        ("FOREACH [1..200] FROM t", "FOREACH: 200 rows of more than 16777216 letters"),
        (
            "FOREACH [1..200] DO * FROM t",
            "FOREACH: 200 rows of more than 16777216 letters",
        ),
        ("FOREACH many FROM t", f"an array of more than {MOST_ITEMS} items"),
    ],
)
def test_what_an_expression_makes_is_bounded(sql: str, reason: str) -> None:
    columns = {
        "x": "x" * 300,
        "big": "x" * 100_000,
        "payload": b"x" * 100_000,
        "bomb": gzip.compress(bytes(50_000_000)),
        "many": list(range(MOST_ITEMS + 1)),
    }
    with pytest.raises((RuleError, SqlError)) as fault:
        run(sql, **columns)
    assert reason in str(fault.value)


def test_deep_json_is_no_more_than_a_fault() -> None:
    deep = "[" * 1000 + "]" * 1000
    sql = "SELECT topic FROM t WHERE payload.a = json_decode(payload)"
    for sql in (
        "SELECT payload AS x FROM t WHERE json_decode(payload) = json_decode(payload)",
        "SELECT json_encode(json_decode(payload)) AS x FROM t",
        "SELECT map_put('a', json_decode(payload), map_new()) AS x FROM t",
        "SELECT contains(json_decode(payload), [json_decode(payload)]) AS x FROM t",
    ):
        with pytest.raises(RuleError):
            run(sql, payload=deep)


# --- regular expressions


@pytest.mark.parametrize(
    "refused",
    [
        "(a+)+$",
        "(a*)*b",
        "(a|aa)+b",
        "(a?){200}",
        r"(\w+\s?)*!",
        "((ab)*c)*",
        "(a{1,3})+",
        "(x+x+)+y",
        r"(a)\1",
        "(?=a+)b",
        "(?<=a)b",
        "(?!a)b",
        "(a)?(?(1)b|c)",
        "(",
        "[",
        "a**",
        "x" * 257,
        "(?P<a>.)(?P=a)",
        "a{99999999999}",
        r"(?:(?:\b){5000}){5000}",
    ],
)
def test_a_pattern_that_may_never_end_is_refused(refused: str) -> None:
    with pytest.raises(SqlError):
        parse(f"SELECT regex_match(topic, '{refused}') AS x FROM t")
    with pytest.raises(RuleError):
        run("SELECT regex_match('a', it) AS x FROM t", it=refused)


# Patterns at their worst: each with a text of the length that it may search.
WORST = [
    (".*a.*b.*c.*d", "ab"),
    ("a*a*a*a*b", "a"),
    ("a+$", "ab"),
    ("^a*a*b", "a"),
    (r"\w+@\w+\.\w+", "a"),
    (r"(\d+)-(\d+)-(\d+)", "1"),
    ("x?" * 15 + "x*y", "x"),
    ("(?:a|b|c)*d", "a"),
    ("(ab)+(ab)+c", "ab"),
    ("(?i)[a-z]+[0-9]*!", "aB"),
    ("a{3}b{3,}c", "aaabbb"),
    (".", "a"),
    ("a{2,9}b{1,9}c", "a"),
    ("(?m)^a*b", "a"),
]


@pytest.mark.parametrize(("expression", "part"), WORST)
def test_the_worst_text_takes_no_more_steps_than_allowed(
    expression: str, part: str
) -> None:
    known = pattern(expression)
    longest = part * (known.most_characters // len(part))
    assert run("SELECT regex_match(x, it) AS y FROM t", x=longest, it=expression)
    assert run("SELECT regex_replace(x, it, '-') AS y FROM t", x=longest, it=expression)
    with pytest.raises(RuleError, match=f"searches {known.most_characters} at most"):
        run("SELECT regex_extract(x, it) AS y FROM t", x=longest + part, it=expression)


def test_each_repetition_makes_the_text_shorter() -> None:
    lengths = [pattern("a" + "b*" * times).most_characters for times in range(5)]
    assert lengths[0] == 65_536
    for times, length in enumerate(lengths[1:], 1):
        assert length ** (times + 1) <= MOST_STEPS < (length + 2) ** (times + 1)
