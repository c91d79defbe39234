"""Clients with pre-shared keys, OpenSSL's and mosquitto's: ``listener.NAME.tls.psk_file``."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nanomq_py.config import ConfigError, parse
from nanomq_py.listen import psk
from nanomq_py.server import check_files
from tests.certs import Certs
from tests.conftest import FOREIGN_ENV, Process, StartBroker
from tests.raw import Closed, Raw
from tests.transport.test_tls import context
from tests.transport.test_tls import keys as with_certificates

KEY = "listener.d.url"
PUMP, VALVE = "0f" * 16, "a1" * 48
OTHER = "b2" * 16
CLIENT = "openssl s_client -quiet -connect 127.0.0.1:{}"
versions = pytest.mark.parametrize("tls", ["-tls1_2", "-tls1_3"])
pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl here")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "psk"
    file.write_text(f"# devices\r\n\r\npump-7:{PUMP}\r\nvalve:{VALVE.upper()}\n")
    file.chmod(0o600)
    return file


def keys(file: Path, **more: str) -> dict[str, str]:
    return {
        "listener__d__url": "tls+nmq-tcp://127.0.0.1:0",
        "listener__d__tls__psk_file": str(file),
        "listener__d__username_from": "psk",
        "allow_anonymous": "false",
        "acl_nomatch": "deny",
        "acl__rule__1": '{"permit":"allow","topics":["of/%u"]}',
        **more,
    }


@contextmanager
def dialled(process: Process, identity: str, key: str, *options: str) -> Iterator[Raw]:
    """Give what MQTT is spoken over: the two sides of a client of OpenSSL's."""
    ours, its = socket.socketpair()
    ours.settimeout(10)
    command = [*CLIENT.format(process.ports[KEY]).split(), *options]
    command += ["-psk_identity", identity, "-psk", key] if key else []
    with (
        its,
        subprocess.Popen(
            command, stdin=its, stdout=its, stderr=subprocess.DEVNULL, env=FOREIGN_ENV
        ) as openssl,
    ):
        its.close()
        with Raw(ours, 5) as raw:
            yield raw
        openssl.kill()


def user(process: Process, identity: str, key: str, *options: str) -> str | None:
    """Return which of three users the client is; None: it did not come in."""
    with dialled(process, identity, key, *options) as c:
        try:
            assert c.connect("c").reason == 0
        except (Closed, OSError):
            return None
        names = ("pump-7", "valve", "admin")
        codes = c.subscribe(*((f"of/{name}", 0) for name in names))
        (name,) = [n for n, code in zip(names, codes, strict=True) if code == 0]
        return name


@versions
def test_identity_is_the_user(start_broker: StartBroker, file: Path, tls: str) -> None:
    process = start_broker(**keys(file))
    assert user(process, "pump-7", PUMP, tls) == "pump-7"
    assert user(process, "valve", VALVE, tls) == "valve"
    assert user(process, "valve", PUMP, tls) is None
    assert user(process, "nobody", PUMP, tls) is None
    assert user(process, "pump", PUMP, tls) is None
    assert user(process, "", "", tls) is None
    assert PUMP not in "".join(process.lines)


def test_failed_handshake_is_logged_with_its_reason(
    start_broker: StartBroker, file: Path
) -> None:
    process = start_broker(**keys(file))
    assert user(process, "nobody", PUMP, "-tls1_2") is None
    process.waits_for("nobody has that pre-shared key")


@pytest.mark.parametrize(
    "cipher",
    [
        "ECDHE-PSK-CHACHA20-POLY1305",
        "PSK-AES256-GCM-SHA384",
        "PSK-AES128-GCM-SHA256",
        "PSK-AES128-CCM8",
    ],
)
def test_ciphers_of_psk(start_broker: StartBroker, file: Path, cipher: str) -> None:
    process = start_broker(**keys(file))
    assert user(process, "valve", VALVE, "-tls1_2", "-cipher", cipher) == "valve"


def test_cipher_without_authentication_of_its_data_is_not_spoken(
    start_broker: StartBroker, file: Path
) -> None:
    process = start_broker(**keys(file))
    cbc = ("-tls1_2", "-cipher", "PSK-AES128-CBC-SHA256")
    assert user(process, "valve", VALVE, *cbc) is None


def test_nobody_comes_in_with_a_certificate_instead(
    start_broker: StartBroker, certs: Certs, file: Path
) -> None:
    process = start_broker(
        **with_certificates(certs, tls__verify_peer="true"), **keys(file)
    )
    with (
        socket.create_connection(("127.0.0.1", process.ports[KEY]), 20) as plain,
        pytest.raises(OSError, match="alert"),
    ):
        context(certs, certs.client).wrap_socket(plain, server_hostname="localhost")


def test_without_username_from_nobody_is_a_user(
    start_broker: StartBroker, file: Path
) -> None:
    given = keys(file)
    del given["listener__d__username_from"], given["acl__rule__1"]
    process = start_broker(**given)
    with dialled(process, "pump-7", PUMP) as c:
        assert c.connect("c").reason == 0x87


def test_reload_reads_the_file_again(start_broker: StartBroker, file: Path) -> None:
    process = start_broker(**keys(file))
    with dialled(process, "pump-7", PUMP) as old:
        assert old.connect("old").reason == 0
        file.write_text(f"pump-7:{OTHER}\n")
        assert process.reload()["applied"] == ["listener.d.tls.psk_file"]
        assert user(process, "pump-7", PUMP) is None
        assert user(process, "valve", VALVE) is None
        assert user(process, "pump-7", OTHER) == "pump-7"
        old.ping()  # it came in before
    file.write_text(f"pump-7:{OTHER}\nbroken:{PUMP}0\n")
    refused = process.api(req=10, action="reload")
    assert f"{file}:2: expected a key of 16 to 48 bytes" in json.dumps(refused.json)
    assert user(process, "pump-7", OTHER) == "pump-7"


def test_keys_are_nowhere_to_be_read(start_broker: StartBroker, file: Path) -> None:
    file.chmod(0o644)
    process = start_broker(**keys(file, log__level="trace"))
    process.waits_for(f"{file}: mode 0644 lets every user of this machine read")
    assert user(process, "pump-7", PUMP) == "pump-7"
    assert user(process, "pump-7", OTHER) is None
    shown = process.api(req=11)
    file.write_text(f"pump-7:{PUMP}\nvalve:{VALVE}x\n")
    refused = process.api(req=10, action="reload")
    assert (shown.status, refused.status) == (200, 400)
    checked = process.nanomq("conf", "check", str(process.conf))
    told = "".join(process.lines) + json.dumps([shown.json, refused.json])
    told += checked.stdout + checked.stderr
    told += Path(f"/proc/{process.pid}/cmdline").read_text()
    told += Path(f"/proc/{process.pid}/environ").read_text()
    for key in (PUMP, VALVE, OTHER):
        assert key[:32] not in told.lower()


@pytest.mark.skipif(not shutil.which("mosquitto_pub"), reason="no mosquitto_pub here")
def test_mosquitto_publishes(start_broker: StartBroker, file: Path) -> None:
    process = start_broker(**keys(file))
    with dialled(process, "valve", VALVE) as c:
        c.connect("c")
        assert c.subscribe(("of/valve", 0)) == [0]
        said = f"mosquitto_pub -p {process.ports[KEY]} -t of/valve -m open --psk-identity valve"
        subprocess.run(
            [*said.split(), "--psk", VALVE], check=True, env=FOREIGN_ENV, timeout=20
        )
        assert c.expect(3).body.endswith(b"open")


def refusal(given: dict[str, str]) -> str:
    text = "".join(f"{name.replace('__', '.')}={value}\n" for name, value in given.items())
    with pytest.raises(ConfigError) as refused:
        check_files(parse(text, "x"))
    return str(refused.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "expected a line IDENTITY:KEY"),
        (b"# nothing\n", "expected a line IDENTITY:KEY"),
        (b"a\n", "{}:1: expected IDENTITY:KEY"),
        (b":%b\n" % PUMP.encode(), "{}:1: expected IDENTITY:KEY"),
        (b"a\0b:%b\n" % PUMP.encode(), "{}:1: expected IDENTITY:KEY"),
        (b"%b:%b\n" % (b"a" * 256, PUMP.encode()), "{}:1: expected an identity of 255"),
        (b"a:%b\n" % (b"0" * 30), "{}:1: expected a key of 16 to 48 bytes"),
        (b"a:%b\n" % (b"0" * 98), "{}:1: expected a key of 16 to 48 bytes"),
        (b"a:%b\n" % (b"0" * 33), "{}:1: expected a key of 16 to 48 bytes"),
        (b"a:%b\n" % ("٣" * 32).encode(), "{}:1: expected a key of 16 to 48 bytes"),
        (b"a:%b\n" % (b"g" * 32), "{}:1: expected a key of 16 to 48 bytes"),
        (b"\na:%b\na:%b\n" % ((PUMP.encode(),) * 2), "{}:3: this identity has a line"),
        (b"\xff:%b\n" % PUMP.encode(), "expected UTF-8"),
        (b"#" * (psk.MOST_BYTES + 1), "cannot be read: expected 8192 KiB at most"),
    ],
    ids=range(14),
)
def test_file_that_cannot_be_used_is_named(file: Path, content: bytes, says: str) -> None:
    file.write_bytes(content)
    told = refusal(keys(file))
    assert says.format(file) in told
    assert str(file) in told
    assert PUMP not in told


def test_fault_names_its_key(certs: Certs, file: Path) -> None:
    key = "listener.d.tls.psk_file"
    assert f"{key}='/none': cannot be read: No such file" in refusal(keys(Path("/none")))
    assert "listener.d.tls.certfile with it" in refusal(
        keys(file, listener__d__tls__certfile=str(certs.server.certfile))
    )
    assert "expected listener.d.username_from=psk" in refusal(
        keys(file, listener__d__username_from="cn")
    )
    plain = keys(file, listener__d__url="nmq-tcp://127.0.0.1:0")
    del plain["listener__d__username_from"]
    assert f"{key}='{file}': expected a listener with TLS" in refusal(plain)
