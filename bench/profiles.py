"""``python bench/profiles.py``: what an idle broker takes of memory, by what is switched on.

    python bench/profiles.py [--tree PATH] [--rounds 3]

Each profile is a process of its own, as an installed one: its modules are compiled. It has
answered one request, where it has HTTP, and one client came through the listener that the
profile is about. What it takes then is its resident memory, once that no longer changes.

--tree   another checkout, with its extension module built: what it took before, say
"""

from __future__ import annotations

import argparse
import base64
import functools
import json
import re
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import jwt  # noqa: E402
from cryptography.hazmat.primitives import serialization  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: E402

from bench.brokers import PASSWORD, Ports, free_ports, wait_until_served  # noqa: E402
from tests import certs, raw  # noqa: E402
from tests.frames import BINARY, frame  # noqa: E402

SECRET = "0123456789abcdef" * 2
STEADY_KIB = 64  # it has changed by less, in a second
UPGRADE = (
    b"GET /mqtt HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)

TCP = "url=nmq-tcp://127.0.0.1:{ports.tcp}\nwebsocket.enable=false\n"
HTTP = f"{TCP}http_server.enable=true\nhttp_server.port={{ports.http}}\n"
BASIC = f"{HTTP}http_server.username=admin\nhttp_server.password={PASSWORD}\n"
JWT = f"{HTTP}http_server.auth_type=jwt\n"


@dataclass(frozen=True)
class Keys:
    """What TLS and JWT need."""

    server: certs.Identity
    signer: rsa.RSAPrivateKey
    public: Path  # of the signer


Act = Callable[[Ports, Keys], None]


@dataclass(frozen=True)
class Profile:
    """Lines of a configuration, and what happens before its memory is looked at."""

    name: str
    lines: str
    acts: tuple[Act, ...]


def over_tcp(ports: Ports, keys: Keys) -> None:
    with raw.Raw(ports.tcp, timeout=20) as c:
        c.connect("c")
        c.leave()


def over_tls(ports: Ports, keys: Keys) -> None:
    context = ssl.create_default_context(cafile=str(keys.server.certfile))
    with (
        socket.create_connection(("127.0.0.1", ports.tls), 20) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as sock,
    ):
        sock.sendall(raw.connect("c"))
        sock.recv(100)


def over_websocket(ports: Ports, keys: Keys) -> None:
    with socket.create_connection(("127.0.0.1", ports.ws), 20) as sock:
        sock.sendall(UPGRADE)
        sock.recv(1000)
        sock.sendall(frame(BINARY, raw.connect("c")))
        sock.recv(100)


def request(ports: Ports, authorization: str) -> None:
    """Ask for the statistics of the broker."""
    body = json.dumps({"req": 2, "seq": 1}).encode()
    asked = urllib.request.Request(
        f"http://127.0.0.1:{ports.http}/api/v1", body, {"Authorization": authorization}
    )
    with urllib.request.urlopen(asked, timeout=20) as answer:
        answer.read()


def with_basic(ports: Ports, keys: Keys) -> None:
    request(ports, "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode())


def with_jwt(algorithm: str, ports: Ports, keys: Keys) -> None:
    key = SECRET if algorithm == "HS256" else keys.signer
    token = jwt.encode({"exp": time.time() + 600}, key, algorithm)
    request(ports, f"Bearer {token}")


PROFILES = (
    Profile("core, without HTTP", f"{TCP}http_server.enable=false\n", (over_tcp,)),
    Profile("V1 and Basic", BASIC, (over_tcp, with_basic)),
    Profile(
        "V1 and JWT, HS256",
        f"{JWT}http_server.jwt.secret={SECRET}\n",
        (over_tcp, functools.partial(with_jwt, "HS256")),
    ),
    Profile(
        "V1 and JWT, RS256",
        f"{JWT}http_server.jwt.public.keyfile={{keys.public}}\n",
        (over_tcp, functools.partial(with_jwt, "RS256")),
    ),
    Profile(
        "V1 and Basic, WebSocket",
        BASIC.replace("websocket.enable=false", "websocket.enable=true")
        + "websocket.url=nmq-ws://127.0.0.1:{ports.ws}/mqtt\n",
        (over_tcp, over_websocket, with_basic),
    ),
    Profile(
        "V1 and Basic, TLS",
        f"{BASIC}tls.enable=true\ntls.url=tls+nmq-tcp://127.0.0.1:{{ports.tls}}\n"
        "tls.keyfile={keys.server.keyfile}\ntls.certfile={keys.server.certfile}\n",
        (over_tcp, over_tls, with_basic),
    ),
)


def resident_kib(pid: int) -> int:
    """Return what the process takes, once that is the same for a second."""
    before = 0
    while True:
        time.sleep(1)
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        (found,) = re.findall(r"^Rss:\s+(\d+) kB", text, re.MULTILINE)
        if abs(int(found) - before) < STEADY_KIB:
            return int(found)
        before = int(found)


def measure(tree: Path, folder: Path, profile: Profile, keys: Keys) -> float:
    """Return the MiB that a broker of that profile takes."""
    ports = free_ports()
    conf = folder / "nanomq.conf"
    conf.write_text(profile.lines.format(ports=ports, keys=keys), encoding="utf-8")
    command = [sys.executable, "-m", "nanomq_py", "start", "--conf", str(conf)]
    broker = subprocess.Popen(command, cwd=tree, stderr=subprocess.DEVNULL)
    try:
        wait_until_served(broker, ports.tcp)
        time.sleep(0.3)  # its other listeners
        for act in profile.acts:
            act(ports, keys)
        return resident_kib(broker.pid) / 1024
    finally:
        broker.terminate()
        broker.wait(30)


def make_keys(folder: Path) -> Keys:
    signer = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = folder / "public.pem"
    public.write_bytes(
        signer.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return Keys(certs.identity(folder, "127.0.0.1"), signer, public)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", type=Path, default=ROOT)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print("| profile | MiB, idle |\n| --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        keys = make_keys(folder)
        for profile in PROFILES:
            found = [
                measure(given.tree, folder, profile, keys) for _ in range(given.rounds + 1)
            ]
            print(f"| {profile.name} | {statistics.median(found[1:]):.1f} |", flush=True)


if __name__ == "__main__":
    main()
