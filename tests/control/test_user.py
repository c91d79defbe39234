"""The key ``user``: root's process becomes that user, and goes on working."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from nanomq_py import Config, ConfigError
from nanomq_py.run.privileges import check_user
from tests.certs import Certs
from tests.conftest import ROOT, Process, StartBroker, free_port, nanomq
from tests.control.test_restart import restart

pytestmark = pytest.mark.plain

NOBODY = pwd.getpwnam("nobody")


def nobody_can_run_it() -> bool:
    if os.geteuid() != 0:
        return False
    try:
        done = subprocess.run(
            [sys.executable, "-c", "import nanomq_py.server"],
            cwd=ROOT,
            user=NOBODY.pw_uid,
            group=NOBODY.pw_gid,
            extra_groups=[],
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
dropping = pytest.mark.skipif(
    not nobody_can_run_it(), reason="root must start it, and nobody be able to read Python"
)


def low_port() -> int:
    """Return a port that only root may bind, and that nobody listens on."""
    for port in range(1023, 900, -1):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    pytest.skip("every low port is taken")


def status(process: Process) -> dict[str, list[str]]:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return {name: rest.split() for name, _, rest in (line.partition(":") for line in lines)}


@pytest.fixture
def hidden(tmp_path: Path, certs: Certs) -> dict[str, str]:
    """Keys for TLS, in a folder that nobody can look into."""
    folder = tmp_path / "hidden"
    folder.mkdir(mode=0o700)
    cert = shutil.copy(certs.server.certfile, folder / "cert.pem")
    key = shutil.copy(certs.server.keyfile, folder / "key.pem")
    os.chmod(key, 0o600)
    return {
        "user": "nobody",
        "tls__enable": "true",
        "tls__url": f"tls+nmq-tcp://127.0.0.1:{low_port()}",
        "tls__certfile": str(cert),
        "tls__keyfile": str(key),
        "http_server__port": str(free_port()),
    }


def certificate(process: Process) -> str:
    """Return what the TLS listener shows."""
    return ssl.get_server_certificate(("127.0.0.1", process.ports["tls.url"]))


def test_user_must_exist() -> None:
    with pytest.raises(ConfigError, match="user=no-such-user: expected a user"):
        check_user(Config(user="no-such-user"))


def test_only_root_becomes_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY.pw_uid)
    assert check_user(Config(user="nobody")) is None
    with pytest.raises(ConfigError, match="user=root: expected the user that"):
        check_user(Config(user="root"))


@as_root
@pytest.mark.parametrize(
    ("keys", "warned"),
    [
        ("url=nmq-tcp://0.0.0.0:1883\n", True),
        ("url=nmq-tcp://0.0.0.0:1883\nuser=root\n", False),
        ("url=nmq-tcp://0.0.0.0:1883\nallow_anonymous=false\n", False),
        ("url=nmq-tcp://127.0.0.1:1883\n", False),
        ("url=\nlistener.a.url=nmq-ipc:///tmp/nanomq-no-such.sock\n", False),
    ],
)
def test_check_warns_of_an_open_listener_of_root(
    tmp_path: Path, keys: str, *, warned: bool
) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.write_text(f"{keys}websocket.enable=false\n")
    done = nanomq("conf", "check", str(conf))
    assert done.returncode == 0, done.stderr
    assert ("user: missing: the broker runs as root, and url=" in done.stdout) == warned


@as_root
def test_check_says_which_files_that_user_cannot_read(hidden: dict[str, str]) -> None:
    conf = Path(hidden["tls__keyfile"]).with_name("nanomq.conf")
    keys = ("user", "tls__enable", "tls__certfile", "tls__keyfile")
    conf.write_text("".join(f"{key.replace('__', '.')}={hidden[key]}\n" for key in keys))
    done = nanomq("conf", "check", str(conf))
    assert done.returncode == 0, done.stderr
    for what in (f"tls.keyfile={hidden['tls__keyfile']}", str(conf)):
        assert f"nanomq: warning: {what}: user nobody cannot read it" in done.stderr


@dropping
def test_process_is_that_user_for_good(
    start_broker: StartBroker, hidden: dict[str, str]
) -> None:
    process = start_broker(**hidden)
    now = status(process)
    assert now["Uid"] == [str(NOBODY.pw_uid)] * 4
    assert now["Gid"] == [str(NOBODY.pw_gid)] * 4
    assert set(now["Groups"]) <= {str(g) for g in os.getgrouplist("nobody", NOBODY.pw_gid)}
    assert {now[s][0].lstrip("0") for s in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {
        "400"
    }
    assert now["NoNewPrivs"] == ["1"]  # no program of it becomes root


@dropping
def test_no_right_stays_without_a_low_port(start_broker: StartBroker) -> None:
    now = status(start_broker(user="nobody"))
    for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
        assert int(now[name][0], 16) == 0, name


@dropping
def test_hidden_key_serves_and_a_changed_one_is_reloaded(
    start_broker: StartBroker, hidden: dict[str, str], certs: Certs
) -> None:
    process = start_broker(**hidden)
    assert certificate(process) == certs.server.certfile.read_text()
    shutil.copyfile(certs.client.certfile, hidden["tls__certfile"])
    shutil.copyfile(certs.client.keyfile, hidden["tls__keyfile"])
    assert process.reload()
    assert certificate(process) == certs.client.certfile.read_text()
    restart(process)
    assert status(process)["Uid"] == [str(NOBODY.pw_uid)] * 4
    assert certificate(process) == certs.client.certfile.read_text()
    shutil.copyfile(certs.server.certfile, hidden["tls__certfile"])
    shutil.copyfile(certs.server.keyfile, hidden["tls__keyfile"])
    assert process.reload(msq_len="7")["applied"]
    assert certificate(process) == certs.server.certfile.read_text()


@dropping
def test_replaced_key_is_refused(start_broker: StartBroker, hidden: dict[str, str]) -> None:
    process = start_broker(**hidden)
    key = Path(hidden["tls__keyfile"])
    key.rename(key.with_name("old"))
    shutil.copy(key.with_name("old"), key)
    for command in ("reload", "restart"):
        done = process.nanomq(command, "--conf", str(process.conf))
        assert done.returncode == 2
        assert (
            f"tls.keyfile={str(key)!r}: cannot be read: it is another file" in done.stderr
        )
        assert "user nobody cannot read it" in done.stderr
    certificate(process)  # it serves on


@dropping
def test_root_finds_it_and_stops_it(start_broker: StartBroker) -> None:
    process = start_broker(user="nobody")
    for command in ("reload", "restart", "stop"):
        done = process.nanomq(command, "--conf", str(process.conf))
        assert done.returncode == 0, done.stderr
    assert process.ends() == 0


@dropping
def test_restart_does_not_follow_another_user(start_broker: StartBroker) -> None:
    process = start_broker(user="nobody")
    process.set_keys(user="root")
    done = process.nanomq("restart", "--conf", str(process.conf))
    assert done.returncode == 2
    assert "user=root: expected the user that the broker runs as" in done.stderr


@dropping
def test_unix_socket_in_a_closed_folder(start_broker: StartBroker, tmp_path: Path) -> None:
    path = tmp_path / "mqtt.sock"
    process = start_broker(
        user="nobody",
        listener__ipc__url=f"nmq-ipc://{path}",
        http_server__port=str(free_port()),
    )
    assert path.stat().st_uid == NOBODY.pw_uid
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(str(path))
            c.sendall(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x0a\x00\x01c")
            assert c.recv(4) == b"\x20\x02\x00\x00"
        restart(process)


@dropping
def test_change_that_cannot_be_written_is_refused(
    start_broker: StartBroker, hidden: dict[str, str], certs: Certs
) -> None:
    """Its folder is closed to that user, and so is the file."""
    process = start_broker(**hidden)
    before = process.conf.read_text()
    for data in ({"qos_duration": 9}, {"tls": {"key": certs.client.keyfile.read_text()}}):
        answer = process.api(req=12, data=data)
        assert answer.status == 400, answer
        assert "not written: Permission denied" in str(answer.json)
    assert process.conf.read_text() == before


@dropping
def test_store_that_it_cannot_write_is_refused(tmp_path: Path) -> None:
    """Its bans would be forgotten."""
    conf = tmp_path / "nanomq.conf"
    conf.write_text("url=nmq-tcp://127.0.0.1:0\nwebsocket.enable=false\nuser=nobody\n")
    conf.with_suffix(".db").touch()
    done = nanomq("start", "--conf", str(conf))
    assert done.returncode == 2
    assert "user=nobody: cannot write the store" in done.stderr


@dropping
def test_as_a_daemon(tmp_path: Path) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.write_text(
        "url=nmq-tcp://127.0.0.1:0\nwebsocket.enable=false\nhttp_server.enable=false\n"
        "user=nobody\ndaemon=true\n"
    )
    done = nanomq("start", "--conf", str(conf))
    assert done.returncode == 0, done.stderr
    assert nanomq("stop", "--conf", str(conf)).returncode == 0
