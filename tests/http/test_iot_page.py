"""docs/api/iot.md: each call is made as it stands there, and answered as it says."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from tests.conftest import Process, running_broker
from tests.devices.http import Caller, logged_in
from tests.http.endpoints import OF_PLUGINS, find
from tests.http.test_cookbook import Family, families, fits, run

pytestmark = [
    pytest.mark.plain,
    pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a shell preloads no sanitizer"),
]

DEVICE = "8CFCA0107D1B"
KEYS = {"plugins.load": "devices", "node.name": "nanomq@edge"}
PREFIX, _ = OF_PLUGINS["iot"]
FAMILIES = list(families("iot.md"))
WITHIN_S = 20.0


@dataclass(frozen=True)
class House:
    process: Process
    caller: Caller


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The broker of the page, and its device."""
    folder = tmp_path_factory.mktemp("iot")
    with running_broker(folder, **KEYS) as process, process.raw() as device:
        caller = logged_in(process)
        device.connect(DEVICE)
        sys = {"sn": DEVICE, "time": 31853, "d": {"free": 848988, "load": 0.21}}
        device.publish("dma/report/sys", json.dumps(sys, separators=(",", ":")).encode())
        periph = {"sn": DEVICE, "gwId": "GW8399438", "nId": "PH3223881", "online": True}
        said = {**periph, "time": 5, "msg": {"battery": 97}}
        device.publish("dma/report/peripheral", json.dumps(said).encode())
        until = time.monotonic() + WITHIN_S
        while (
            caller.call("GET", "/monitor/devices/count").data["online"] < 1
            or caller.call("GET", "/monitor/devices/peripherals/count").data["total"] < 1
        ):
            assert time.monotonic() < until
            time.sleep(0.01)
        yield House(process, caller)


def marks(family: Family) -> Iterator[pytest.MarkDecorator]:
    for (method, url), answer in zip(family.calls, family.answers, strict=True):
        code = re.search(r'"code":"(\w+)"', answer)
        served = find("iot", method, url.removeprefix(PREFIX))
        yield served.shows("success" if code is None else code[1])


@pytest.mark.parametrize(
    "family", [pytest.param(each, id=each.title, marks=[*marks(each)]) for each in FAMILIES]
)
def test_calls_are_answered_as_the_page_says(house: House, family: Family) -> None:
    script = f"token={house.caller.token}\n{family.script}"
    answers = run(replace(family, script=script).script, house.process)
    assert len(answers) == len(family.answers)
    for call, answer, expected in zip(family.calls, answers, family.answers, strict=True):
        assert fits(answer, expected), (call, answer, expected)


def test_page_is_read() -> None:
    assert len(FAMILIES) == 7


def test_page_has_a_call_of_every_endpoint() -> None:
    called = {
        find("iot", method, url.removeprefix(PREFIX)).name
        for family in FAMILIES
        for method, url in family.calls
    }
    endpoints = {f"{each.method} {each.path}" for each in OF_PLUGINS["iot"][1]}
    assert called == endpoints
