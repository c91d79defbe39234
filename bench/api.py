"""Requests a second of /api/v1, with 10,000 clients connected."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.brokers import PASSWORD, Ports

CLIENTS = 10_000
REQUESTS = {2: 300, 5: 10}  # by request code, a round


@dataclass(frozen=True)
class Row:
    """What one kind of request cost."""

    req: int
    per_s: float
    cpu_us: float
    answer_bytes: int


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(connection: http.client.HTTPConnection, body: bytes) -> int:
    """Send one request and return how long its answer is."""
    token = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
    connection.request("POST", "/api/v1", body, headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200 or json.loads(text)["code"] != 0:
        raise SystemExit(f"/api/v1: {answer.status} {text[:200]!r}")
    return len(text)


def measure(load: Path, pid: int, ports: Ports, rounds: int) -> list[Row]:
    """Return one row for each request code."""
    rows = []
    command = [str(load), f"port={ports.tcp}", f"pid={pid}", "mode=hold", f"subs={CLIENTS}"]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        holder.stdout.readline()  # all are in
        connection = http.client.HTTPConnection("127.0.0.1", ports.http, timeout=60)
        for req, count in REQUESTS.items():
            body = json.dumps({"req": req, "seq": 1}).encode()
            answer_bytes = ask(connection, body)
            begun_s, begun_cpu_s = time.monotonic(), cpu_s(pid)
            for _ in range(count * rounds):
                ask(connection, body)
            seconds, used = time.monotonic() - begun_s, cpu_s(pid) - begun_cpu_s
            done = count * rounds
            rows.append(Row(req, done / seconds, used * 1e6 / done, answer_bytes))
    finally:
        holder.stdin.close()
        holder.wait(30)
    return rows
