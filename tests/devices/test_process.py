"""The platform in a process that is restarted, and killed.

Source  http-dialects.md, "IoT platform"
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import ROOT, Process, StartBroker, conf_text, free_port, running_broker
from tests.control.test_restart import restart
from tests.devices.http import Caller, logged_in
from tests.devices.inside import report
from tests.raw import PUBLISH, Raw
from tests.test_commands import blocks

WITHIN_S = 20.0
DEVICES = "/monitor/devices"


def rows_when(caller: Caller, online: list[str], offline: list[str]) -> dict[str, Any]:
    """Return the devices by serial number once these are online, and these are not."""
    until = time.monotonic() + WITHIN_S
    while True:
        rows = {row["sn"]: row for row in caller.call("GET", DEVICES).data["list"]}
        states = {sn: row["online"] for sn, row in rows.items()}
        if states == {**dict.fromkeys(online, True), **dict.fromkeys(offline, False)}:
            return rows
        assert time.monotonic() < until, states
        time.sleep(0.01)


def device(process: Process, sn: str) -> Raw:
    made = process.raw()
    made.connect(sn)
    made.publish("dma/report/sys", report(sn, 5, {"n": sn}))
    return made


@contextmanager
def killed(folder: Path, **given: str) -> Iterator[Process]:
    """Run a broker that is killed at the end."""
    with contextlib.suppress(AssertionError), running_broker(folder, **given) as process:
        yield process
        os.kill(process.pid, signal.SIGKILL)
        process.ends()
    assert process.popen.returncode == -signal.SIGKILL


def test_restart_keeps_devices_and_makes_their_states_true(
    start_broker: StartBroker,
) -> None:
    process = start_broker(plugins__load="devices", http_server__port=str(free_port()))
    caller = logged_in(process)
    with device(process, "A"), device(process, "B"):
        before = rows_when(caller, ["A", "B"], [])
    rows_when(caller, [], ["A", "B"])
    with device(process, "A"):
        rows_when(caller, ["A"], ["B"])
        restart(process)
    rows = rows_when(caller, [], ["A", "B"])
    assert rows["B"]["sys"] == before["B"]["sys"]
    assert rows["A"]["offlineTime"] >= rows["A"]["onlineTime"]
    with device(process, "B"):
        rows_when(caller, ["B"], ["A"])


def test_kill_leaves_nobody_online_who_is_not(tmp_path: Path) -> None:
    given = {"plugins.load": "devices"}
    with killed(tmp_path, **given) as process:
        caller = logged_in(process)
        held = [device(process, sn) for sn in ("A", "B")]
        before = rows_when(caller, ["A", "B"], [])
    for each in held:
        each.close()
    began = int(time.time())
    with running_broker(tmp_path, **given) as process:
        caller = Caller(process.http_port, caller.token)
        rows = {row["sn"]: row for row in caller.call("GET", DEVICES).data["list"]}
        assert [row["online"] for row in rows.values()] == [False, False]
        for sn, row in rows.items():
            assert row["sys"] == before[sn]["sys"]
            assert row["onlineTime"] <= row["offlineTime"] <= began
        with device(process, "A"):
            rows_when(caller, ["A"], ["B"])


def test_reports_that_a_kill_has_taken_come_with_the_next_ones(tmp_path: Path) -> None:
    given = {"plugins.load": "devices"}
    for n in range(3):
        with killed(tmp_path, **given) as process:
            caller = logged_in(process)
            with process.raw() as made:
                made.connect("A")
                made.publish("dma/report/procs", report("A", 100 + n, [n]))
                until = time.monotonic() + WITHIN_S
                while f'"d":[{n}]' not in "".join(
                    row["procs"] for row in caller.call("GET", DEVICES).data["list"]
                ):
                    assert time.monotonic() < until
                    time.sleep(0.01)


OFF = """
import asyncio, sys
from pathlib import Path
from nanomq_py.config.file import ConfFile
from nanomq_py.listen.inherited import Inherited
from nanomq_py.server import Left, Server

async def main():
    conf = Path(sys.argv[1])
    server = Server(ConfFile(conf, {}), conf, Left(Inherited()))
    await server.start()
    print(*(name for name in sys.modules if "devices" in name or "delivery." in name))
    await server.stop()

asyncio.run(main())
"""


def test_plugin_that_is_off_loads_nothing(tmp_path: Path) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.write_text(conf_text())
    done = subprocess.run(
        [sys.executable, "-c", OFF, str(conf)],
        cwd=ROOT,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "\n"
    assert not list(tmp_path.glob("*.db"))


def test_rules_of_the_page_leave_devices_their_own_topics(
    start_broker: StartBroker,
) -> None:
    (rules,) = blocks(ROOT / "docs" / "iot.md", "ini")
    keys = dict(line.split("=", 1) for line in rules.splitlines())
    given = {name.replace(".", "__"): value for name, value in keys.items()}
    process = start_broker(plugins__load="devices", **given)
    with process.raw() as made, process.raw() as evil:
        made.connect("A")
        asked = [("dma/cmd/A", 1), ("dma/cmd/B", 1), ("dma/#", 1), ("#", 1), ("other/#", 1)]
        assert made.subscribe(*asked) == [1, 128, 128, 128, 1]
        evil.connect("E")
        evil.publish("dma/cmd/A", b'{"command":"sh"}')
        evil.ping()
        caller = logged_in(process)
        to = {"to": [{"sn": "A"}], "command": "sh", "body": {"shcmd": "whoami"}}
        number = caller.call("POST", "/remotectl/commands", to).data["to"][0]["id"]
        assert b'"id":%d' % number in made.expect(PUBLISH).payload
        made.publish("dma/report/sys", report("A", 5, {"n": "A"}))
        rows_when(caller, ["A"], [])
