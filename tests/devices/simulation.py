"""Many devices, and a broker that is killed: no command is lost, and what the platform says is
what the devices know.

    python -m tests.devices.simulation --devices 2000 --seconds 600 --kills 3

Devices come and go, fail, answer twice, keep sessions or not, and report. Callers make
commands all the time. A request without an answer, as the broker died meanwhile, may have made
its commands or not; all others must be there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.devices.http import Caller, Said
from tests.devices.server import START_S, Server
from tests.devices.simulated import Device
from tests.raw import Closed

COMMANDS = "/remotectl/commands"
EXPIRES_S = 36_000
SETTLE_S = 180.0
GHOSTS = 3  # devices that never come; their commands expire
GHOST_S = 5


@dataclass(frozen=True)
class Plan:
    """How much of what. commands_per_s: requests, for up to five devices each."""

    devices: int
    seconds: float
    kills: int
    commands_per_s: float
    report_s: float
    seed: int
    durability: str = "always"


@dataclass
class Made:
    """What callers know: by number whose it is and what was asked; and what is unclear."""

    acked: dict[int, tuple[str, int]] = field(default_factory=dict)
    unclear: dict[int, list[str]] = field(default_factory=dict)
    ghosts: list[int] = field(default_factory=list)


def _outcome(message: dict[str, Any], nth: int) -> str:
    """Some commands fail always, some once; which, their body says."""
    number = message["d"]["n"]
    if number % 20 == 5:
        return "failed"
    return "err" if number % 5 == 1 and nth == 1 else "ok"


def _is_early(said: Said) -> bool:
    """Return whether the plugin did not serve yet: another API says that there is no path."""
    return said.status == 404 and "status" not in said.json


def _seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # Closed, or OSError


class Simulation:
    """Devices and callers of one run."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.server = Server(folder, plan.durability)
        self.random = random.Random(plan.seed)
        self.devices = [self._device(n) for n in range(plan.devices)]
        self.made = Made()
        self.reported: dict[str, int] = {}
        self.token = ""
        self.most_mib = 0.0
        self._calls = 0
        self._settling = False
        self._quiet = False  # no reports any more
        self._stay = {device.sn for device in self.devices}

    def _device(self, number: int) -> Device:
        rnd = self.random
        topic = rnd.choice(["dma/resp/cmd", "dma/cmd/resp"])
        keeps = rnd.random() < 0.3
        run_s = rnd.choice([0.0, 0.0, 0.2, 1.0])
        return Device(f"SN{number:05}", _outcome, keeps=keeps, run_s=run_s, topic=topic)

    # --- its run

    async def run(self) -> dict[str, object]:
        """Run it; return figures. Raises AssertionError for what is wrong."""
        await self.server.start()
        await self._call("POST", "/auth/login", {"user": "admin", "password": "public"})
        lives = [asyncio.ensure_future(self._live(device)) for device in self.devices]
        others = [asyncio.ensure_future(self._make()), asyncio.ensure_future(self._kill())]
        try:
            await others[1]
            self._settling = True
            await others[0]
            await self._settled()
            await self._check_commands()
            await self._check_states()
        except BaseException:
            print(self.server.log(), file=sys.stderr)
            raise
        finally:
            for task in (*lives, *others):
                task.cancel()
            await asyncio.gather(*lives, *others, return_exceptions=True)
            self.server.end(signal.SIGTERM)
        return self._figures()

    async def _kill(self) -> None:
        step_s = self.plan.seconds / (self.plan.kills + 1)
        for _ in range(self.plan.kills):
            await asyncio.sleep(step_s * self.random.uniform(0.8, 1.0))
            self.most_mib = max(self.most_mib, self.server.memory_mib())
            self.server.end(signal.SIGKILL)
            await self.server.start()
        await asyncio.sleep(step_s)

    async def _live(self, device: Device) -> None:
        """Come, stay a while or until the end, go, come again."""
        flaps = self.random.random() < 0.3
        await asyncio.sleep(self.random.uniform(0, 2))
        while device.sn in self._stay:
            task = asyncio.ensure_future(device.serve(self.server.port))
            task.add_done_callback(_seen)
            stay_s = self.random.uniform(2, 20) if flaps and not self._settling else 1e6
            until = time.monotonic() + stay_s
            while not task.done() and device.link is None:
                await asyncio.sleep(0.05)
            while not task.done() and time.monotonic() < until and self._stays(device):
                self._report(device)
                await asyncio.wait({task}, timeout=min(self._pause_s(), stay_s))
            device.cut()
            with contextlib.suppress(Closed, OSError):
                await task
            await asyncio.sleep(self.random.uniform(0.1, 1.0))

    def _stays(self, device: Device) -> bool:
        return device.sn in self._stay

    def _pause_s(self) -> float:
        return 5.0 if self._settling else self.plan.report_s * self.random.uniform(0.5, 1.0)

    def _report(self, device: Device) -> None:
        if device.link is None or self._quiet:
            return
        self.reported[device.sn] = count = self.reported.get(device.sn, 0) + 1
        said = {"sn": device.sn, "time": count, "d": {"count": count}}
        device.publish("dma/report/sys", said)

    # --- callers

    async def _call(self, method: str, path: str, body: object = None) -> Said:
        """Call until somebody answers."""
        until = time.monotonic() + START_S
        while True:
            try:
                caller = Caller(self.server.http_port, self.token)
                said = await asyncio.to_thread(caller.call, method, path, body)
            except (OSError, ValueError):
                await asyncio.sleep(0.2)
                continue
            if _is_early(said):
                assert time.monotonic() < until, said
                await asyncio.sleep(0.2)
                continue
            if path == "/auth/login":
                self.token = said.data["token"]
            return said

    async def _make(self) -> None:
        number = 0
        while not self._settling:
            number += 1
            is_ghostly = number % 10 == 0
            sns = (
                [f"GHOST{self.random.randrange(GHOSTS)}"]
                if is_ghostly
                else [
                    d.sn
                    for d in self.random.sample(self.devices, min(5, self.plan.devices))
                ]
            )
            await self._make_one(number, sns, is_ghostly)
            await asyncio.sleep(self.random.expovariate(self.plan.commands_per_s))

    async def _make_one(self, number: int, sns: list[str], is_ghostly: bool) -> None:
        body = {
            "from": "simulation",
            "to": [{"sn": sn} for sn in sns],
            "command": "sh",
            "body": {"n": number},
            "publishNow": number % 2 == 0,
            "maxRetries": 3,
            "expires": GHOST_S if is_ghostly else EXPIRES_S,
        }
        caller = Caller(self.server.http_port, self.token)
        try:
            said = await asyncio.to_thread(caller.call, "POST", COMMANDS, body)
        except (OSError, ValueError):
            if not is_ghostly:
                self.made.unclear[number] = sns
            await asyncio.sleep(0.5)
            return
        if _is_early(said):
            return
        made = said.data["to"]
        assert [each["sn"] for each in made] == sns
        for each in made:
            assert each["id"] not in self.made.acked
            if is_ghostly:
                self.made.ghosts.append(each["id"])
            else:
                self.made.acked[each["id"]] = each["sn"], number

    # --- what is true in the end

    async def _rows(self, path: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        page = 1
        while True:
            data = (await self._call("GET", f"{path}page={page}&limit=1000")).data
            rows += data["list"]
            if len(data["list"]) < 1000:
                assert len(rows) == data["total"]
                return rows
            page += 1

    async def _until(self, fits: Callable[[], Any], what: str) -> None:
        until = time.monotonic() + SETTLE_S
        while (left := await fits()) is not True:
            assert time.monotonic() < until, f"{what}: {left}"
            await asyncio.sleep(1)

    async def _settled(self) -> None:
        """Return once no command is open."""

        async def is_over() -> object:
            rows = await self._rows(f"{COMMANDS}?")
            return [row for row in rows if row["state"] < 2][:3] or True

        await self._until(is_over, "commands that stay open")

    async def _check_commands(self) -> None:
        rows = {row["id"]: row for row in await self._rows(f"{COMMANDS}?from=simulation&")}
        devices = {device.sn: device for device in self.devices}
        lost = [number for number in self.made.acked if number not in rows]
        assert not lost, f"lost: {lost[:5]}"
        asked = Counter((row["sn"], row["d"]["n"]) for row in rows.values())
        assert max(asked.values(), default=1) == 1
        for number, row in rows.items():
            if number not in self.made.acked:  # its caller got no answer
                assert row["sn"] in self.made.unclear[row["d"]["n"]], row
            told = devices[row["sn"]].told[number]
            assert told.runs <= told.told
            assert told.answer is not None
            assert (row["state"] == 2) == (told.answer["status"] == "ok"), (row, told)
            assert row["tryTimes"] <= row["maxRetries"]
            if row["state"] == 3:
                assert row["tryTimes"] == row["maxRetries"] <= told.runs
        unknown = {n for device in self.devices for n in device.told} - rows.keys()
        assert not unknown, f"devices did what nobody asked: {unknown}"
        for number in self.made.ghosts:
            said = await self._call("GET", f"{COMMANDS}?id={number}")
            said.assert_refused(404, "not_found")
        stats = (await self._call("GET", f"{COMMANDS}/stats")).data
        assert (stats["open"], stats["kept"]) == (0, len(rows))
        self.rows = rows

    async def _check_states(self) -> None:
        """Let half of them go, and compare."""
        before = dict(self.reported)

        async def has_reported() -> object:
            since = self.reported.items() - before.items()
            return len(since) == len(self.devices) or len(since)

        await self._until(has_reported, "devices that report")
        for device in self.devices[::2]:
            self._stay.discard(device.sn)
            device.cut()
        self._quiet = True

        async def is_equal() -> object:
            rows = {row["sn"]: row for row in await self._rows("/monitor/devices?")}
            return [*self._differences(rows)][:3] or True

        await self._until(is_equal, "states that differ")
        data = (await self._call("GET", "/monitor/devices/count")).data
        online = sum(device.link is not None for device in self.devices)
        assert data == {
            "offline": len(self.devices) - online,
            "online": online,
            "total": len(self.devices),
        }

    def _differences(self, rows: dict[str, dict[str, Any]]) -> Any:
        for device in self.devices:
            row = rows.get(device.sn)
            if row is None:
                yield device.sn, "missing"
                continue
            count = json.loads(row["sys"])["d"]["count"] if row["sys"] else 0
            # What got no PUBACK may have arrived, or not.
            most = self.reported[device.sn]
            wanted = device.link is not None, most - device.unsent, most
            if row["online"] is not wanted[0] or not wanted[1] <= count <= most:
                yield device.sn, row["online"], count, wanted

    def _figures(self) -> dict[str, object]:
        told = [each for device in self.devices for each in device.told.values()]
        states = Counter(row["state"] for row in self.rows.values())
        return {
            "commands": len(self.rows),
            "of which callers had no answer": len(self.rows) - len(self.made.acked),
            "succeeded": states[2],
            "failed": states[3],
            "expired": len(self.made.ghosts),
            "tries": sum(row["tryTimes"] for row in self.rows.values()),
            "runs": sum(each.runs for each in told),
            "told": sum(each.told for each in told),
            "reports": sum(self.reported.values()),
            "longest start, s": round(self.server.longest_start_s, 1),
            "most memory, MiB": round(self.most_mib, 1),
        }


async def simulate(plan: Plan, folder: Path) -> dict[str, object]:
    return await Simulation(plan, folder).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--commands-per-s", type=float, default=4)
    parser.add_argument("--report-s", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--durability", default="always")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    plan = Plan(**{name: value for name, value in vars(given).items()})
    with tempfile.TemporaryDirectory() as folder:
        for name, value in asyncio.run(simulate(plan, Path(folder))).items():
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
