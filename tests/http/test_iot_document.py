"""``/iot/api/v1``: each example of the document, field by field.

Source  iot-platform-api-v1.txt
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Process, running_broker
from tests.devices.http import Caller, logged_in
from tests.http.documented import Example, differences
from tests.http.endpoints import find
from tests.http.iot_document import examples, read

pytestmark = pytest.mark.plain

DEVICE = "RPIB827EBF24B9D"
WITHIN_S = 20.0


def report(kind: str, d: Any) -> bytes:
    return json.dumps({"sn": DEVICE, "time": 31853, "d": d}).encode()


def peripheral(nid: str) -> bytes:
    said = {"sn": DEVICE, "gwId": "GW8399438", "nId": nid, "online": True, "time": 5}
    return json.dumps({**said, "msg": {"x": 1}}).encode()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A broker with the clients, devices and targets of the document."""
    folder = tmp_path_factory.mktemp("iot")
    given = {"plugins.load": "devices", "http_server.password": "admin"}
    with (
        running_broker(folder, **given) as process,
        process.raw() as device,
        process.raw() as other,
    ):
        device.connect(DEVICE)
        other.connect("emqx-api-test:v1")
        for kind, d in (
            ("procs", [{"n": "a"}]),
            ("sys", {"free": 1}),
            ("versions", []),
        ):
            device.publish(f"dma/report/{kind}", report(kind, d))
        for nid in ("PH3223881", "PH3223882"):
            device.publish("dma/report/peripheral", peripheral(nid))
        yield process


@pytest.fixture(scope="module")
def caller(broker: Process) -> Caller:
    caller = logged_in(broker, "admin", "admin")
    for kind in ("device", "peripheral"):
        body = {"type": kind, "url": f"http://127.0.0.1:9/{kind}", "enabled": True}
        assert caller.call("POST", "/monitor/devices/callbacks", body).data
    route = {"topic": "x", "name": "first", "url": "http://127.0.0.1:9/"}
    assert caller.call("POST", "/msgroute/configs", route).data["id"] == 1
    until = time.monotonic() + WITHIN_S
    while caller.call("GET", "/monitor/devices/peripherals/count").data["total"] < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    return caller


def concrete(example: Example) -> str:
    return example.path.replace("{device | peripheral}", "device")


EXAMPLES = [
    pytest.param(
        each,
        id=str(each),
        marks=find("iot", each.method, concrete(each)).shows("success"),
    )
    for each in examples()
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_answer_is_like_the_documents_example(caller: Caller, example: Example) -> None:
    said = caller.call(example.method, concrete(example), example.request)
    assert said.status == 200, said
    assert not differences(example.answer, said.json)


def test_every_endpoint_of_the_document_has_its_example() -> None:
    assert len(EXAMPLES) == 17


def test_errors_are_like_the_documents_example(caller: Caller) -> None:
    expected = read(['{ "status": "err", "code": "error_code", "msg": "..." }'])
    for path in ("/nothing", "/monitor/devices?page=x"):
        said = caller.call("GET", path)
        assert said.status in (400, 404)
        assert not differences(expected, said.json)


def test_json_of_the_document_is_read_with_its_typos() -> None:
    assert read(['{"a", "b", "c": [{"d": 1}\n{"e": "x\ny"},],}\n}]']) == {
        "a": "b",
        "c": [{"d": 1}, {"e": "x y"}],
    }
    assert read(['{"a": {"b": {"c": 1},},}', '"d": "e"\n}\n}']) == {
        "a": {"b": {"c": 1}, "d": "e"}
    }
