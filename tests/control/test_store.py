"""``nanomq store``: exit codes, and what is said."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
from pathlib import Path

import pytest

from nanomq_py.store.migrations import MIGRATIONS
from nanomq_py.store.store import Store
from nanomq_py.store.users import UserKind, UserTable
from tests.conftest import ROOT, Process, nanomq, running_broker
from tests.test_commands import blocks

pytestmark = pytest.mark.plain

FLAPPING = {"flapping_detect__enable": "true", "flapping_detect__max_count": "2"}

STEPS = len(MIGRATIONS)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A configuration file with a store beside it that has one user."""
    path = tmp_path / "nanomq.conf"
    path.write_text("")

    async def fill() -> None:
        made = Store(tmp_path / "nanomq.db")
        await UserTable(made).put(UserKind.USER_NAME, "u", "$scrypt$secret")
        await made.close()

    asyncio.run(fill())
    return path


def test_backup_and_check(conf: Path) -> None:
    copy = conf.with_name("copy.db")
    done = nanomq("store", "backup", str(copy), "--conf", str(conf))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{copy}: {copy.stat().st_size} bytes\n"
    done = nanomq("store", "check", "--conf", str(conf), NANOMQ_STORE_PATH=str(copy))
    assert done.stdout == f"{copy}: good: 1 users, 0 bans, 0 rules, format {STEPS}\n"
    assert done.returncode == 0


def test_commands_of_the_page(conf: Path) -> None:
    for block in blocks(ROOT / "docs" / "store.md", "sh"):
        text = block.replace("/etc/nanomq", str(conf.parent))
        text = text.replace("/var/backups", str(conf.parent))
        for line in text.splitlines():
            done = nanomq(*shlex.split(line)[1:])
            assert (done.returncode, done.stderr) == (0, "")
    copy = conf.with_name("nanomq-1")
    assert copy.stat().st_mode & 0o777 == 0o700
    done = nanomq("store", "stat", str(copy))
    assert (done.returncode, done.stderr) == (0, "")
    assert "  mqtt_user     1\n" in done.stdout
    assert conf.with_name("users.db").exists()


def test_a_fault_is_exit_code_1_and_says_how_to_go_on(conf: Path) -> None:
    done = nanomq("store", "backup", str(conf), "--conf", str(conf))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"nanomq: {conf}: it is there already: name a new folder\n"
    copy = conf.with_name("copy.db")
    copy.touch()
    done = nanomq("store", "backup", str(copy), "--conf", str(conf))
    assert done.stderr == f"nanomq: {copy}: there is such a file already: name a new one\n"
    store = conf.with_name("nanomq.db")
    store.write_bytes(store.read_bytes()[:4096] + b"x" * (store.stat().st_size - 4096))
    done = nanomq("store", "check", "--conf", str(conf))
    assert done.returncode == 1
    assert done.stderr.startswith(f"nanomq: store.path={store}: ")
    assert "damaged" in done.stderr
    store.unlink()
    done = nanomq("store", "check", "--conf", str(conf))
    assert done.returncode == 2
    assert done.stderr.endswith("there is nothing: nothing has been kept yet\n")


def test_without_a_place_the_arguments_are_wrong() -> None:
    done = nanomq("store", "check", NANOMQ_STORE_PATH="")
    assert done.returncode == 2
    assert done.stderr == "nanomq: expected FOLDER, --conf, or the key store.path\n"


def test_a_damaged_one_is_repaired(conf: Path) -> None:
    store = conf.with_name("nanomq.db")
    data = bytearray(store.read_bytes())
    page = next(
        at for at in range(4096, len(data), 4096) if b"$scrypt$" in data[at:][:4096]
    )
    data[page : page + 100] = b"x" * 100
    store.write_bytes(data)
    assert nanomq("store", "check", "--conf", str(conf)).returncode == 1
    done = nanomq("store", "repair", "--conf", str(conf))
    assert (done.returncode, done.stderr) == (0, "")
    assert "repaired" in done.stdout
    assert nanomq("store", "check", "--conf", str(conf)).returncode == 0
    with running_broker(conf.parent) as process:
        done = process.nanomq("store", "repair", "--conf", str(process.conf))
        assert "a broker uses it: stop it first" in done.stderr
    assert "nothing to repair" in nanomq("store", "repair", "--conf", str(conf)).stdout


# --- a broker that uses it


def is_banned(process: Process, client_id: str) -> bool:
    with process.raw(5) as c:
        return c.connect(client_id).reason == 0x8A


def get_banned(process: Process, client_id: str) -> None:
    """Connect twice; return when the ban is in force, and so is kept."""
    for _ in range(2):
        is_banned(process, client_id)
    process.waits_for(f"banned: client id '{client_id}'")


def test_a_backup_while_a_broker_runs(tmp_path: Path) -> None:
    with running_broker(tmp_path, **FLAPPING) as process:
        get_banned(process, "a")
        get_banned(process, "b")
        done = process.nanomq(
            "store", "backup", str(tmp_path / "x.db"), "--conf", str(process.conf)
        )
        assert (done.returncode, done.stderr) == (0, "")
        get_banned(process, "c")
        for name, bans in (("x.db", 2), ("nanomq.db", 3)):
            done = nanomq("store", "check", NANOMQ_STORE_PATH=str(tmp_path / name))
            assert done.stdout.endswith(
                f"good: 0 users, {bans} bans, 0 rules, format {STEPS}\n"
            )
        modes = {
            path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("nanomq.db*")
        }
        assert modes == dict.fromkeys(
            ("nanomq.db", "nanomq.db-wal", "nanomq.db-shm"), 0o600
        )


def test_a_broker_that_is_killed_knows_who_is_banned_when_it_comes_back(
    tmp_path: Path,
) -> None:
    with pytest.raises(AssertionError, match="ended with -9"):
        ban_and_kill(tmp_path)
    assert (tmp_path / "nanomq.db-wal").stat().st_size > 0
    with running_broker(tmp_path) as process:
        assert is_banned(process, "a")
        assert not is_banned(process, "b")


def ban_and_kill(folder: Path) -> None:
    with running_broker(folder, **FLAPPING) as process:
        get_banned(process, "a")
        os.kill(process.pid, signal.SIGKILL)
        process.ends()


def test_a_restart_keeps_the_bans_and_the_store(tmp_path: Path) -> None:
    with running_broker(tmp_path, **FLAPPING) as process:
        get_banned(process, "a")
        process.set_keys(url=f"nmq-tcp://127.0.0.1:{process.port}")
        done = process.nanomq("restart", "--conf", str(process.conf))
        assert done.returncode == 0, done.stderr
        assert is_banned(process, "a")
        get_banned(process, "b")


def test_a_second_broker_cannot_use_it(tmp_path: Path) -> None:
    with running_broker(tmp_path, **FLAPPING) as process:
        get_banned(process, "a")
        second = tmp_path / "second.conf"
        store = tmp_path / "nanomq.db"
        second.write_text(f"url=nmq-tcp://127.0.0.1:0\nstore.path={store}\n")
        done = nanomq("start", "--conf", str(second), XDG_RUNTIME_DIR=str(tmp_path))
        assert done.returncode == 2
        assert f"store.path={store}: another broker uses it" in done.stderr


def test_a_broker_whose_store_is_damaged_says_how_to_go_on(conf: Path) -> None:
    conf.write_text("url=nmq-tcp://127.0.0.1:0\nwebsocket.enable=false\n")
    conf.with_name("nanomq.db").write_bytes(b"damaged")
    done = nanomq("start", "--conf", str(conf), XDG_RUNTIME_DIR=str(conf.parent))
    assert done.returncode == 2
    assert re.search(
        r"nanomq: store\.path=\S+nanomq\.db: not a database: name another file, restore a"
        r" backup \(docs/store\.md\), or move the file away",
        done.stderr,
    )
