"""Whatever fails in a change: the old configuration runs on, and the file is whole."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nanomq_py import Broker, Config, ConfigError
from nanomq_py.config import load
from nanomq_py.config.file import ConfFile
from nanomq_py.core.binding import Core, CoreError
from nanomq_py.core.options import core_options
from nanomq_py.core.records import ListenerOptions
from nanomq_py.kernel.part import Part
from nanomq_py.kernel.parts import Parts
from nanomq_py.kernel.reload import Reloader
from nanomq_py.run.logs import LogsChange
from tests.certs import Certs
from tests.conftest import ROOT, Process, StartBroker, free_port
from tests.noted import Noted
from tests.raw import Raw

EINVAL = -6  # NMQ_EINVAL
TEXT = "# mine\nurl=nmq-tcp://127.0.0.1:0\nmsq_len=5\n"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "nanomq.conf"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def reloader(conf: Path, *parts: Part) -> Reloader:
    return Reloader(ConfFile(conf, {}), Parts(parts))


def set_length(config: Config) -> Config:
    return replace(config, msq_len=6)


# --- steps of the transaction


async def test_all_is_prepared_before_any_is_put_in_force(conf: Path) -> None:
    notes: list[str] = []
    a, b = Noted("a", notes), Noted("b", notes)
    await reloader(conf, a, b).change(set_length, "me")
    assert notes == ["a prepare", "b prepare", "a commit", "b commit"]
    assert conf.read_text() == TEXT.replace("msq_len=5", "msq_len=6")


@pytest.mark.parametrize(
    ("step", "after"),
    [
        ("prepare", ["a prepare", "b prepare", "a undo"]),
        ("commit", ["a prepare", "b prepare", "a commit", "b commit", "b undo", "a undo"]),
    ],
)
async def test_step_that_fails_is_undone_with_those_before(
    conf: Path, step: str, after: list[str]
) -> None:
    notes: list[str] = []
    a, b = Noted("a", notes), Noted("b", notes, step)
    running = reloader(conf, a, b)
    with pytest.raises(ConfigError, match="made up"):
        await running.change(set_length, "me")
    assert notes == after
    assert conf.read_text() == TEXT
    assert running.config.msq_len == 5
    assert [path.name for path in conf.parent.iterdir() if path != conf] in (
        [], ["nanomq.conf.bak"],
    )  # fmt: skip


# --- the file


async def test_write_keeps_the_mode_and_the_old_file(conf: Path) -> None:
    await reloader(conf).change(set_length, "me")
    assert conf.stat().st_mode & 0o777 == 0o640
    backup = conf.with_name("nanomq.conf.bak")
    assert (backup.read_text(), backup.stat().st_mode & 0o777) == (TEXT, 0o640)


async def test_file_behind_a_symbolic_link_is_changed_and_the_link_stays(
    conf: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.conf"
    link.symlink_to(conf)
    await reloader(link).change(set_length, "me")
    assert link.is_symlink()
    assert "msq_len=6" in conf.read_text()


async def test_link_that_leads_elsewhere_is_followed(conf: Path, tmp_path: Path) -> None:
    link, other = tmp_path / "link.conf", tmp_path / "other.conf"
    other.write_text("msq_len=77\n")
    link.symlink_to(conf)
    running = reloader(link)
    link.unlink()
    link.symlink_to(other)
    conf.unlink()
    await running.reload("me")
    assert running.config.msq_len == 77


async def test_file_that_somebody_changed_is_not_overwritten(conf: Path) -> None:
    running = reloader(conf)
    conf.write_text(TEXT + "# theirs\n")
    with pytest.raises(ConfigError, match="changed on disk since it was read: reload"):
        await running.change(set_length, "me")
    assert conf.read_text() == TEXT + "# theirs\n"
    await running.reload("me")
    await running.change(set_length, "me")
    assert conf.read_text().endswith("# theirs\n")


async def test_file_that_is_gone_is_not_made_anew(conf: Path) -> None:
    running = reloader(conf)
    conf.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        await running.change(set_length, "me")
    assert not conf.exists()


def raising(number: int) -> Callable[..., None]:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO, errno.EROFS])
@pytest.mark.parametrize("call", ["open", "write", "fchmod", "fsync", "replace"])
async def test_write_that_fails_at_any_call_leaves_the_file(
    conf: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    notes: list[str] = []
    running = reloader(conf, Noted("part", notes))
    with monkeypatch.context() as patch:
        patch.setattr(f"nanomq_py.config.file.os.{call}", raising(number))
        with pytest.raises(ConfigError, match=os.strerror(number)):
            await running.change(set_length, "me")
    assert conf.read_text() == TEXT
    assert notes == ["part prepare", "part undo"]
    assert not list(conf.parent.glob(".*.new"))
    await running.change(set_length, "me")
    assert "msq_len=6" in conf.read_text()


async def test_rename_that_fails_leaves_the_file(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = os.replace

    def fail_for_the_file(old: Path, new: Path) -> None:
        if new == conf:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        right(old, new)

    monkeypatch.setattr("nanomq_py.config.file.os.replace", fail_for_the_file)
    with pytest.raises(ConfigError, match="not written: Input/output error"):
        await reloader(conf).change(set_length, "me")
    assert conf.read_text() == TEXT


async def test_short_writes_are_gone_on_with(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr("nanomq_py.config.file.os.write", lambda fd, d: write(fd, d[:3]))
    await reloader(conf).change(set_length, "me")
    assert conf.read_text() == TEXT.replace("msq_len=5", "msq_len=6")


async def test_file_system_without_links_keeps_a_copy(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanomq_py.config.file.os.link", raising(errno.EPERM))
    await reloader(conf).change(set_length, "me")
    assert conf.with_name("nanomq.conf.bak").read_text() == TEXT


KILLED = """
import sys, itertools
from dataclasses import replace
from pathlib import Path
from nanomq_py.config.file import ConfFile
file = ConfFile(Path(sys.argv[1]), {})
print("ready", flush=True)
for n in itertools.count(1):
    config = replace(file.reading.config, msq_len=n % 60000 + 1)
    reading = file.edited(config)
    replacement = file.replacement(reading)
    replacement.commit()
    file.reading = reading
"""


@pytest.mark.parametrize("after_ms", range(0, 60, 5))
def test_kill_9_at_any_moment_leaves_the_old_or_the_new_file_whole(
    conf: Path, after_ms: int
) -> None:
    conf.write_text(TEXT + "".join(f"# {n}\n" for n in range(3000)))
    writer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(conf)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    time.sleep(after_ms / 1000)
    writer.send_signal(signal.SIGKILL)
    writer.wait(10)
    writer.stdout.close()
    for path in (conf, conf.with_name("nanomq.conf.bak")):
        if path.exists():
            assert path.read_text().endswith("# 2999\n")
            assert load(path).url == "nmq-tcp://127.0.0.1:0"
    ConfFile(conf, {})  # what was left beside it hinders nobody


# --- the broker


def runs_as_before(process: Process, text: str) -> None:
    assert process.conf.read_text() == text
    assert process.api(req=11).json["data"]["msq_len"] == 1024
    with process.raw(5) as c:
        c.connect("c")


def test_port_that_is_taken(start_broker: StartBroker) -> None:
    process = start_broker()
    text = process.conf.read_text()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        for data, key in (
            ({"url": f"nmq-tcp://127.0.0.1:{port}"}, "url="),
            ({"http_server": {"port": port}}, f"http_server.port={port}"),
            (
                {"websocket": {"enable": True, "url": f"nmq-ws://127.0.0.1:{port}/"}},
                "websoc",
            ),
        ):
            got = process.api(req=12, data={"msq_len": 9, **data})
            assert (got.status, got.json["code"]) == (400, 108)
            assert key in got.json["message"]
            assert "in use" in got.json["message"]
            runs_as_before(process, text)


def test_last_step_that_fails_closes_the_listeners_that_were_opened(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    process = start_broker(listener__a__url=f"nmq-ipc://{tmp_path}/old")
    port = free_port()
    before = process.conf.read_text()
    process.set_keys(
        url=f"nmq-tcp://127.0.0.1:{port}", listener__a__url=f"nmq-ipc://{tmp_path}/new",
        msq_len="9", log__to="file", log__dir="/dev/null/no",
    )  # fmt: skip
    got = process.api(req=10, action="reload")
    assert (got.status, "log.dir='/dev/null/no'" in got.json["message"]) == (400, True)
    with pytest.raises(ConnectionRefusedError):
        Raw(port)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_socket()) == ["old"]
    process.conf.write_text(before)
    runs_as_before(process, before)


@pytest.mark.parametrize("fault", ["missing", "no PEM", "of another", "encrypted"])
def test_keys_that_cannot_be_used(
    start_broker: StartBroker, certs: Certs, tmp_path: Path, fault: str
) -> None:
    process = start_broker()
    text = process.conf.read_text()
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    key, says = {
        "missing": (str(tmp_path / "none"), "cannot be read"),
        "no PEM": (str(junk), "expected a PEM file"),
        "of another": (str(certs.client.keyfile), "does not belong"),
        "encrypted": (str(certs.locked.keyfile), "tls.key_password: missing"),
    }[fault]
    process.set_keys(
        tls__enable="true", tls__url="tls+nmq-tcp://127.0.0.1:0", tls__keyfile=key,
        tls__certfile=str((certs.locked if fault == "encrypted" else certs.server).certfile),
        msq_len="9",
    )  # fmt: skip
    got = process.api(req=10, action="reload")
    assert (got.status, says in got.json["message"]) == (400, True), got
    process.conf.write_text(text)
    runs_as_before(process, text)


def test_token_key_that_cannot_be_read(start_broker: StartBroker) -> None:
    process = start_broker()
    process.set_keys(http_server__auth_type="jwt", msq_len="9")
    got = process.api(req=10, action="reload")
    assert "http_server.jwt.public.keyfile: missing" in got.json["message"]
    process.set_keys(http_server__jwt__secret="short")
    got = process.api(req=10, action="reload")
    assert "http_server.jwt.secret=(hidden): expected 32 bytes" in got.json["message"]


def test_tls_listener_that_cannot_move_is_where_it_was(
    start_broker: StartBroker, certs: Certs
) -> None:
    port = free_port()
    process = start_broker(
        listener__a__url=f"tls+nmq-tcp://127.0.0.1:{port}",
        tls__certfile=str(certs.server.certfile),
        tls__keyfile=str(certs.server.keyfile),
    )
    process.set_keys(listener__a__url=f"tls+nmq-tcp://192.0.2.1:{port}")
    got = process.api(req=10, action="reload")
    assert "the address cannot be used" in got.json["message"]
    socket.create_connection(("127.0.0.1", port), 20).close()


@pytest.mark.parametrize("call", ["set_options", "set_listener", "listen"])
async def test_core_that_is_out_of_memory(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    old = Config(
        url="nmq-tcp://127.0.0.1:0", websocket=replace(Config().websocket, url=None)
    )
    async with Broker(old) as broker:
        listener = replace(old.listeners[0] if old.listeners else _listener(), name="tcp")
        new = replace(old, msq_len=9, listeners=(listener, _listener("b")))
        right = getattr(Core, call)
        calls = 0

        def fail_once(self: Core, *args: object, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            if calls == 1:
                raise CoreError(-1)
            return right(self, *args, **kwargs)

        monkeypatch.setattr(Core, call, fail_once)
        with pytest.raises((CoreError, ConfigError)):
            await broker.reconfigure(new)
        assert broker.config == old
        assert list(broker.ports) == ["url"]
        await broker.reconfigure(new)
        assert list(broker.ports) == ["url", "listener.b.url"]


def test_core_refuses_proxies_that_are_no_networks() -> None:
    broken = ListenerOptions(proxy=True, proxy_from=("192.0.2.1",))
    core = Core(core_options(Config()))
    try:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            with pytest.raises(CoreError) as caught:
                core.listen(broken, fd=sock.fileno())
            assert caught.value.status == EINVAL
            number, _ = core.listen(ListenerOptions(), fd=sock.detach())
        with pytest.raises(CoreError) as caught:
            core.set_listener(number, broken)
        assert caught.value.status == EINVAL
        core.set_listener(number, ListenerOptions())
    finally:
        core.close()


def _listener(name: str = "a") -> object:
    from nanomq_py.config.keys.listeners import Listener

    url = None if name == "a" else "nmq-tcp://127.0.0.1:0"
    return Listener(name=name, url=url, max_connections=7)


def test_log_file_that_cannot_be_opened_leaves_the_log(tmp_path: Path) -> None:
    config = replace(Config().log, to=("console", "file"), dir="/dev/null/no")
    with pytest.raises(ConfigError, match=r"log\.dir"):
        LogsChange(config)
