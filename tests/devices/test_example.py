"""examples/device.py: a device that reports, and does what it may, once."""

from __future__ import annotations

import asyncio
import base64
import getpass
import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import ROOT, Process, running_broker
from tests.devices.commands.documented import examples
from tests.devices.http import Caller, logged_in
from tests.devices.simulated import Device

pytestmark = pytest.mark.plain

COMMANDS = "/remotectl/commands"


@dataclass(frozen=True)
class House:
    process: Process
    caller: Caller


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("example")
    with running_broker(folder, plugins__load="devices") as process:
        yield House(process, logged_in(process))


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("device", ROOT / "examples/device.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["device"] = module  # for its dataclasses
    spec.loader.exec_module(module)
    del sys.modules["device"]
    return module


@asynccontextmanager
async def living(device: Any, house: House) -> AsyncIterator[None]:
    task = asyncio.ensure_future(device.live("127.0.0.1", house.process.port))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def when(house: House, path: str, fits: Callable[[Any], bool]) -> Any:
    """Return the data of a path once it is as wanted."""
    for _ in range(1000):
        said = await asyncio.to_thread(house.caller.call, "GET", path)
        if said.status == 200 and fits(said.data):
            return said.data
        await asyncio.sleep(0.02)
    raise AssertionError(said)


async def done(house: House, sn: str, body: object, **more: object) -> tuple[Any, Any]:
    """Have a device do something; return the command and the response."""
    asked = {"to": [{"sn": sn}], "command": "sh", "body": body, **more}
    said = await asyncio.to_thread(house.caller.call, "POST", COMMANDS, asked)
    number = said.data["to"][0]["id"]
    row = await when(house, f"{COMMANDS}?id={number}", lambda data: data["state"] >= 2)
    response = await when(house, f"{COMMANDS}/responses?id={number}", bool)
    return row, response


async def test_it_does_what_it_may(
    house: House, example: ModuleType, tmp_path: Path
) -> None:
    device = example.Device("D1", example.Memory(tmp_path / "m"), allow=["whoami", "false"])
    async with living(device, house):
        row, said = await done(house, "D1", {"shcmd": "whoami"})
        assert row["state"] == 2
        assert base64.b64decode(said["d"]["result"]).decode().strip() == getpass.getuser()
        *_, response = examples()
        assert list(said["d"]) == list(response["data"]["d"])
        assert {**said["d"], "result": ""} == {**response["data"]["d"], "result": ""}

        row, said = await done(house, "D1", {"shcmd": "whoami; id"}, maxRetries=1)
        assert (row["state"], said["status"]) == (3, "err")
        assert said["d"]["msg"] == "not allowed: sh whoami; id"
        row, said = await done(house, "D1", {"shcmd": "false"}, maxRetries=1)
        assert (row["state"], said["d"]["msg"]) == (3, "exit status 1")
        row, said = await done(house, "D1", {}, command="reboot", maxRetries=1)
        assert (row["state"], said["d"]["msg"]) == (3, "not allowed: reboot")


async def test_it_reports(house: House, example: ModuleType, tmp_path: Path) -> None:
    memory = example.Memory(tmp_path / "m")
    device = example.Device("D2", memory, peripherals=["P1"], report_s=0.1)

    def its(data: Any) -> Any:
        return next((row for row in data["list"] if row["sn"] == "D2"), None)

    async with living(device, house):
        data = await when(
            house,
            "/monitor/devices",
            lambda data: (row := its(data)) and row["sys"] and row["versions"],
        )
        row = its(data)
        assert row["online"]
        assert set(json.loads(row["sys"])["d"]) == {"free", "load", "used"}
        assert json.loads(row["procs"])["d"][0]["n"] == "device"
        assert row["bootTime"] > 0
        data = await when(house, "/monitor/devices/peripherals", its)
        assert (its(data)["nId"], its(data)["online"]) == ("P1", True)
    await when(house, "/monitor/devices", lambda data: not its(data)["online"])


async def test_what_it_is_told_twice_it_does_once(
    house: House, example: ModuleType, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    line = f"sh -c 'echo once >>{file}'"
    caller = Device("caller")
    message = {"id": 202611300000001000, "command": "sh", "d": {"shcmd": line}}
    for nth in (1, 2):  # a process after the other
        device = example.Device("D3", example.Memory(tmp_path / "m"), allow=[line, "true"])
        async with (
            living(device, house),
            caller.connected(house.process.port),
        ):
            await when(
                house, "/monitor/brokers/connections", lambda data: "D3" in str(data)
            )
            marker = {**message, "id": message["id"] + 1000 * nth, "d": {"shcmd": "true"}}
            for each in (message, message, marker):
                caller.publish("dma/cmd/D3", each)
            while (said := device.memory.answer(marker["id"])) is None:
                await asyncio.sleep(0.01)
            assert said["status"] == "ok"
            while device.memory.answer(message["id"]) is None:
                await asyncio.sleep(0.01)
    assert file.read_text() == "once\n"


async def test_one_that_was_interrupted_is_tried_again(
    house: House, example: ModuleType, tmp_path: Path
) -> None:
    memory = example.Memory(tmp_path / "m")
    said = {"to": [{"sn": "D4"}], "command": "sh", "body": {"shcmd": "whoami"}}
    made = await asyncio.to_thread(house.caller.call, "POST", COMMANDS, said)
    number = made.data["to"][0]["id"]
    memory.keep(number, None)  # begun, and the device has lost power
    async with living(example.Device("D4", example.Memory(tmp_path / "m")), house):
        row = await when(house, f"{COMMANDS}?id={number}", lambda data: data["state"] >= 2)
    assert (row["state"], row["tryTimes"]) == (2, 2)


def test_memory_forgets_the_oldest(example: ModuleType, tmp_path: Path) -> None:
    memory = example.Memory(tmp_path / "m")
    for number in range(example.MOST_REMEMBERED + 1):
        memory.keep(number, {"status": "ok"})
    again = example.Memory(tmp_path / "m")
    assert not again.knows(0)
    assert again.answer(example.MOST_REMEMBERED) == {"status": "ok"}
