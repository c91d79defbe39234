"""A broker with the plugin, in a process that may be killed and started again."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.conftest import ROOT, free_port

START_S = 60.0


class Server:
    """A broker in a process that may be killed and started again."""

    def __init__(self, folder: Path, durability: str = "off") -> None:
        self.port, self.http_port = free_port(), free_port()
        self._folder = folder
        self.longest_start_s = 0.0
        self._popen: subprocess.Popen[bytes] | None = None
        self._log = folder / "log"
        self._conf = folder / "nanomq.conf"
        lines = {
            "url": f"nmq-tcp://127.0.0.1:{self.port}",
            "websocket.enable": "false",
            "http_server.port": str(self.http_port),
            "log.level": "info",
            "plugins.load": "devices",
            "durability": durability,
        }
        text = "".join(f"{name}={value}\n" for name, value in lines.items())
        self._conf.write_text(text)

    async def start(self) -> None:
        log = await asyncio.to_thread(self._log.open, "ab")
        at = self._log.stat().st_size
        with log:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "nanomq_py", "start", "--conf", str(self._conf)],
                cwd=ROOT,
                stderr=log,
                env={**os.environ, "XDG_RUNTIME_DIR": str(self._folder)},
            )
        began = time.monotonic()
        until = began + START_S
        while b"serving:" not in self._log.read_bytes()[at:]:
            assert self._popen.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            await asyncio.sleep(0.05)
        self.longest_start_s = max(self.longest_start_s, time.monotonic() - began)

    def log(self) -> str:
        """Return what it has said besides who came and went."""
        lines = self._log.read_text().splitlines()
        return "\n".join(
            [line for line in lines if not re.search(r" client '|nanomq\.audit", line)][
                -50:
            ]
        )

    def end(self, how: signal.Signals) -> None:
        if self._popen is not None:
            self._popen.send_signal(how)
            self._popen.wait(30)

    def memory_mib(self) -> float:
        assert self._popen is not None
        text = Path(f"/proc/{self._popen.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) / 1024
