"""Brokers under measurement: how each is started, on which ports it serves."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OURS = "nanomq-py"
NO_PERSISTENCE = "persistence false\n"
PASSWORD = "public"  # of /api/v1, on a port of this machine alone


@dataclass(frozen=True)
class Ports:
    """Ports of one broker, by transport."""

    tcp: int
    tls: int
    ws: int
    http: int


@dataclass(frozen=True)
class Certificate:
    """What a TLS listener shows."""

    cert: Path
    key: Path


@dataclass(frozen=True)
class Peer:
    """A broker that can be started. `command` is shlex text with {port}, or None: known."""

    name: str
    command: str | None = None
    lines: str = ""  # more of its configuration; {folder}: one of its own
    environment: Mapping[str, str] = field(default_factory=dict)

    def start(
        self, ports: Ports, folder: Path, certificate: Certificate
    ) -> list[str] | None:
        """Write its configuration and return its command line; None: not installed."""
        if self.command is not None:
            return shlex.split(self.command.format(port=ports.tcp))
        known = mosquitto if self.name == "mosquitto" else ours
        return known(ports, folder, certificate, self.lines.format(folder=folder))

    @property
    def has_api(self) -> bool:
        return self.command is None and self.name != "mosquitto"

    def serves(self, transport: str) -> bool:
        """Return whether the transport is configured; others' commands listen on TCP only."""
        return self.command is None or transport == "tcp"


def ours(ports: Ports, folder: Path, certificate: Certificate, more: str) -> list[str]:
    conf = folder / "nanomq.conf"
    conf.write_text(
        f"url=nmq-tcp://127.0.0.1:{ports.tcp}\n"
        "websocket.enable=true\n"
        f"websocket.url=nmq-ws://127.0.0.1:{ports.ws}/mqtt\n"
        "tls.enable=true\n"
        f"tls.url=tls+nmq-tcp://127.0.0.1:{ports.tls}\n"
        f"tls.keyfile={certificate.key}\ntls.certfile={certificate.cert}\n"
        f"http_server.enable=true\nhttp_server.port={ports.http}\n"
        f"http_server.username=admin\nhttp_server.password={PASSWORD}\n{more}"
    )
    return [sys.executable, "-m", "nanomq_py", "start", "--conf", str(conf)]


def mosquitto(
    ports: Ports, folder: Path, certificate: Certificate, more: str
) -> list[str] | None:
    program = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
    if program is None:
        return None
    conf = folder / "mosquitto.conf"
    conf.write_text(
        "allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\n"
        f"{more or NO_PERSISTENCE}log_dest none\nset_tcp_nodelay true\n"
        f"user {getpass.getuser()}\n"  # else root's becomes one that cannot read the key
        f"listener {ports.tcp} 127.0.0.1\n"
        f"listener {ports.ws} 127.0.0.1\nprotocol websockets\n"
        f"listener {ports.tls} 127.0.0.1\n"
        f"certfile {certificate.cert}\nkeyfile {certificate.key}\n"
    )
    return [program, "-c", str(conf)]


def free_ports() -> Ports:
    """Return ports that were free just now."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
    numbers = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return Ports(*numbers)


def wait_until_served(broker: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until and broker.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise SystemExit(f"{broker.args!r} does not listen on port {port}")


@contextmanager
def serving(
    peer: Peer, folder: Path, certificate: Certificate, cpus: str | None = None
) -> Iterator[tuple[int, Ports] | None]:
    """Start the broker and yield its process and ports; None where it is not installed."""
    ports = free_ports()
    command = peer.start(ports, folder, certificate)
    if command is None:
        yield None
        return
    if cpus is not None:
        command = ["taskset", "-c", cpus, *command]
    environment = {**os.environ, **peer.environment}
    broker = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, env=environment)
    try:
        wait_until_served(broker, ports.tcp)
        if peer.has_api:
            wait_until_served(broker, ports.http)
        time.sleep(0.3)  # its other listeners, and what it does once it is up
        yield broker.pid, ports
    finally:
        broker.terminate()
        broker.wait(30)
