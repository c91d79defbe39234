"""What is read of reports, and which are refused.

Source  http-dialects.md, "IoT platform"
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.plugins.devices.reports import (
    DELAYED_S,
    MOST_PERIPHERALS,
    BadReport,
    Moment,
    PeripheralReport,
    StateReport,
    Why,
    read_report,
)

pytestmark = pytest.mark.plain

NOW = 1_542_188_584
TOPICS = ["procs", "sys", "versions", "periph", "periph/reg", "on", "off", "peripheral"]


def read(topic: str, said: object) -> list[object] | None:
    found = read_report(f"report/{topic}", json.dumps(said).encode(), NOW)
    return None if found is None else list(found)


@pytest.mark.parametrize("kind", ["procs", "sys", "versions"])
def test_state_is_kept_as_it_was_said_with_the_time_of_its_coming(kind: str) -> None:
    payload = b'{ "sn":"A", "time":12.5, "d":[{"n":"monitor", "mem":1}], "x":null }'
    (made,) = read_report(f"report/{kind}", payload, NOW) or ()
    assert made == StateReport(
        "A",
        kind,
        Moment(NOW, 12.5),
        f'{{"d":[{{"n":"monitor", "mem":1}}],"revtime":{NOW},"sn":"A","time":12.5,"x":null}}',
    )


def test_revtime_of_a_device_does_not_count() -> None:
    (made,) = read("sys", {"sn": "A", "time": 1, "d": {}, "revtime": 5}) or ()
    assert isinstance(made, StateReport)
    assert json.loads(made.text)["revtime"] == NOW


def peripheral(nid: str, msg: str | None, **more: object) -> PeripheralReport:
    fields = {"sn": "", "gateway": "", "online": True, "moment": Moment(NOW, NOW), **more}
    return PeripheralReport(nid=nid, msg=msg, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("topic", ["periph", "periph/reg", "on"])
def test_short_forms_tell_of_peripherals_that_are_there(topic: str) -> None:
    several = {"d": [{"nid": "a", "d": {"battery": 3}}, {"nid": "b"}]}
    assert read(topic, several) == [
        peripheral("a", '{"battery": 3}'),
        peripheral("b", None),
    ]
    one = {"sn": "S", "time": 7, "nid": "a", "d": {"x": 1}}
    assert read(topic, one) == [
        peripheral("a", '{"x": 1}', sn="S", moment=Moment(NOW, 7)),
    ]


def test_off_tells_of_peripherals_that_are_gone() -> None:
    assert read("off", {"nid": "a"}) == [peripheral("a", None, online=False)]


@pytest.mark.parametrize("topic", ["on", "off"])
def test_device_may_speak_of_itself(topic: str) -> None:
    assert read(topic, {"sn": "A"}) == []


def test_full_form_tells_of_one_peripheral() -> None:
    said = {"sn": "S", "gwId": "G", "nId": "a", "online": False, "time": 9, "msg": {"x": 1}}
    assert read("peripheral", said) == [
        peripheral(
            "a", '{"x": 1}', sn="S", gateway="G", online=False, moment=Moment(NOW, 9)
        )
    ]


def test_other_topics_are_passed_over() -> None:
    assert read_report("report/else", b"{", NOW) is None


WRONG = {
    "procs": [{}, [], 7, {"sn": 1, "time": 1, "d": []}, {"sn": "", "time": 1, "d": []}],
    "sys": [
        {"sn": "A", "time": "1", "d": []},
        {"sn": "A", "time": -1, "d": []},
        {"sn": "A", "time": 1 << 60, "d": []},
        {"sn": "A", "time": 1, "d": "x"},
        {"sn": "A", "time": 1},
        {"sn": "A" * 257, "time": 1, "d": {}},
    ],
    "periph": [{}, {"d": {}}, {"d": [1]}, {"d": [{"nid": 1}]}, {"nid": ""}, {"sn": 1}],
    "off": [{"d": {"x": 1}}, {"time": "x"}],
    "peripheral": [{"nId": "a"}, {"nId": "a", "online": 1}, {"online": True}],
}


@pytest.mark.parametrize(
    ("topic", "said"), [(topic, each) for topic, all in WRONG.items() for each in all]
)
def test_wrong_types_are_refused(topic: str, said: object) -> None:
    with pytest.raises(BadReport) as refused:
        read(topic, said)
    assert refused.value.why is Why.WRONG_TYPE


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b'{"d":' + b"[" * 5000])
def test_what_is_no_json_is_refused(topic: str, payload: bytes) -> None:
    with pytest.raises(BadReport) as refused:
        read_report(f"report/{topic}", payload, NOW)
    assert refused.value.why is Why.NOT_JSON


def test_bytes_that_are_no_utf8_inside_a_text_are_refused() -> None:
    for topic, payload in (
        ("sys", b'{"sn":"A","time":1,"d":{"x":"\xff"}}'),
        ("periph", b'{"nid":"A","d":{"x":"\xff"}}'),
        ("peripheral", b'{"nId":"A","online":true,"msg":"\xff"}'),
    ):
        with pytest.raises(BadReport) as refused:
            read_report(f"report/{topic}", payload, NOW)
        assert refused.value.why is Why.NOT_JSON


def test_number_of_peripherals_is_bounded() -> None:
    rows = [{"nid": str(n)} for n in range(MOST_PERIPHERALS + 1)]
    assert len(read("periph", {"d": rows[1:]}) or ()) == MOST_PERIPHERALS
    with pytest.raises(BadReport) as refused:
        read("periph", {"d": rows})
    assert refused.value.why is Why.TOO_LARGE


@given(st.sampled_from(TOPICS), st.binary() | st.text().map(str.encode))
def test_any_bytes_are_read_or_refused(topic: str, payload: bytes) -> None:
    try:
        read_report(f"report/{topic}", payload, NOW)
    except BadReport as refused:
        assert str(refused)


@pytest.mark.parametrize(
    ("new", "old", "is_older"),
    [
        (Moment(1000, 60), Moment(1000, 60), False),  # the same, once more
        (Moment(1001, 61), Moment(1000, 60), False),
        (Moment(999, 61), Moment(1000, 60), True),  # it came before
        (Moment(1001, 50), Moment(1000, 60), True),  # it was on its way
        (Moment(1010, 3), Moment(1000, 60), False),  # booted at 1007
        (Moment(1010, 30), Moment(1000, 60), True),  # booted at 980, and heard of at 1000
        (Moment(1000 + DELAYED_S, 9), Moment(1000, 60), False),
        (Moment(NOW + 1, NOW - 5), Moment(NOW, NOW), True),  # its clock tells the time
        (Moment(NOW + DELAYED_S, 3), Moment(NOW, NOW + 9e9), False),  # a clock set right
    ],
)
def test_report_is_older_by_its_coming_or_by_the_clock_of_its_boot(
    new: Moment, old: Moment, is_older: bool
) -> None:
    assert new.is_older(old) is is_older
