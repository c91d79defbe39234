"""Brokers that die: a process that is killed, or one on a disk in memory whose power is cut."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Protocol

from tests.conftest import ROOT, conf_text

START_S = 60.0
STEP_S = 0.001


class Ended(Exception):
    """The broker has ended by itself."""


class Home(Protocol):
    def start(self) -> int:
        """Start the broker; return its port."""

    def die(self, rng: random.Random, how: str) -> None:
        """Let it live a moment, and end it."""

    def die_young(self, rng: random.Random) -> None:
        """Start it, and end it while it reads what the one before has left."""

    def close(self) -> None:
        """End it."""


class Program:
    """A process that says its port."""

    def __init__(self, folder: Path, command: list[str], port: str, **env: str) -> None:
        """port: a pattern that finds it in what the process says."""
        self.folder, self._command, self._port = folder, command, re.compile(port)
        # its end may be cut off: what a build counts of it goes elsewhere
        self.env = {"GCOV_PREFIX": str(folder / "covered"), **env}
        self._popen: subprocess.Popen[str] | None = None
        self._listener: threading.Thread | None = None
        self.said: list[str] = []

    def _spawn(self) -> subprocess.Popen[str]:
        self._popen = subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **self.env},
        )
        return self._popen

    def start(self) -> int:
        popen = self._spawn()
        found: list[int] = []
        serving = threading.Event()
        self.said = said = []

        def listen() -> None:
            assert popen.stdout is not None
            for line in popen.stdout:
                said.append(line)
                if not found and (match := self._port.search(line)):
                    found.append(int(match[1]))
                    serving.set()
            serving.set()

        self._listener = threading.Thread(target=listen, daemon=True)
        self._listener.start()
        serving.wait(START_S)
        if not found:
            self.close()
            raise Ended("".join(said[-20:]))
        return found[0]

    def oldest(self) -> str:
        """Return the name of the oldest file of the log."""
        with contextlib.suppress(OSError):
            return min((n for n in os.listdir(self.folder) if n[0].isdigit()), default="")
        return ""

    def live_on(self, rng: random.Random, how: str) -> None:
        """Return at a random moment."""
        if how == "anew":  # as the log begins anew, files are taken off its front
            oldest, until = self.oldest(), time.monotonic() + 1
            while self.oldest() == oldest and time.monotonic() < until:
                time.sleep(STEP_S)
            time.sleep(rng.random() * 0.003)
        else:
            time.sleep(rng.random() ** 2 * 0.8)

    def die(self, rng: random.Random, how: str) -> None:
        self.live_on(rng, how)
        ended = self.code() is not None
        self.close()
        if ended:
            raise Ended("".join(self.said[-20:]))

    def begin_to_start(self, rng: random.Random) -> None:
        """Start, and return while the log is read."""
        popen = self._spawn()
        until = time.monotonic() + START_S
        while not self._has_the_folder(popen.pid) and time.monotonic() < until:
            if popen.poll() is not None:
                raise Ended(popen.stdout.read() if popen.stdout else "")
            time.sleep(STEP_S)
        time.sleep(rng.random() ** 2 * 0.05)

    def die_young(self, rng: random.Random) -> None:
        self.begin_to_start(rng)
        self.close()

    def code(self) -> int | None:
        """Return with what it has ended; None: it lives."""
        return self._popen.poll() if self._popen is not None else None

    def stop(self) -> int:
        """End it as SIGTERM does; return with what it has ended."""
        if self._popen is not None:
            self._popen.send_signal(signal.SIGTERM)
        return self.ends()

    def ends(self) -> int:
        """Wait for its end, and for all that it says; return with what it has ended."""
        assert self._popen is not None
        status = self._popen.wait(START_S)
        if self._listener is not None:
            self._listener.join()
        return status

    def _has_the_folder(self, pid: int) -> bool:
        fds = f"/proc/{pid}/fd"
        with contextlib.suppress(OSError):
            return any(
                os.readlink(f"{fds}/{fd}") == str(self.folder) for fd in os.listdir(fds)
            )
        return False

    def close(self) -> None:
        if self._popen is None:
            return
        self._popen.send_signal(signal.SIGKILL)
        self._popen.wait()
        if self._listener is not None:
            self._listener.join()
            self._listener = None
        if self._popen.stdout is not None:
            self._popen.stdout.close()


def broker(folder: Path, store: Path | None = None, **keys: str) -> Program:
    """Return the broker as users run it. store: where the log is."""
    folder.mkdir(exist_ok=True)
    store = store or folder / "store"
    conf = folder / "nanomq.conf"
    given = {
        "durability": "always",
        "durability__location": str(store),
        "durability__segment_size": "1MB",
        "http_server__enable": "false",
        "msq_len": "65535",
        "max_queue_size": "0",
    }
    conf.write_text(conf_text(**{**given, **keys}))
    command = [sys.executable, "-m", "nanomq_py", "start", "--conf", str(conf)]
    port = r"serving: .*\burl on port (\d+)"
    return Program(store, command, port, XDG_RUNTIME_DIR=str(folder))
