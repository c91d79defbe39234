"""``nanomq store``: exit codes, and what is said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nanomq_py.store.store import Store
from nanomq_py.store.users import UserKind, UserTable
from tests.conftest import nanomq

pytestmark = pytest.mark.plain


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
    assert done.stdout == f"{copy}: good: 1 users, 0 bans, format 1\n"
    assert done.returncode == 0


def test_a_fault_is_exit_code_1_and_says_how_to_go_on(conf: Path) -> None:
    done = nanomq("store", "backup", str(conf), "--conf", str(conf))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"nanomq: {conf}: there is such a file already: name a new one\n"
    store = conf.with_name("nanomq.db")
    store.write_bytes(store.read_bytes()[:4096] + b"x" * (store.stat().st_size - 4096))
    done = nanomq("store", "check", "--conf", str(conf))
    assert done.returncode == 1
    assert done.stderr.startswith(f"nanomq: store.path={store}: ")
    assert "damaged" in done.stderr
    store.unlink()
    done = nanomq("store", "check", "--conf", str(conf))
    assert done.stderr.endswith("there is no such file: nothing has been kept yet\n")


def test_without_a_place_the_arguments_are_wrong() -> None:
    done = nanomq("store", "check", NANOMQ_STORE_PATH="")
    assert done.returncode == 2
    assert done.stderr == "nanomq: expected --conf, or the key store.path\n"
