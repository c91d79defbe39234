"""Functions: each with values that EMQX's documentation and test suite give, and its faults.

Source   EMQX 4.4, emqx_rule_funcs_SUITE and its page of built-in functions
"""

from __future__ import annotations

import math
import re
import time
from typing import Any

import pytest

from nanomq_py.plugins.rules.sql import RuleError, SqlError, parse
from nanomq_py.plugins.rules.sql.functions.all import FUNCTIONS

pytestmark = pytest.mark.plain

GZIP = "1F8B0800000000000003CB48CDC9C95728CF2FCA49010085114A0D0B000000"
SHOWN = "%Y-%m-%d %H:%M:%S"
PAYLOAD = b'{"a":{"b":1},"n":null,"list":[1,2,3,4],"empty":[],"map":{"x":1,"y":"z"}}'
COLUMNS = {
    "id": "0001",
    "clientid": "c1",
    "username": "u1",
    "peerhost": "192.0.2.7",
    "topic": "t/a/b",
    "qos": 1,
    "flags": {"retain": True, "dup": False},
    "payload": PAYLOAD,
    "filters": [{"topic": "t/1", "qos": 1}, {"topic": "t/2", "qos": 2}],
    "bits": b"\xff",
    "minus": (-456).to_bytes(4, "big", signed=True),
    "float": b"\x40\x15\x33\x33\x33\x33\x33\x33",  # 5.3
}
NOTHING = object()


def value_of(expression: str) -> Any:
    (row,) = parse(f"SELECT {expression} AS it FROM t").run(COLUMNS)
    return row.get("it", NOTHING)


EXAMPLES: dict[str, Any] = {
    # numbers
    "abs(-12)": 12,
    "abs(-1.5)": 1.5,
    "acos(0.0707372016677029)": 1.5,
    "acosh(2.352409615243247)": 1.5,
    "asin(0.479425538604203)": 0.5,
    "asinh(0.5210953054937474)": 0.5,
    "atan(5.797883715482887)": 1.4,
    "atanh(0.8853516482022625)": 1.4,
    "cos(1.5)": 0.0707372016677029,
    "cosh(1.5)": 2.352409615243247,
    "sin(0.5)": 0.479425538604203,
    "sinh(0.5)": 0.5210953054937474,
    "tan(1.4)": 5.797883715482887,
    "tanh(1.4)": 0.8853516482022625,
    "exp(10)": 22026.465794806718,
    "power(2, 10)": 1024.0,
    "sqrt(2)": 1.4142135623730951,
    "fmod(-32, 5)": -2.0,
    "log(1)": 0.0,
    "log10(1000)": 3.0,
    "log2(1024)": 10.0,
    "ceil(1.34)": 2,
    "ceil(-1.5)": -1,
    "floor(1.34)": 1,
    "floor(-1.5)": -2,
    "round(1.34)": 1,
    "round(1.54)": 2,
    "round(2.5)": 3,
    "round(-2.5)": -3,
    "round(7)": 7,
    "mod(11, 3)": 2,
    "mod(-7, 2)": -1,
    "eq(1, 1.0)": True,
    "eq('1', 1)": True,
    "eq(1, 2)": False,
    "bitnot(0)": -1,
    "bitand(6, 3)": 2,
    "bitor(6, 3)": 7,
    "bitxor(6, 3)": 5,
    "bitsl(1, 4)": 16,
    "bitsl(16, -4)": 1,
    "bitsr(16, 4)": 1,
    "bitsr(1, -4)": 16,
    "bitsr(-1, 5000)": -1,
    # kinds
    "str(1234)": "1234",
    "str(2.0)": "2.0",
    "str(1.0000000001)": "1.0000000001",
    "str(true)": "true",
    "str(payload.n)": "null",
    "str(missing)": "undefined",
    "str(payload.map)": '{"x":1,"y":"z"}',
    "str(payload.list)": "[1,2,3,4]",
    "str(1e20)": "1e+20",
    "str_utf8('abc 你好')": "abc 你好",
    "str_utf8(1)": "1",
    "bool('true')": True,
    "bool(1)": True,
    "bool(1.0)": True,
    "bool(0)": False,
    "bool(0.0)": False,
    "bool('false')": False,
    "bool(false)": False,
    "int('1234')": 1234,
    "int('1.0')": 1,
    "int(1.9)": 1,
    "int(-1.5)": -2,
    "int(true)": 1,
    "int(false)": 0,
    "float('3.14')": 3.14,
    "float(1)": 1.0,
    "float(1.0000000001)": 1.0000000001,
    "float(3.14159, 2)": 3.14,
    "float2str(20.2, 10)": "20.2",
    "float2str(2, 3)": "2.0",
    "float2str(2.5, 0)": "2",
    "map('{\"a\":1}')": {"a": 1},
    "map(payload.map)": {"x": 1, "y": "z"},
    "map(json_decode('[[\"a\",1]]'))": {"a": 1},
    "null()": NOTHING,
    "coalesce(missing, 2)": 2,
    "coalesce(1, 2)": 1,
    "is_null(missing)": True,
    "is_null(null())": True,
    "is_null('')": False,
    "is_null(payload.n)": False,
    "is_not_null(1)": True,
    "is_not_null(missing)": False,
    "is_null_var(payload.n)": True,
    "is_null_var(missing)": True,
    "is_null_var(0)": False,
    "is_not_null_var(payload.n)": False,
    "is_not_null_var(1)": True,
    "is_str(1)": False,
    "is_str('val')": True,
    "is_str(bits)": True,
    "is_bool(true)": True,
    "is_bool(1)": False,
    "is_int(1)": True,
    "is_int(1.1)": False,
    "is_int(true)": False,
    "is_float(1)": False,
    "is_float(1.234)": True,
    "is_num(2.3)": True,
    "is_num('val')": False,
    "is_map(payload.map)": True,
    "is_map(payload.list)": False,
    "is_array(payload.list)": True,
    "is_array('a')": False,
    # texts
    "lower('AbC')": "abc",
    "upper('abc4')": "ABC4",
    "trim(' hello  ')": "hello",
    "ltrim(' abc ')": "abc ",
    "rtrim(' abc ')": " abc",
    "rtrim('abcxx', 'x')": "abc",
    "reverse('hello')": "olleh",
    "strlen('你好')": 2,
    "substr('abcdef', 2)": "cdef",
    "substr('abcdef', 2, 3)": "cde",
    "substr('', 1)": "",
    "substr('abc', 7)": "",
    "split('a/b/ c', '/')": ["a", "b", " c"],
    "split('/a/b//c/', '/')": ["a", "b", "c"],
    "split('', '/')": [],
    "split('/a/b//c/', '/', 'notrim')": ["", "a", "b", "", "c", ""],
    "split('', '/', 'notrim')": [""],
    "split('a/b/ c', '/', 'leading')": ["a", "b/ c"],
    "split('/a/b', '/', 'leading')": ["a/b"],
    "split('/a/b', '/', 'leading_notrim')": ["", "a/b"],
    "split('a/b/ c', '/', 'trailing')": ["a/b", " c"],
    "split('a/b//c/', '/', 'trailing')": ["a/b//c"],
    "split('a/b//c/', '/', 'trailing_notrim')": ["a/b//c", ""],
    "split('ab', '')": ["ab"],
    "tokens(' /a/ b /c', ' /')": ["a", "b", "c"],
    "tokens('/', '/')": [],
    "tokens('a,b, c\r\n', ', ', 'nocrlf')": ["a", "b", "c"],
    "tokens('a ,b,c\r\n', ', ')": ["a", "b", "c\r\n"],
    "tokens('ab', '')": ["ab"],
    "concat('a', 'b')": "ab",
    "concat('a', 1)": "a1",
    "join_to_string('-', payload.list)": "1-2-3-4",
    "join_to_string(payload.list)": "1, 2, 3, 4",
    "sprintf('Hello ~ts!', 'Shawn')": "Hello Shawn!",
    "sprintf('Name: ~ts, Count: ~p', 'ABC', 2)": "Name: ABC, Count: 2",
    "sprintf('~5s|~-5s|~.2f|~b~n~~', 'a', 'b', 1.005, 7)": "    a|b    |1.00|7\n~",
    "sprintf('~.3s', 'abcdef')": "abc",
    "sprintf_s('~w and ~p', [1, 'x'])": "1 and x",
    "pad('abc', 5)": "abc  ",
    "pad('abc', 0)": "abc",
    "pad('abc', 5, 'both')": " abc ",
    "pad('abc', 6, 'both', '-')": "-abc--",
    "pad('abc', 5, 'leading')": "  abc",
    "pad('abc', 5, 'trailing', 'ex')": "abcexex",
    "pad('abc', 5, 'leading', 'ex')": "exexabc",
    "replace('ab c  ', ' ', '-')": "ab-c--",
    "replace('ab c  ', ' ', '::')": "ab::c::::",
    "replace('ab c  ', ' ', '-', 'leading')": "ab-c  ",
    "replace('ab c  ', ' ', '-', 'trailing')": "ab c -",
    "replace('ab', '', '-')": "ab",
    "find('acbcd', 'c')": "cbcd",
    "find('acbcd', 'c', 'trailing')": "cd",
    "find('acbcd', 'e')": "",
    "find('', '')": "",
    "rm_prefix('abc', 'ab')": "c",
    "rm_prefix('abc', 'x')": "abc",
    "ascii('ab')": 97,
    "regex_match('acbcd', '(ac)+')": True,
    "regex_match('bcd', '(ac)+')": False,
    "regex_match('', '.*')": True,
    "regex_match('e2xebd', '^[a-z]+$')": False,
    "regex_replace('', 'c.*', 'e')": "",
    "regex_replace('accbcd', 'c+', 'e')": "aebed",
    "regex_replace('accbcd', 'c+', '[&]')": "a[cc]b[c]d",
    r"regex_replace('a-b', '(\w)-(\w)', '\2\&\1')": "b&a",
    r"regex_extract('Date: 2021-05-20', '(\d{4})-(\d{2})-(\d{2})')": ["2021", "05", "20"],
    r"regex_extract('none', '(\d+)')": [],
    # maps and arrays
    "map_new()": {},
    "map_get('a.b', payload)": 1,
    "map_get('a.c', payload)": NOTHING,
    "map_get('b', '{}', 2)": 2,
    "map_get('a', json_decode('{\"a\":1}'))": 1,
    "map_put('a', 1, map_new())": {"a": 1},
    "map_put('a.b', 1, map_new())": {"a": {"b": 1}},
    "map_put('a.c', 1, json_decode('{\"a\":{\"b\":1}}'))": {"a": {"b": 1, "c": 1}},
    "map_put('a', missing, map_new())": {},
    "mget('a.b', json_decode('{\"a.b\":1}'))": 1,
    "mget('x', map_new(), 5)": 5,
    "mget('x', map_new())": NOTHING,
    "mput('a.b', 1, map_new())": {"a.b": 1},
    "mput('a', missing, map_new())": {},
    "map_keys(payload.map)": ["x", "y"],
    "map_values(payload.map)": [1, "z"],
    "map_to_entries(payload.map)": [{"key": "x", "value": 1}, {"key": "y", "value": "z"}],
    "nth(2, payload.list)": 2,
    "length(payload.list)": 4,
    "length([])": 0,
    "sublist(2, payload.list)": [1, 2],
    "sublist(1, 2, payload.list)": [1, 2],
    "sublist(4, 2, payload.list)": [4],
    "sublist(5, 2, payload.list)": [],
    "first(payload.list)": 1,
    "last(payload.list)": 4,
    "contains(2, payload.list)": True,
    "contains(2.0, payload.list)": False,
    "contains('a', ['', 'ab', 3, 'a'])": True,
    # bytes
    "md5('some val')": "1b68352b3e9c2de52ffd322e30bffcc4",
    "sha('some val')": "f85ba28ff5ea84a0cbfa118319acb0c5e58ee2b9",
    "sha256('some val')": "67f97635d8a0e064f60ba6e8846a0ac0be664f18f0c1dc6445cd3542d2b71993",
    "base64_encode('some val')": "c29tZSB2YWw=",
    "base64_decode('c29tZSB2YWw=')": "some val",
    "base64_decode('/w==')": b"\xff",
    "json_encode(json_decode('{ \"a\" : 1 }'))": '{"a":1}',
    "json_decode('[1,2.0]')": [1, 2.0],
    "bin2hexstr(bits)": "FF",
    "hexstr2bin('6162')": "ab",
    "bin2hexstr(hexstr2bin('ABEF123'))": "0ABEF123",
    f"gunzip(hexstr2bin('{GZIP}'))": "hello world",
    "gunzip(gzip('hello world'))": "hello world",
    "unzip(hexstr2bin('CB48CDC9C95728CF2FCA490100'))": "hello world",
    "unzip(zip('hello'))": "hello",
    "zip_uncompress(hexstr2bin('789CCB48CDC9C95728CF2FCA4901001A0B045D'))": "hello world",
    "zip_uncompress(zip_compress('hello'))": "hello",
    "bitsize('a')": 8,
    "bytesize('你')": 3,
    "subbits(bits, 1)": 1,
    "subbits(bits, 7)": 127,
    "subbits(bits, 2, 8)": 127,
    "subbits(bits, 9, 1)": NOTHING,
    "subbits('abc', 8)": 97,
    "subbits('abc', 9, 8)": 98,
    "subbits('abc', 9, 16, 'integer', 'signed', 'big')": 25187,
    "subbits('abc', 9, 16, 'integer', 'signed', 'little')": 25442,
    "subbits(minus, 1, 32, 'integer', 'signed', 'big')": -456,
    "subbits(float, 1, 64, 'float', 'unsigned', 'big')": 5.3,
    "subbits('abc', 9, 16, 'bits')": "bc",
    "subbits(hexstr2bin('ABC0'), 1, 12, 'integer', 'unsigned', 'little')": 0xCAB,
    # time
    "unix_ts_to_rfc3339(0)": "1970-01-01T05:45:00+05:45",
    "unix_ts_to_rfc3339(1650874318331, 'millisecond')": "2022-04-25T13:56:58.331+05:45",
    "rfc3339_to_unix_ts('2022-04-25T16:11:16+08:00')": 1650874276,
    "rfc3339_to_unix_ts('2022-04-25T16:11:58.331+08:00', 'millisecond')": 1650874318331,
    "rfc3339_to_unix_ts('1969-12-31T23:59:59.5Z', 'nanosecond')": -500000000,
    f"format_date('second', '+0800', '{SHOWN}%:z', 1653561612)": "2022-05-26 18:40:12+08:00",
    "format_date('second', 'local', '%H:%M%z', 0)": "05:45+0545",
    "format_date('second', -3600, '%H %::z', 0)": "23 -01:00:00",
    "format_date('millisecond', 'Z', '%S %3N %6N %N %q', 1500)": "01 500 500000 500000000 %q",
    f"date_to_unix_ts('second', '{SHOWN}%:z', '2022-05-26 18:40:12+08:00')": 1653561612,
    "date_to_unix_ts('second', '%Y-%m-%d %H-%M-%S', '2022-05-26 10:40:12')": 1653561612,
    f"date_to_unix_ts('second', '+08:00', '{SHOWN}', '2022-05-26 18:40:12')": 1653561612,
    "date_to_unix_ts('millisecond', '%m/%d %S.%3N', '01/02 03.004')": 86403004,
    "timezone_to_second('+08:00')": 28800,
    "timezone_to_second('-0030')": -1800,
    "timezone_to_second('z')": 0,
    # the message
    "msgid()": "0001",
    "qos()": 1,
    "clientid()": "c1",
    "username()": "u1",
    "peerhost()": "192.0.2.7",
    "clientip()": "192.0.2.7",
    "topic()": "t/a/b",
    "topic(2)": "a",
    "flags()": {"retain": True, "dup": False},
    "flag('retain')": True,
    "flag('x')": NOTHING,
    "payload('a.b')": 1,
    "payload('a.c')": NOTHING,
    "strlen(payload())": len(PAYLOAD),
    "contains_topic(filters, 't/2')": True,
    "contains_topic(filters, 't/2', 2)": True,
    "contains_topic(filters, 't/2', 1)": False,
    "contains_topic(filters, 't/+')": False,
    "contains_topic_match(filters, 't/+')": True,
    "contains_topic_match(filters, '+/1', 1)": True,
    "contains_topic_match(filters, 'x/#')": False,
    "UPPER('a')": "A",
}


@pytest.fixture(autouse=True)
def kathmandu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A zone of this machine that no test has by chance."""
    monkeypatch.setenv("TZ", "<+0545>-05:45")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("expression", "value"), EXAMPLES.items(), ids=list(EXAMPLES))
def test_function_gives(expression: str, value: Any) -> None:
    found = value_of(expression)
    if type(value) is float:
        assert type(found) is float
        assert math.isclose(found, value, rel_tol=1e-9)
    else:
        assert (found, type(found)) == (value, type(value))


def test_every_function_has_an_example() -> None:
    named = {name for each in EXAMPLES for name in re.findall(r"\w+(?=\()", each)}
    by_chance = {"now_timestamp", "now_rfc3339", "random", "uuid_v4", "uuid_v4_no_hyphen"}
    assert set(FUNCTIONS) - by_chance - named == set()


def test_every_function_says_what_it_does() -> None:
    assert [name for name, function in FUNCTIONS.items() if not function.words] == []


# --- what time and chance give


@pytest.mark.parametrize("unit", ["second", "millisecond", "microsecond", "nanosecond"])
def test_now_is_the_time_in_each_unit(unit: str) -> None:
    now = value_of(f"now_timestamp('{unit}')")
    text = value_of(f"unix_ts_to_rfc3339({now}, '{unit}')")
    assert value_of(f"rfc3339_to_unix_ts('{text}', '{unit}')") == now
    assert value_of(f"rfc3339_to_unix_ts(now_rfc3339('{unit}'), '{unit}')") >= now
    form = "'%Y%m%d%H%M%S%N'"
    shown = f"format_date('{unit}', 0, {form}, {now})"
    assert value_of(f"date_to_unix_ts('{unit}', {form}, {shown})") == now


def test_now_without_a_unit_is_in_seconds() -> None:
    assert value_of("now_timestamp('second')") - value_of("now_timestamp()") in (0, 1)
    assert re.fullmatch(r"\d{4}(-\d\d){2}T\d\d(:\d\d){2}\+05:45", value_of("now_rfc3339()"))
    assert value_of("strlen(format_date('second', 0, '%Y'))") == 4


def test_uuids_and_numbers_by_chance_are_never_the_same() -> None:
    for expression in ("uuid_v4()", "uuid_v4_no_hyphen()", "random()"):
        assert value_of(expression) != value_of(expression)
    assert re.fullmatch(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", value_of("uuid_v4()"))
    assert re.fullmatch(r"[0-9a-f]{32}", value_of("uuid_v4_no_hyphen()"))
    assert 0 <= value_of("random()") < 1


# --- faults: a statement that can never be right is refused; others fail for one message

REFUSED = {
    "upper(5)": "upper: expected a text, have a whole number",
    "abs('a')": "abs: expected a number, have a text",
    "nth('1', payload.list)": "nth: expected a whole number, have a text",
    "length('abc')": "length: expected an array, have a text",
    "md5(1)": "md5: expected a text or a binary, have a whole number",
    "now_timestamp('hour')": "now_timestamp: expected one of second, millisecond",
    "upper()": "upper takes 1 arguments, not 0",
    "substr('a', 1, 2, 3)": "substr takes 2 to 3 arguments, not 4",
    "regex_match('a', '(a+)+')": "regex_match: a pattern with a repetition inside a repetition",
    "uper('a')": "there is no function `uper`",
}
FAILING = {
    "upper(missing)": "upper: expected a text, have undefined",
    "upper(bits)": "upper: expected a text, have a binary",
    "bool(3)": "bool: expected true, false, 1 or 0, have a whole number",
    "bool('yes')": "bool: expected true, false, 1 or 0, have a text",
    "int('a')": "int: a text that is no number",
    "int('1_0')": "int: a text that is no number",
    "int(payload.n)": "int: expected a number, have null",
    "float('nan')": "float: a text that is no number",
    "float('1e999')": "float: a number of more than 1.8e308",
    "float2str(1.5, 300)": "float2str: expected 0 to 253 decimals",
    "map('5')": "map: expected a map or a text of one, have a whole number",
    "map('{')": "map: expected JSON",
    "map(1)": "map: expected a map or a text of one, have a whole number",
    "acos(2)": "acos: a number outside its domain",
    "log(0)": "log: a number outside its domain",
    "exp(1000)": "exp: a number of more than 1.8e308",
    "mod(1, 0)": "mod: a division by zero",
    "substr('abc', -1)": "substr: expected a position and a length from 0",
    "split('a', 'b', 'first')": "split: expected one of all, leading",
    "tokens('a', 'b', 'x')": "tokens: expected one of nocrlf",
    "ascii('')": "ascii: expected a text that is not empty",
    "sprintf('~s')": "sprintf: no value for ~s",
    "sprintf('x', 1)": "sprintf: 1 values without a place",
    "sprintf('~q', 1)": "sprintf: expected one of ~s ~p",
    "sprintf('~b', 'a')": "sprintf: expected a whole number, have a text",
    "pad('abc', 5, 'left')": "pad: expected one of trailing, leading, both",
    "nth(5, payload.list)": "nth: expected a position in the array",
    "nth(0, payload.list)": "nth: expected a position in the array",
    "first(payload.empty)": "first: expected a position in the array",
    "last(payload.empty)": "last: expected a position in the array",
    "sublist(0, 1, payload.list)": "sublist: expected a position from 1",
    "mget('a', 1)": "mget: expected a map or a text of one, have a whole number",
    "json_decode('{')": "json_decode: expected JSON",
    "base64_decode('c29*')": "base64_decode: expected base64",
    "hexstr2bin('xx')": "hexstr2bin: expected hexadecimal digits",
    "gunzip('no')": "gunzip: expected what was compressed in this form",
    "gunzip(hexstr2bin('1F8B08'))": "gunzip: expected what was compressed, with its end",
    "subbits('abc', 0, 1)": "subbits: expected a position from 1",
    "subbits('abc', 1, 9, 'float')": "subbits: expected an integer, a float or bits",
    "subbits('abc', 1, 24, 'float')": "subbits: expected a float of 16, 32 or 64 bits",
    "subbits('abc', 1, 8, 'integer', 'both')": "subbits: expected 64 bits at most",
    "rfc3339_to_unix_ts('now')": "rfc3339_to_unix_ts: expected a time such as",
    "rfc3339_to_unix_ts('2022-02-30T00:00:00Z')": "rfc3339_to_unix_ts: no such day or time",
    "rfc3339_to_unix_ts('2022-02-20T00:00:61Z')": "rfc3339_to_unix_ts: no such day or time",
    "unix_ts_to_rfc3339(1650874318331)": "unix_ts_to_rfc3339: a time outside the years",
    "format_date('second', '+8', '%Y', 0)": "format_date: expected an offset such as",
    "date_to_unix_ts('second', '%Y', '20')": "date_to_unix_ts: the text has not this format",
    "topic(9)": "topic: expected a level that the topic has",
}


@pytest.mark.parametrize(("expression", "reason"), REFUSED.items(), ids=list(REFUSED))
def test_a_call_that_is_never_right_is_refused(expression: str, reason: str) -> None:
    with pytest.raises(SqlError) as fault:
        value_of(expression)
    assert fault.value.reason.startswith(reason)
    assert (fault.value.line, fault.value.column >= 8) == (1, True)


@pytest.mark.parametrize(("expression", "reason"), FAILING.items(), ids=list(FAILING))
def test_a_call_fails_with_its_reason(expression: str, reason: str) -> None:
    with pytest.raises(RuleError) as fault:
        value_of(expression)
    assert str(fault.value).startswith(reason)
