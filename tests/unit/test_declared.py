"""The reader of csrc/*.def, and that C and Python are made of the same lines."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import pytest

from nanomq_py.config import Config
from nanomq_py.core.binding import Core, CoreError
from nanomq_py.core.declared import (
    MEMORY,
    METRICS,
    CoreOptions,
    Memory,
    NoteKind,
    ReasonCode,
    Stats,
)
from nanomq_py.core.declared_events import KINDS, Why
from nanomq_py.core.options import core_options
from tests.unit.clib import ffi, lib
from tools.declared import (
    EVENT_FORMS,
    LIMITS,
    METRIC_FORMS,
    OPTION_FORMS,
    DeclarationError,
    read,
    tables,
)

GOOD = """
// a comment, COUNTER(
#define COUNTER(id)
COUNTER(CONNECTS, connects, "", "connections", "CONNECT "
        "packets, \\"all\\"") GAUGE(held, "a|b", "bytes")
"""


def test_declarations_are_read() -> None:
    connects, held = read(GOOD, "good.def", METRIC_FORMS)
    assert connects.values == {
        "ID": "CONNECTS",
        "name": "connects",
        "topics": "",
        "load": "connections",
        "help": 'CONNECT packets, "all"',
    }
    assert (held.form, held["topics"], held.where) == ("GAUGE", "a|b", "good.def:5")


FAULTS = [
    ("COUNTED(x)", "COUNTED: expected COUNTER or LEVEL or SUM or GAUGE or HOLDER"),
    ('GAUGE(x, "")', "GAUGE takes 3 values (name, topics, help), not 2"),
    ('GAUGE(x, "", "")', "help \": expected a text"),
    ('GAUGE(X, "", "h")', "name X: expected a name"),
    ('GAUGE("x", "", "h")', 'name "x: expected a name'),
    ('GAUGE(x, y, "h")', "topics y: expected a text"),
    ('LEVEL(Y, x, "", "h")', "Y is not x in capitals"),
    ('GAUGE(x, "", "h"', "the end: expected )"),
    ('GAUGE(x, "", "h";', "';' is no part of a value"),
    ("GAUGE(x, \"", "'\"' is no part of a value"),
    ("GAUGE x", "x: expected ("),
    ("GAUGE", "the end: expected ("),
    ('GAUGE(x "h")', '"h": expected )'),
    ("GAUGE(, )", ",: expected a word"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), FAULTS)
def test_a_fault_names_its_line_and_what_is_expected(text: str, told: str) -> None:
    with pytest.raises(DeclarationError, match=re.escape(f"bad.def:3: {told}")):
        read("\n\n" + text, "bad.def", METRIC_FORMS)


@pytest.mark.parametrize("type", ["int", "int32_t", "char"])
def test_an_option_is_unsigned(type: str) -> None:
    with pytest.raises(DeclarationError, match="an unsigned integer type or bool"):
        read(f'OPTION({type}, x, 0, 1, "h")', "bad.def", OPTION_FORMS)


def names(record: type) -> list[str]:
    return [field.name for field in fields(record)]


@pytest.mark.parametrize(
    ("struct", "record"),
    [("nmq_options", CoreOptions), ("nmq_stats", Stats), ("nmq_memory", Memory)],
)
def test_c_and_python_have_the_same_fields(struct: str, record: type) -> None:
    assert [name for name, _ in ffi.typeof(struct).fields] == names(record)


def test_kinds_of_notes_and_reason_codes_are_those_of_c() -> None:
    assert len(NoteKind) == len(tables().notes)
    for kind in NoteKind:
        assert getattr(lib, f"NMQ_NOTE_{kind.name}") == kind
    assert len(ReasonCode) == 42
    for code in ReasonCode:
        assert getattr(lib, f"NMQ_RC_{code.name}") == code


def test_events_and_their_reasons_are_those_of_c() -> None:
    declared = tables()
    assert len(KINDS) == len(declared.events)
    for line, (kind, (number, _)) in zip(declared.events, KINDS.items(), strict=True):
        assert getattr(lib, f"NMQ_EVENT_{line['ID']}") == number
        assert kind.__name__.lower() == line["name"].replace("_", "")
        assert [f.name for f in fields(kind)][1:] == [
            field.partition(":")[0].rstrip("?") for field in line["fields"].split()
        ]
    for number, why in enumerate(Why, 1):
        assert getattr(lib, f"NMQ_WHY_{why.name}") == number


@pytest.mark.parametrize("wrong", ["", "a", "a:float", "client ?", "client,message"])
def test_an_event_has_fields_that_a_record_can_hold(wrong: str) -> None:
    with pytest.raises(DeclarationError, match="expected fields of an event"):
        read(f'EVENT(X, x, "{wrong}", "h")', "bad.def", EVENT_FORMS)


def test_every_metric_has_names_of_its_own() -> None:
    every = [*METRICS, *MEMORY]
    for told in (
        [m.exported for m in every],
        [topic for m in every for topic in m.topics],
        [m.load for m in every if m.load],
    ):
        assert len(set(told)) == len(told)
    for metric in every:
        assert metric.exported.endswith("_total") == (metric.kind == "counter") or (
            metric.exported == "nanomq_memory_total"
        )


def number(text: str) -> int:
    return LIMITS[text] if text in LIMITS else int(text)


OUT_OF_RANGE = [
    (option["name"], value)
    for option in tables().options
    if option.form == "OPTION" and option["type"] != "bool"
    for value in (number(option["least"]) - 1, number(option["most"]) + 1)
    if 0 <= value <= LIMITS[option["type"].upper().replace("_T", "_MAX")]
]


@pytest.mark.parametrize(("name", "value"), OUT_OF_RANGE)
def test_the_core_refuses_what_is_out_of_range(name: str, value: int) -> None:
    with pytest.raises(CoreError, match="out of range"):
        Core(replace(core_options(Config()), **{name: value}))


def test_most_ranges_have_an_end_that_a_number_can_miss() -> None:
    assert len(OUT_OF_RANGE) > 15
