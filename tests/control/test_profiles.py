"""What an idle broker takes of memory, by what is switched on."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
import urllib.request
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from nanomq_py.store.banned import Ban, BanKind, BanTable
from nanomq_py.store.store import Store
from tests.conftest import Process, StartBroker

pytestmark = [pytest.mark.alone, pytest.mark.plain]

SECRET = "0123456789abcdef" * 2


def resident_mib(process: Process) -> float:
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    return int(re.findall(r"^Rss:\s+(\d+) kB", text, re.M)[0]) / 1024


def private_mib(process: Process) -> float:
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.findall(r"^RssAnon:\s+(\d+) kB", text, re.M)[0]) / 1024


@pytest.fixture
def start(start_broker: StartBroker, tmp_path: Path) -> StartBroker:
    """Start a broker as an installed one starts: from the compiled modules."""
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}

    def again(**given: str) -> Process:
        given = {"http_server__dialects": "v1", **given}
        assert start_broker(compiled, **given).stop() == 0
        return start_broker(compiled, **given)

    return again


def ask(process: Process, token: str) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{process.http_port}/api/v1",
        json.dumps({"req": 2, "seq": 1}).encode(),
        {"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


def status(process: Process, path: str) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{process.http_port}{path}",
        headers={"Authorization": "Basic " + base64.b64encode(b"admin:public").decode()},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return int(answer.status)


def test_core_with_v1_and_basic(start: StartBroker) -> None:
    process = start()
    assert process.api(req=2).status == 200
    assert resident_mib(process) < 39
    without = start(http_server__enable="false")
    assert resident_mib(process) - resident_mib(without) < 5.5


def asked(start: StartBroker, dialects: str, *paths: str) -> tuple[float, float]:
    """Return what a broker takes that was asked at ``/api/v1``, and then at the paths too.

    What a request loads was compiled for a process before, as it is where it is installed.
    """
    for _ in range(2):
        process = start(http_server__dialects=dialects)
        assert process.api(req=2).status == 200
        before = private_mib(process)
        assert {status(process, path) for path in paths} <= {200}
    return before, private_mib(process)


@pytest.mark.parametrize(
    ("more", "paths"),
    [
        ("v2", ("/api/v2/monitoring/nodes", "/api/v2/nodes/nanomq@edge/clients")),
        ("v4", ("/api/v4/brokers", "/api/v4/clients")),
        ("v2,v4", ("/api/v2/monitoring/nodes", "/api/v4/clients")),
    ],
)
def test_dialects_take_little(
    start: StartBroker, more: str, paths: tuple[str, ...]
) -> None:
    """Some 0.3 MiB, and what is asked for; EMQX's two have much in common."""
    alone, _ = asked(start, "v1")
    idle, busy = asked(start, f"v1,{more}", *paths)
    assert idle - alone < 0.8
    assert busy - alone < 1


def test_jwt(start: StartBroker, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = tmp_path / "public.pem"
    path.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    process = start(
        http_server__auth_type="jwt",
        http_server__jwt__secret=SECRET,
        http_server__jwt__public__keyfile=str(path),
    )
    claims = {"exp": time.time() + 60}
    ask(process, jwt.encode(claims, SECRET, "HS256"))
    ask(process, jwt.encode(claims, key, "RS256"))
    basic = start()
    assert basic.api(req=2).status == 200
    assert resident_mib(process) - resident_mib(basic) < 2


def test_the_store(start: StartBroker, tmp_path: Path) -> None:
    path = tmp_path / "kept.db"

    async def fill() -> None:
        made = Store(path)
        await BanTable(made).put([Ban(BanKind.CLIENT_ID, "c", None, 0.0)])
        await made.close()

    asyncio.run(fill())
    process = start(store__path=str(path))
    with process.raw(5) as c:
        assert c.connect("c").reason == 0x8A
    without = start(store__path=str(tmp_path / "none.db"))
    with without.raw(5) as c:
        assert c.connect("c").reason == 0
    # Most of it is SQLite's library: file pages, shared with all who use it.
    assert resident_mib(process) - resident_mib(without) < 2.3
    assert private_mib(process) - private_mib(without) < 0.8


def test_flapping_detection(start: StartBroker) -> None:
    process = start(flapping_detect__enable="true")
    without = start()
    for each in (process, without):
        with each.raw() as c:
            c.connect("c")
    assert resident_mib(process) - resident_mib(without) < 1
