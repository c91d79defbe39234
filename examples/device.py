"""A device of the IoT platform (docs/iot.md): it reports, and does what is asked of it.

    python examples/device.py 8CFCA0107D1B --allow whoami --allow "df -h"

It runs `sh` commands of its allow-list only, each as it stands there, without a shell. What it
is told twice it runs once: a file says which commands it has begun and what it has answered,
and so a device that starts anew answers again, or says that it was interrupted.

Needs   aiomqtt
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiomqtt

MOST_REMEMBERED = 1000
MOST_OUTPUT_BYTES = 32 << 10
RUN_S = 30.0  # a command's
AGAIN_S = 1.0  # after the connection was lost
Answer = dict[str, Any]


def uptime_s() -> int:
    """Return the device's clock, as reports and answers have it: seconds since it booted."""
    return int(time.monotonic())


class Memory:
    """The latest commands by number, with what was answered; None: one that was begun."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[int, Answer | None] = {}
        with contextlib.suppress(FileNotFoundError):
            said = json.loads(path.read_text())
            self._known = {int(number): answer for number, answer in said.items()}

    def knows(self, number: int) -> bool:
        return number in self._known

    def answer(self, number: int) -> Answer | None:
        return self._known.get(number)

    def keep(self, number: int, answer: Answer | None) -> None:
        """Take note, on the disk, too."""
        self._known.pop(number, None)
        self._known[number] = answer
        while len(self._known) > MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        new = self._path.with_suffix(".new")
        with new.open("w") as file:
            json.dump(self._known, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)


@dataclass
class Device:
    """What it is, and what it may do.

    allow        command lines of `sh` that it runs
    peripherals  what hangs on it, by number
    """

    sn: str
    memory: Memory
    prefix: str = "dma"
    allow: Sequence[str] = ("whoami", "uptime")
    peripherals: Sequence[str] = ()
    report_s: float = 60.0
    _running: set[int] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    # --- reports

    def reports(self) -> list[tuple[str, Any]]:
        """Return what it says of itself, by topic below the prefix."""
        free, used = memory_kib()
        of_all = {"sn": self.sn, "time": uptime_s()}
        found = [
            ("procs", [{"n": "device", "mem": rss_kib()}]),
            ("sys", {"free": free, "load": os.getloadavg()[0], "used": used}),
            ("versions", [{"n": "device", "v": "1.0.0"}]),
        ]
        made: list[tuple[str, Any]] = [
            (f"report/{name}", {**of_all, "d": said}) for name, said in found
        ]
        for number in self.peripherals:
            said = {"gwId": self.sn, "nId": number, "online": True, "msg": {"alive": True}}
            made.append(("report/peripheral", {**of_all, **said}))
        return made

    async def _report(self, client: aiomqtt.Client) -> None:
        while True:
            for topic, said in self.reports():
                await client.publish(f"{self.prefix}/{topic}", json.dumps(said), qos=1)
            await asyncio.sleep(self.report_s)

    # --- commands

    async def _obey(self, client: aiomqtt.Client, payload: bytes) -> None:
        try:
            message = json.loads(payload)
            number = int(message["id"])
        except (ValueError, KeyError, TypeError) as fault:
            print(f"no command: {fault!r}", flush=True)
            return
        if number in self._running:
            return  # it was told twice: the answer is to come
        answer = self.memory.answer(number)
        if answer is None or answer["status"] != "ok":  # what has failed is tried again
            answer = await self._done(number, message)
        # Where the connection is lost, the platform asks again.
        with contextlib.suppress(aiomqtt.MqttError):
            await client.publish(f"{self.prefix}/resp/cmd", json.dumps(answer), qos=1)

    async def _done(self, number: int, message: dict[str, Any]) -> Answer:
        """Do it, and return the answer; one that was begun once and not ended has failed."""
        was_begun = self.memory.knows(number) and self.memory.answer(number) is None
        self._running.add(number)
        try:
            if was_begun:
                status, data = "failed", {"msg": "interrupted: the device has started anew"}
            else:
                self.memory.keep(number, None)
                status, data = await self._run(message)
        finally:
            self._running.discard(number)
        answer = {
            "id": number,
            "sn": self.sn,
            "command": message.get("command", ""),
            "status": status,
            "d": data,
            "time": uptime_s(),
        }
        self.memory.keep(number, answer)
        return answer

    async def _run(self, message: dict[str, Any]) -> tuple[str, dict[str, str]]:
        """Return the status, and what the document shows of an answer to `sh`."""
        name, body = message.get("command", ""), message.get("d")
        line = body.get("shcmd", "") if isinstance(body, dict) else ""
        if name != "sh" or line not in self.allow:
            return "err", result("err", f"not allowed: {name} {line}".strip())
        try:
            process = await asyncio.create_subprocess_exec(
                *shlex.split(line),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as fault:
            return "failed", result("failed", str(fault))
        try:
            output, _ = await asyncio.wait_for(process.communicate(), RUN_S)
        except asyncio.TimeoutError:
            return "failed", result("failed", f"it takes longer than {RUN_S:g} s")
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        status = "ok" if process.returncode == 0 else "failed"
        text = "" if status == "ok" else f"exit status {process.returncode}"
        return status, result(status, text, output[:MOST_OUTPUT_BYTES])

    # --- its life

    async def live(self, host: str, port: int) -> None:
        """Be there until it is cancelled; come again when the connection is lost."""
        while True:
            try:
                async with aiomqtt.Client(
                    host, port, identifier=self.sn, clean_session=False
                ) as client:
                    await self._serve(client)
            except aiomqtt.MqttError as fault:
                print(f"{fault}; again in {AGAIN_S:g} s", flush=True)
                await asyncio.sleep(AGAIN_S)

    async def _serve(self, client: aiomqtt.Client) -> None:
        await client.subscribe(f"{self.prefix}/cmd/{self.sn}", qos=1)
        print(f"{self.sn} is there", flush=True)
        reports = asyncio.ensure_future(self._report(client))
        try:
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                task = asyncio.ensure_future(self._obey(client, message.payload))
                self._tasks.add(task)  # it outlives the connection
                task.add_done_callback(self._tasks.discard)
        finally:
            reports.cancel()
            await asyncio.gather(reports, return_exceptions=True)


def result(status: str, text: str, output: bytes = b"") -> dict[str, str]:
    """Return the data of an answer to `sh`."""
    encoded = base64.b64encode(output).decode()
    return {"exestatus": status, "msg": text, "result": encoded, "status": status}


def memory_kib() -> tuple[int, int]:
    """Return how much memory is free, and how much is used."""
    found = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free, total = (int(found[name].split()[0]) for name in ("MemAvailable", "MemTotal"))
    return free, total - free


def rss_kib() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("sn", help="its serial number, which is its client identifier")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--prefix", default="dma", help="what topics begin with")
    parser.add_argument("--allow", action="append", help="a command line that it runs")
    parser.add_argument("--peripheral", action="append", default=[], help="its number")
    parser.add_argument("--report-s", type=float, default=60.0)
    parser.add_argument("--memory", type=Path, help="file of commands; default: SN.json")
    given = parser.parse_args()
    memory = Memory(given.memory or Path(f"{given.sn}.json"))
    device = Device(
        given.sn,
        memory,
        given.prefix,
        given.allow or ("whoami", "uptime"),
        given.peripheral,
        given.report_s,
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(device.live(given.host, given.port))


if __name__ == "__main__":
    main()
