"""docs/rules-sql.md says what is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from nanomq_py.plugins.rules.sql import SqlError, parse
from nanomq_py.plugins.rules.sql.functions import patterns
from nanomq_py.plugins.rules.sql.functions.all import FUNCTIONS
from nanomq_py.plugins.rules.sql.grammar import MOST_CHARACTERS
from nanomq_py.plugins.rules.sql.statement import MOST_LEVELS, MOST_REPEATED
from nanomq_py.plugins.rules.sql.values import MOST_DEPTH, MOST_ITEMS, MOST_PARTS, MOST_TEXT
from tests.conftest import ROOT
from tools import rules_sql

pytestmark = pytest.mark.plain

PAGE = (ROOT / "docs" / "rules-sql.md").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_code() -> None:
    assert rules_sql.page(PAGE) == PAGE, "run tools/rules_sql.py"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_described(name: str) -> None:
    assert f"| `{name}(" in PAGE


PAYLOAD = r'{"a":{"b":[10,20,30]},"n":null,"ok":true,"name":"d-17","text":"{\"x\":[5]}"}'
EXAMPLES = re.findall(
    r"^\| `(.+)` \| (undefined|`.+`) \|$", PAGE.split("## Columns")[0], re.M
)


def test_the_examples_are_found() -> None:
    assert f"With `{PAYLOAD}` to `t/1`" in PAGE
    assert len(EXAMPLES) > 20


@pytest.mark.parametrize(("expression", "value"), EXAMPLES)
def test_an_example_is_right(expression: str, value: str) -> None:
    columns = {"topic": "t/1", "payload": PAYLOAD}
    (row,) = parse(f"SELECT {expression} AS it FROM t").run(columns)
    expected: dict[str, Any] = (
        {} if value == "undefined" else {"it": json.loads(value[1:-1])}
    )
    assert json.dumps(row) == json.dumps(expected)


@pytest.mark.parametrize("sql", re.findall(r"^```sql\n(.*?)^```$", PAGE, re.M | re.S))
def test_each_statement_is_one(sql: str) -> None:
    assert parse(sql).topics


def test_the_first_statement_gives_what_the_page_says() -> None:
    sql, *_ = re.findall(r"^```sql\n(.*?)^```$", PAGE, re.M | re.S)
    told = re.search(r"A message `(.+?)` to `(.+?)` gives\n`(.+?)`", PAGE)
    assert told is not None
    payload, topic, row = told.groups()
    assert parse(sql).run({"payload": payload, "topic": topic}) == [json.loads(row)]


def test_the_program_prints_what_the_page_says() -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.M | re.S)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    told = [line[2:] for line in program.splitlines() if line.startswith("# ")]
    assert done.stdout.splitlines() == told


def test_the_error_is_the_one_that_is_told() -> None:
    with pytest.raises(SqlError) as fault:
        parse("SELECT topic FROM")
    assert str(fault.value) == "line 1, column 18: expected a name, not the end"
    with pytest.raises(SqlError) as fault:
        parse("SELECT payload +")
    assert f"`{fault.value}`" in PAGE


@pytest.mark.parametrize(
    "told",
    [
        f"| {MOST_CHARACTERS:,} characters; calls, CASEs and lists in each other",
        f" {MOST_LEVELS} deep |",
        f"| {MOST_TEXT:,} characters or bytes |",
        f"| {MOST_PARTS:,} values, {MOST_DEPTH} levels; a range of {MOST_ITEMS:,} numbers |",
        f"| {MOST_ITEMS:,} items; {MOST_REPEATED:,} characters in all its rows",
        f"| {patterns.MOST_PATTERN} characters; no repetition",
        "| {:,} characters without a repetition of its own, else {:,}, {} with two, {} with"
        " three;".format(
            *(patterns.pattern("a" + "b*" * n).most_characters for n in range(4))
        ),
    ],
)
def test_a_limit_is_told(told: str) -> None:
    assert told in PAGE
