"""Statements: what they select, as EMQX's documentation and test suite and NanoMQ's pages say.

Source   EMQX 4.4, emqx_rule_engine_SUITE and its documentation; NanoMQ, Rule Engine
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from nanomq_py.plugins.rules.columns import TEST_COLUMNS, example
from nanomq_py.plugins.rules.sql import EVENTS, RuleError, parse
from nanomq_py.plugins.rules.sql.rows import Row

pytestmark = pytest.mark.plain

MESSAGE = {
    "event": "message.publish",
    "clientid": "c_emqx",
    "username": "u_emqx",
    "topic": "t/a",
    "qos": 1,
    "flags": {"dup": False, "retain": True},
}


def run(sql: str, payload: Any = b"{}", **columns: Any) -> list[dict[str, Any]]:
    return parse(sql).run({**MESSAGE, "payload": payload, **columns})


def one(sql: str, payload: Any = b"{}", **columns: Any) -> dict[str, Any]:
    (row,) = run(sql, payload, **columns)
    return row


# --- FROM


def test_from_names_filters_and_events_in_any_quotes() -> None:
    sql = "select * from \"t/#\", 'a/+/b', plain, \"$events/client_connected\", '$SYS/#'"
    assert parse(sql).topics == (
        "t/#",
        "a/+/b",
        "plain",
        "$events/client_connected",
        "$SYS/#",
    )


@pytest.mark.parametrize("event", [name for name in EVENTS if name])
def test_every_event_can_be_selected_from(event: str) -> None:
    columns = {name: f"its {name}" for name in EVENTS[event].columns}
    assert parse(f'SELECT * FROM "{event}"').run(columns) == [columns]


@pytest.mark.parametrize("name", TEST_COLUMNS)
def test_each_column_that_is_made_is_described(name: str) -> None:
    described = EVENTS["" if name == "message_publish" else f"$events/{name}"]
    assert set(example(name, "node")) - set(described.columns) == set()
    assert described.name == example(name, "node")["event"]


# --- SELECT: each a payload, a statement and what comes of it

CASE = (
    "select case when payload.x < 0 then 0 when payload.x > 7 then 7 else payload.x end as y"
    " from t"
)
DOCUMENTED = [
    # EMQX, SQL Statement Fields
    (
        '{"msg":"hello"}',
        'SELECT payload.msg as msg, clientid, username, payload, topic, qos FROM "t/#"',
        {
            "username": "u_emqx",
            "topic": "t/a",
            "qos": 1,
            "payload": '{"msg":"hello"}',
            "msg": "hello",
            "clientid": "c_emqx",
        },
    ),
    # EMQX, Rule engine SQL statement: aliases in WHERE, columns that are not selected
    ("{}", "SELECT clientid as cid FROM \"#\" WHERE cid = 'c_emqx'", {"cid": "c_emqx"}),
    (
        "{}",
        "SELECT clientid as cid FROM \"#\" WHERE username = 'u_emqx'",
        {"cid": "c_emqx"},
    ),
    ("{}", "SELECT clientid as cid FROM \"#\" WHERE xyz = 'abc'", None),
    # NanoMQ, Rule Engine
    (
        '{"x":{"y":11},"z":"s"}',
        "SELECT payload.x.y as y, payload.z as z FROM \"#\" WHERE y > 10 and z != 'str'",
        {"y": 11, "z": "s"},
    ),
    (
        '{"x":{"y":11},"z":"str"}',
        "SELECT payload.x.y as y, payload.z as z FROM \"#\" WHERE y > 10 and z != 'str'",
        None,
    ),
    ("abc", 'SELECT topic, payload FROM "abc"', {"topic": "t/a", "payload": "abc"}),
    # emqx_rule_engine_SUITE: CASE
    (
        '{"x":8}',
        CASE,
        {"y": 7},
    ),
    (
        '{"x":-1}',
        CASE,
        {"y": 0},
    ),
    (
        '{"x":3}',
        CASE,
        {"y": 3},
    ),
    (
        '{"x":2}',
        "select case payload.x when 1 then 2 when 2 then 3 else 4 end as y from t",
        {"y": 3},
    ),
    (
        '{"x":7}',
        "select case payload.x when 1 then 2 when 2 then 3 else 4 end as y from t",
        {"y": 4},
    ),
    ('{"x":7}', "select case when payload.x > 7 then 7 end as y from t", {}),
    # indices
    (
        '[{"x":1}]',
        "select json_decode(payload) as p, p[1] as a from t",
        {"p": [{"x": 1}], "a": {"x": 1}},
    ),
    ({"x": [1, 3, 4]}, "select payload.x[2] from t", {"payload": {"x": [3]}}),
    (
        {"x": [1, {"y": 3}, 4]},
        "select payload.x[2].y from t",
        {"payload": {"x": [{"y": 3}]}},
    ),
    ({"x": [1, {"y": 3}, 4]}, "select payload.x[2].y as b from t", {"b": 3}),
    ({"x": [1, {"y": 3}, 4]}, "select payload.x[-2].y as b from t", {"b": 3}),
    (
        {"x": 0},
        "select payload.x as b, 1 as c[-0], 2 as c[-0], b as c[0] from t",
        {"b": 0, "c": [0, 1, 2]},
    ),
    ("", "select [] as c, 1 as c[-0], 2 as c[-0], 0 as c[0] from t", {"c": [0, 1, 2]}),
    (
        '{"a":11}',
        "select [payload.a, \"topic\", 'c'] as c, 1 as c[-0], 2 as c[-0], 0 as c[0] from t",
        {"c": [0, 11, "t/a", "c", 1, 2]},
    ),
    (
        '{"x":[1,{"y":[1,2]},3]}',
        "select payload, payload.x[2].y from t",
        {"payload": {"x": [1, {"y": [1, 2]}, 3]}},
    ),
    (
        '{"x":[1,{"y":[1,2]},3]}',
        "select payload.x[2].y as b.c from t",
        {"b": {"c": [1, 2]}},
    ),
    (
        '{"x":[1,{"y":[1,2]},3]}',
        "select 0 as payload.x[2].y from t",
        {"payload": {"x": [{"y": 0}]}},
    ),
    (
        '{"x":[1,{"y":[1,2]},3]}',
        "select payload.x, 0 as payload.x[2].y from t",
        {"payload": {"x": [1, {"y": 0}, 3]}},
    ),
    (
        '{"a":[7,8],"i":2}',
        "select payload.a[payload.i] as c, payload.a[i] as d from t",
        {"c": 8, "d": 8},
    ),
    # ranges
    ('{"a":[0,1,2,3,4,5]}', "select payload.a[1..4] as c from t", {"c": [0, 1, 2, 3]}),
    ('{"a":[0,1,2,3,4,5]}', "select payload.a[2..-1] as c from t", {"c": [1, 2, 3, 4, 5]}),
    (
        '{"a":[0,1,2,3,4,5]}',
        "select payload.a[1..4] from t",
        {"payload": {"a": [0, 1, 2, 3]}},
    ),
    (
        "",
        "select [1..4] as c, 5 as c[-0], 6 as c[-0], 0 as c[0] from t",
        {"c": [0, 1, 2, 3, 4, 5, 6]},
    ),
    # booleans, maps, what is undefined
    (
        "",
        "select true as a, false as b, false as x.y, true as c[-0] from t",
        {"a": True, "b": False, "x": {"y": False}, "c": [True]},
    ),
    (
        "",
        "select map_new() as a, map_new() as x.y, map_new() as c[-0] from t",
        {"a": {}, "x": {"y": {}}, "c": [{}]},
    ),
    ("", "select 'd' as dev from t where dev != undefined", {"dev": "d"}),
    ("", "select topic from t where dev != undefined", None),
    ("", "select topic from t where dev != 'undefined'", {"topic": "t/a"}),
    ('{"a":null}', "select payload.a as a, payload.b as b from t", {"a": None}),
    # names
    (
        '{"a b":{"1":2,"x.y":3}}',
        "select payload.\"a b\".1 as \"my name\", payload.'a b'.'x.y' as z from t",
        {"my name": 2, "z": 3},
    ),
    (
        "",
        "select 'x', 1 + 1, [1..2], upper('a') from t",
        {"x": "x", "_v_op_2": 2, "_v_range_3": [1, 2], "_v_fun_4": "A"},
    ),
    ('{"a":1}', 'select payload.a a, topic "b" from t', {"a": 1, "b": "t/a"}),
    # comments, lines
    ("", "select topic -- the topic\nfrom t -- all\nwhere 1 = 1", {"topic": "t/a"}),
    # a text of JSON in JSON
    ('{"a":"{\\"b\\":[5]}"}', "select payload.a.b[1] as c from t", {"c": 5}),
]


@pytest.mark.parametrize(("payload", "sql", "row"), DOCUMENTED)
def test_documented_statement(payload: Any, sql: str, row: Any) -> None:
    assert run(sql, payload) == ([] if row is None else [row])


def test_star_is_every_column_and_takes_its_place_among_the_fields() -> None:
    columns = {**MESSAGE, "payload": "{}"}
    assert one("SELECT * FROM t") == columns
    assert one("SELECT 1 AS qos, * FROM t") == columns  # as EMQX: columns come over it
    assert one("SELECT *, 1 AS x, 2 AS qos FROM t") == {**columns, "x": 1, "qos": 2}


def test_what_is_none_is_not_there() -> None:
    assert one("SELECT username, topic FROM t", username=None) == {"topic": "t/a"}
    assert "username" not in one("SELECT * FROM t", username=None)


def test_a_payload_that_is_no_text_stays_bytes() -> None:
    assert one("SELECT payload FROM t", b"\xff\x00") == {"payload": b"\xff\x00"}
    assert one("SELECT * FROM t", b"\xff\x00")["payload"] == b"\xff\x00"
    assert one("SELECT bin2hexstr(payload) AS x FROM t", b"\xff\x00") == {"x": "FF00"}


def test_columns_stay_as_they_are() -> None:
    columns = {"payload": {"x": [1, {"y": 1}]}, "a": {"b": 1}}
    parse("SELECT 2 AS payload.x[2].y, 3 AS a.b, 4 AS a.c FROM t").run(columns)
    assert columns == {"payload": {"x": [1, {"y": 1}]}, "a": {"b": 1}}


def test_rows_of_a_literal_share_nothing() -> None:
    statement = parse("SELECT [1..2] AS a FROM t")
    statement.run({})[0]["a"].append(3)
    assert statement.run({}) == [{"a": [1, 2]}]


# --- the payload is read once, and only if a path looks into it


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was read from JSON as a payload."""
    from nanomq_py.plugins.rules.sql import rows

    seen: list[Any] = []
    parsed = rows._parsed

    def noted(payload: Any) -> Any:
        seen.append(payload)
        return parsed(payload)

    monkeypatch.setattr(rows, "_parsed", noted)
    return seen


def test_a_payload_is_read_once(reads: list[Any]) -> None:
    sql = "SELECT payload.a AS a, payload.b.c AS c FROM t WHERE payload.a = 1 AND c = 2"
    assert run(sql, b'{"a":1,"b":{"c":2}}') == [{"a": 1, "c": 2}]
    assert reads == [b'{"a":1,"b":{"c":2}}']
    reads.clear()
    run(
        "SELECT payload.a[1] AS a, payload.a[2] AS b, payload('c') AS c FROM t",
        b'{"a":[1]}',
    )
    assert reads == [b'{"a":[1]}']


def test_a_payload_that_nobody_looks_into_is_not_read(reads: list[Any]) -> None:
    assert run("SELECT payload, topic FROM t WHERE qos > 0", b"{") == [
        {"payload": "{", "topic": "t/a"}
    ]
    assert run("SELECT payload.x AS x FROM t WHERE qos > 1", b"{") == []
    assert reads == []


# --- WHERE

TRUE = [
    "1 = 1.0",
    "1 < 2",
    "2 >= 2",
    "1 <> 2",
    "1 != 2",
    "'a' < 'b'",
    "'1' = 1",
    "1 = '1'",
    "2 > '1.5'",
    "true",
    "true = 'true'",
    "topic =~ 't/#'",
    "topic =~ 't/+'",
    "not topic =~ 'x/#'",
    "'$SYS/a' =~ '$SYS/#'",
    "qos in (0, 1)",
    "qos not in (0, 2)",
    "not qos in (0, 2)",
    "1 not in (1.0, '1', true)",
    "topic in ('x', 't/a')",
    "1 = 1 and 2 = 2 or 3 = 4",
    "3 = 4 or 1 = 1 and 2 = 2",
    "not (1 = 2 and 1 = 1)",
    "not 1 = 2",
    "missing = other",
    "missing <= other",
    "missing != 1",
    "not (missing > 1)",
    "payload.n != missing",
    "payload.list = payload.list",
    "payload.map != payload.list",
    "payload.n = 'null'",
    "5 < true",
    "true < payload.map",
    "payload.list < 'a'",
    "payload.list = [1, 2]",
    "1 + 2 * 3 = 7",
    "(1 + 2) * 3 = 9",
    "7 div 2 = 3",
    "-7 div 2 = -3",
    "-7 mod 2 = -1",
    "7 mod -2 = 1",
    "7 / 2 = 3.5",
    "4 / 2 = 2.0",
    "- 3 = 0 - 3",
    "+3 = 3",
    "'a' + 1 + 'b' = 'a1b'",
    "1 + 2 + 'b' = '3b'",
    "'it''s' = 'it' + '''s'",
    "1e3 = 1000",
    "is_float(1.0)",
    "is_int(2 * 3)",
    "is_int(payload.big)",
    "payload.big = 9007199254740993",
    "true AND True",
    "payload.yes",
]
FALSE = [
    "1 = 2",
    "'$SYS/a' =~ '#'",
    "'$SYS/a' =~ '+/a'",
    "topic =~ 't'",
    "missing",
    "payload.n",
    "missing = 1",
    "missing > 1",
    "1 >= missing",
    "1 = true",
    "0 = false",
    "not missing",
    "not 5",
    "not 'true'",
    "missing =~ '#'",
    "false",
    "payload.no",
    "1 in (2, 3)",
    "1 = 1 and missing",
    "'a' = 'A'",
]
VALUES = b'{"n":null,"list":[1,2],"map":{},"big":9007199254740993,"yes":true,"no":false}'


@pytest.mark.parametrize("condition", TRUE)
def test_condition_holds(condition: str) -> None:
    assert run(f"SELECT topic FROM t WHERE {condition}", VALUES) != []


@pytest.mark.parametrize("condition", FALSE)
def test_condition_does_not_hold(condition: str) -> None:
    assert run(f"SELECT topic FROM t WHERE {condition}", VALUES) == []


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ("5", "WHERE: expected true or false, have a whole number"),
        ("1 = 1 AND 'a'", "AND: expected true or false, have a text"),
        ("'a' > 1", "a text that is no number"),
        ("1 / 0 = 1", "a division by zero"),
        ("1 div 0 = 1", "a division by zero"),
        ("1 mod 0 = 1", "a division by zero"),
        ("missing + 1 = 1", "+: expected a number, have undefined"),
        ("true + 1 = 2", "+: expected a number, have a boolean"),
        ("1.5 div 1 = 1", "div: expected a whole number, have a number"),
        ("1e308 * 10 = 1", "a number of more than 1.8e308"),
        ("payload.map < payload.map", "a map has no order with another one"),
        ("qos =~ 't'", "=~: expected texts, have a whole number"),
        ("upper(qos) = 'A'", "upper: expected a text, have a whole number"),
        ("payload.map[1..2] = 1", "a range of a map: expected an array"),
        ("payload.list[-3..-1] = 1", "a range that begins 1 before its array"),
    ],
)
def test_a_fault_names_its_reason_and_no_value(condition: str, reason: str) -> None:
    with pytest.raises(RuleError) as fault:
        run(f"SELECT topic FROM t WHERE {condition}", VALUES)
    assert str(fault.value).startswith(reason)


def test_a_payload_that_is_not_json_is_a_fault_only_for_who_looks_into_it() -> None:
    assert run("SELECT topic FROM t", b'{"x":') == [{"topic": "t/a"}]
    with pytest.raises(RuleError, match="the payload is not JSON"):
        run("SELECT payload.x AS x FROM t", b'{"x":')
    with pytest.raises(RuleError, match="the payload is not JSON"):
        run("FOREACH payload.x FROM t", b'{"x":')


def test_where_is_asked_before_what_it_does_not_need() -> None:
    assert run("SELECT 1/0 AS x, topic FROM t WHERE topic = 'other'") == []
    assert run("SELECT 1 AS topic FROM t WHERE topic = 1") == [{"topic": 1}]
    assert run("SELECT 1 AS qos FROM t WHERE qos() = 1") == [{"qos": 1}]
    assert run("SELECT 2 AS qos FROM t WHERE qos() = 2") == [{"qos": 2}]


# --- FOREACH

SENSORS = (
    b'{"date":"2020","sensors":'
    b'[{"name":"a","idx":0},{"name":"b","idx":1},{"name":"c","idx":2}]}'
)

WALKED = [
    # EMQX, Rule engine SQL statement
    (
        "FOREACH payload.sensors FROM t",
        [
            {**MESSAGE, "payload": SENSORS.decode(), "item": {"name": n, "idx": i}}
            for i, n in enumerate("abc")
        ],
    ),
    (
        "FOREACH payload.sensors DO clientid, item.name as name, item.idx as idx FROM t",
        [{"clientid": "c_emqx", "name": n, "idx": i} for i, n in enumerate("abc")],
    ),
    (
        "FOREACH payload.sensors as sensor DO clientid, sensor.name as name"
        " INCASE sensor.idx >= 1 FROM t",
        [{"clientid": "c_emqx", "name": "b"}, {"clientid": "c_emqx", "name": "c"}],
    ),
    (
        "FOREACH payload.sensors as s DO upper(s.name) as name INCASE s.idx = 0"
        " FROM t WHERE qos = 1",
        [{"name": "A"}],
    ),
    ("FOREACH payload.sensors as s DO s.name FROM t WHERE qos = 2", []),
    ("FOREACH payload.date DO item FROM t", []),
    ("FOREACH payload.nothing DO item FROM t", []),
    ("FOREACH [] as x DO x FROM t", []),
    (
        "FOREACH payload.date as d, payload.sensors as s DO d, s.idx as i INCASE s.idx = 2"
        " FROM t WHERE d = '2020'",
        [{"d": "2020", "i": 2}],
    ),
    (
        "FOREACH [1..3] as n DO n * 10 as n, topic as n2 FROM t",
        [{"n": 10 * n, "n2": "t/a"} for n in (1, 2, 3)],
    ),
    ("FOREACH [1..2] DO item, x INCASE x = missing FROM t", [{"item": 1}, {"item": 2}]),
    # emqx_rule_engine_SUITE, t_sqlparse_foreach_7 and 8
    (
        "foreach json_decode(payload) as p, p.sensors as s, sublist(2, 1, s) as one"
        " do one.idx as i, p.date as d from t",
        [{"i": 1, "d": "2020"}],
    ),
    (
        "foreach payload.sensors as s do s incase is_map(s) and s.name =~ 'b' from t",
        [{"s": {"name": "b", "idx": 1}}],
    ),
]


@pytest.mark.parametrize(("sql", "rows"), WALKED)
def test_foreach(sql: str, rows: list[dict[str, Any]]) -> None:
    assert run(sql, SENSORS) == rows


def test_aliases_of_one_item_are_not_those_of_the_next() -> None:
    sql = "FOREACH payload.x AS e DO e.a AS a, a AS b FROM t"
    assert run(sql, b'{"x":[{"a":1},{}]}') == [{"a": 1, "b": 1}, {}]


# --- what it costs


def test_lark_is_imported_with_the_first_statement() -> None:
    program = (
        "import sys; from nanomq_py.plugins.rules.sql import parse, template;"
        "assert 'lark' not in sys.modules; parse('SELECT a FROM t');"
        "assert 'lark' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_row_has_no_more_than_its_columns() -> None:
    assert not hasattr(Row(), "__dict__")
