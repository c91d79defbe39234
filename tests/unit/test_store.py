"""The store: its file, its tables, and what is said when it cannot be used."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from nanomq_py.store import file as store_file
from nanomq_py.store import migrations, store
from nanomq_py.store import users as store_users
from nanomq_py.store.backup import back_up, look_over
from nanomq_py.store.faults import StoreError, StoreFullError
from nanomq_py.store.store import Store
from nanomq_py.store.users import UserKind, UserTable
from nanomq_py.version import __version__

pytestmark = pytest.mark.plain

HASH = "$scrypt$ln=15,r=8,p=1$c2FsdA$aGFzaA"


@pytest_asyncio.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path / "nanomq.db")
    yield made
    await made.close()


async def fault_of(path: Path) -> str:
    """Return what opening that file says."""
    refused = Store(path)
    try:
        with pytest.raises(StoreError) as fault:
            await refused.open()
        return str(fault.value)
    finally:
        await refused.close()


async def fill(users: UserTable) -> None:
    for n in range(1000):
        await users.put(UserKind.USER_NAME, f"user{n:04}" + "x" * 60_000, HASH)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


# --- the file


async def test_a_store_that_is_not_used_makes_no_file_and_no_thread(kept: Store) -> None:
    assert kept._thread is None
    assert kept.path is not None
    assert not kept.path.exists()


def test_a_broker_without_a_store_does_not_load_it() -> None:
    code = """
import asyncio, sys
from nanomq_py import Broker, Config

async def main():
    async with Broker(Config(url="nmq-tcp://127.0.0.1:0")) as broker:
        rooms = ("store.store", "auth.bans", "flapping", "events")
        for name in ("sqlite3", *(f"nanomq_py.{room}" for room in rooms)):
            assert name not in sys.modules
        assert await broker.banned() == []
        assert "sqlite3" not in sys.modules
        await broker.ban(client_id="c")
        assert {"sqlite3", "nanomq_py.store.banned"} <= {*sys.modules}

asyncio.run(main())
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


async def test_nobody_else_can_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        made = Store(tmp_path / "nanomq.db")
        await UserTable(made).put(UserKind.USER_NAME, "u", HASH)
        found = {path.name: mode(path) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
        await made.close()
    names = ("nanomq.db", "nanomq.db-wal", "nanomq.db-shm")
    assert found == dict.fromkeys(names, 0o600)


async def test_a_file_that_others_could_read_is_shut(tmp_path: Path) -> None:
    path = tmp_path / "nanomq.db"
    path.touch(0o644)
    made = Store(path)
    await made.open()
    await made.close()
    assert mode(path) == 0o600


async def test_it_is_made_by_the_first_use_and_read_by_the_next_process(
    tmp_path: Path,
) -> None:
    for is_new in (True, False):
        made = Store(tmp_path / "nanomq.db")
        assert await UserTable(made).put(UserKind.USER_NAME, "u", HASH) is is_new
        await made.close()
    assert [path.name for path in tmp_path.iterdir()] == ["nanomq.db"]  # no -wal is left


async def test_in_memory_without_a_path() -> None:
    made = Store(None)
    assert await UserTable(made).put(UserKind.USER_NAME, "u", HASH)
    assert await UserTable(made).count(UserKind.USER_NAME) == 1
    await made.close()


# --- migrations


async def test_all_steps_of_a_migration_are_made_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "nanomq.db"
    first = Store(path)
    await UserTable(first).put(UserKind.USER_NAME, "u", HASH)
    await first.close()
    steps = len(migrations.MIGRATIONS)
    bad = ("CREATE TABLE more (x)", "CREATE TABLE more (x)")
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, bad])
    assert "table more already exists" in await fault_of(path)
    with sqlite3.connect(path) as plain:
        names = {name for (name,) in plain.execute("SELECT name FROM sqlite_master")}
        assert "more" not in names
        assert plain.execute("PRAGMA user_version").fetchone() == (steps,)
    plain.close()
    good = ("CREATE TABLE more (x)",)
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS[:-1], good])
    again = Store(path)
    assert await UserTable(again).count(UserKind.USER_NAME) == 1
    found = await again.read(lambda c: c.execute("PRAGMA user_version").fetchone())
    assert found == (steps + 1,)
    await again.close()


async def test_a_newer_file_is_refused_with_the_version_that_wrote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "nanomq.db"
    with monkeypatch.context() as newer:
        newer.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, ()])
        newer.setattr(migrations, "__version__", "99.1")
        made = Store(path)
        await made.open()
        await made.close()
    said = await fault_of(path)
    assert "written by nanomq-py 99.1" in said
    assert __version__ in said
    assert look_over(path).startswith("good, of a newer version")


async def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    assert "another program" in await fault_of(path)
    with pytest.raises(StoreError, match="another program"):
        look_over(path)


# --- what can be wrong


async def test_each_fault_of_the_place_names_key_and_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("file")
    os.link(tmp_path / "file", tmp_path / "second")
    (tmp_path / "text").write_text("no database at all, but a text\n" * 100)
    for name, expected in {
        "missing/nanomq.db": "there is no folder",
        "folder": "expected a file in a folder",
        "file/nanomq.db": "expected a file in a folder",
        "pipe": "not a file",
        "link": "a symbolic link: name the file itself",
        "second": "a file with a second name",
        "text": "not a database: name another file",
    }.items():
        said = await fault_of(tmp_path / name)
        assert said.startswith(f"store.path={tmp_path / name}: ")
        assert expected in said


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (PermissionError(13, "Permission denied"), "expected a file that this user"),
        (OSError(30, "Read-only file system"), "read-only: name a file on another one"),
    ],
)
async def test_a_file_that_cannot_be_written_says_who_would_have_to(
    fault: OSError, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> int:
        raise fault

    monkeypatch.setattr(store_file, "_made", refuse)  # tests run as root
    assert expected in await fault_of(tmp_path / "nanomq.db")


async def test_two_brokers_cannot_use_one_file(kept: Store) -> None:
    await kept.open()
    assert kept.path is not None
    assert "another broker uses it" in await fault_of(kept.path)
    assert await UserTable(kept).put(UserKind.USER_NAME, "u", HASH)


async def test_damage_is_found_at_the_start_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "nanomq.db"
    made = Store(path)
    users = UserTable(made)
    for n in range(200):
        await users.put(UserKind.USER_NAME, f"user{n}", HASH)
    await made.close()
    assert look_over(path) == (
        f"good: 200 users, 0 bans, 0 rules, format {len(migrations.MIGRATIONS)}"
    )
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 3 :] = b"\xa5" * (len(damaged) - 4096 * 3)
    path.write_bytes(damaged)
    path.with_name("nanomq.db-wal").write_bytes(b"left by a process that was killed")
    said = await fault_of(path)
    assert "damaged" in said
    assert "restore a backup (docs/store.md), or move the file away" in said
    with pytest.raises(StoreError, match="damaged"):
        look_over(path)


async def test_damage_that_is_found_later_is_told_the_same(tmp_path: Path) -> None:
    path = tmp_path / "nanomq.db"
    made = Store(path)
    for n in range(200):
        await UserTable(made).put(UserKind.USER_NAME, f"user{n}", HASH)
    await made.close()
    damaged = bytearray(path.read_bytes())
    damaged[4096 * 6 :] = b"\xa5" * (len(damaged) - 4096 * 6)
    path.write_bytes(damaged)
    again = Store(path)
    with pytest.raises(StoreError, match="damaged: restore a backup"):
        await UserTable(again).count(UserKind.USER_NAME)
    await again.close()


async def test_locked_by_another_process(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_file, "BUSY_S", 0.05)
    await kept.open()
    assert kept.path is not None
    other = sqlite3.connect(kept.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    users = UserTable(kept)
    with pytest.raises(StoreError, match="locked by another process"):
        await users.put(UserKind.USER_NAME, "u", HASH)
    assert await users.count(UserKind.USER_NAME) == 0  # readers do not wait
    other.execute("ROLLBACK")
    other.close()
    assert await users.put(UserKind.USER_NAME, "u", HASH)


async def test_a_full_disk_changes_nothing_and_passes(kept: Store) -> None:
    users = UserTable(kept)
    await users.put(UserKind.USER_NAME, "before", HASH)
    assert kept.path is not None
    size = max(p.stat().st_size for p in kept.path.parent.iterdir())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(StoreError, match=r"no room is left|the disk does not"):
            await fill(users)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert await users.get(UserKind.USER_NAME, "before") is not None
    assert await users.put(UserKind.USER_NAME, "after", HASH)


async def test_a_store_that_has_come_to_its_most_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pragmas = [*store_file._PRAGMAS, "PRAGMA max_page_count = 20"]
    monkeypatch.setattr(store_file, "_PRAGMAS", pragmas)
    made = Store(tmp_path / "nanomq.db")
    with pytest.raises(StoreError, match="come to 1 GiB, its most"):
        await fill(UserTable(made))
    await made.close()


# --- calls


async def test_the_loop_turns_while_the_store_works(kept: Store) -> None:
    go = asyncio.Event()
    loop = asyncio.get_running_loop()
    order: list[str] = []

    def slow(connection: sqlite3.Connection) -> None:
        asyncio.run_coroutine_threadsafe(go.wait(), loop).result(20)
        order.append("store")

    call = asyncio.create_task(kept.read(slow))
    await asyncio.sleep(0)
    order.append("loop")
    go.set()
    await call
    assert order == ["loop", "store"]


async def test_a_write_that_fails_leaves_nothing(kept: Store) -> None:
    def act(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO about VALUES ('a', 'b')")
        raise KeyError("x")

    with pytest.raises(KeyError):
        await kept.write(act)
    found = await kept.read(lambda c: c.execute("SELECT name FROM about").fetchall())
    assert found == [("written_by",)]


async def test_calls_that_wait_have_a_bound(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_WAITING", 2)
    calls = [asyncio.create_task(kept.read(lambda c: None)) for _ in range(3)]
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in done] == [type(None), type(None), StoreFullError]
    await kept.read(lambda c: None)


async def test_a_write_is_done_though_nobody_waits_for_it(kept: Store) -> None:
    users = UserTable(kept)
    call = asyncio.create_task(users.put(UserKind.USER_NAME, "u", HASH))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await users.get(UserKind.USER_NAME, "u") is not None


async def test_a_closed_store_refuses(kept: Store) -> None:
    await kept.open()
    await kept.close()
    with pytest.raises(StoreError, match="closed"):
        await kept.read(lambda c: None)


_WRITER = """
import asyncio, sys
from pathlib import Path
from nanomq_py.store.store import Store
from nanomq_py.store.users import UserKind, UserTable

async def main():
    users = UserTable(Store(Path(sys.argv[1])))
    n = 0
    while True:
        await users.put(UserKind.USER_NAME, f"user{n:06}", "$scrypt$x")
        print(n, flush=True)
        n += 1

asyncio.run(main())
"""


async def test_a_process_that_is_killed_keeps_what_it_committed(tmp_path: Path) -> None:
    path = tmp_path / "nanomq.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer.stdout as told:
        last = -1
        while last < 50:
            last = int(told.readline())
        writer.send_signal(signal.SIGKILL)
        rest = told.read().split()
    writer.wait(20)
    last = max([last, *map(int, rest)])
    again = Store(path)
    assert await UserTable(again).count(UserKind.USER_NAME) >= last + 1
    await again.close()


# --- users


async def test_a_user_by_name_and_by_client_identifier(kept: Store) -> None:
    users = UserTable(kept)
    assert await users.put(UserKind.USER_NAME, "x", HASH, is_superuser=True)
    assert await users.put(UserKind.CLIENT_ID, "x", HASH + "2")
    first = await users.get(UserKind.USER_NAME, "x")
    second = await users.get(UserKind.CLIENT_ID, "x")
    assert first is not None
    assert second is not None
    assert (first.is_superuser, first.hash) == (True, HASH)
    assert (second.is_superuser, second.hash) == (False, HASH + "2")
    assert HASH not in repr(first)
    assert await users.get(UserKind.USER_NAME, "X") is None
    assert not await users.put(UserKind.USER_NAME, "x", HASH + "3")
    changed = await users.get(UserKind.USER_NAME, "x")
    assert changed is not None
    assert (changed.hash, changed.is_superuser) == (HASH + "3", False)
    assert changed.created_at == first.created_at
    assert await users.delete(UserKind.USER_NAME, "x")
    assert not await users.delete(UserKind.USER_NAME, "x")
    assert await users.count(UserKind.CLIENT_ID) == 1


async def test_who_was_found_is_remembered_until_somebody_changes(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_users, "MOST_KNOWN", 2)
    users = UserTable(kept)
    await users.put(UserKind.USER_NAME, "u", HASH)
    await users.put(UserKind.CLIENT_ID, "c", HASH + "2")
    assert users.known("u", "c") is None
    found = await users.find("u", "c")
    assert found is not None
    assert found.kind is UserKind.USER_NAME  # comes first
    assert users.known("u", "c") is found
    assert await users.find("x", "y") is None
    assert users.known("x", "y") is None
    other = await users.find("v", "c")
    assert other is not None
    assert other.kind is UserKind.CLIENT_ID
    await users.find("w", "c")
    assert users.known("u", "c") is None  # the oldest goes
    assert users.known("v", "c") is other
    await users.delete(UserKind.CLIENT_ID, "c")
    assert users.known("v", "c") is None
    await users.find("u", "c")
    await users.put(UserKind.USER_NAME, "u", HASH + "3")
    assert users.known("u", "c") is None


async def test_what_was_read_before_a_change_is_not_remembered(kept: Store) -> None:
    users = UserTable(kept)
    await users.put(UserKind.USER_NAME, "u", HASH)
    await asyncio.gather(
        users.find("u", ""), users.put(UserKind.USER_NAME, "u", HASH + "2")
    )
    known = users.known("u", "")
    assert known is None or known.hash == HASH + "2"


async def test_users_come_in_pages(kept: Store) -> None:
    users = UserTable(kept)
    names = ["a", "b", "\u00e9", "\U0001f600", "c'; DROP TABLE mqtt_user"]
    for name in names:
        await users.put(UserKind.USER_NAME, name, HASH)
    found: list[str] = []
    while page := await users.page(
        UserKind.USER_NAME, after=found[-1] if found else "", limit=2
    ):
        found += [user.name for user in page]
    assert found == sorted(names)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 65536, "\ud800"])
async def test_a_name_that_no_client_can_have_is_refused(kept: Store, name: str) -> None:
    with pytest.raises(ValueError, match="user_name="):
        await UserTable(kept).put(UserKind.USER_NAME, name, HASH)


@pytest.mark.parametrize("text", ["", "secret", "$" + "x" * 600, "$a\n"])
async def test_what_is_no_hash_is_refused_and_not_shown(kept: Store, text: str) -> None:
    with pytest.raises(ValueError, match=r"^hash: expected") as fault:
        await UserTable(kept).put(UserKind.USER_NAME, "u", text)
    assert "secret" not in str(fault.value)


# --- backup


async def test_a_backup_while_the_store_is_written(kept: Store, tmp_path: Path) -> None:
    users = UserTable(kept)
    await users.put(UserKind.USER_NAME, "u", HASH)
    assert kept.path is not None
    to = tmp_path / "copy.db"
    before = os.umask(0)
    size = await asyncio.to_thread(back_up, kept.path, to)
    os.umask(before)
    await users.put(UserKind.USER_NAME, "later", HASH)
    assert (to.stat().st_size, mode(to)) == (size, 0o600)
    assert look_over(to) == (
        f"good: 1 users, 0 bans, 0 rules, format {len(migrations.MIGRATIONS)}"
    )
    copy = Store(to)
    assert [u.name for u in await UserTable(copy).page(UserKind.USER_NAME)] == ["u"]
    await copy.close()
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"nanomq.db", "nanomq.db-wal", "nanomq.db-shm", "copy.db"}


async def test_a_backup_replaces_no_file_and_leaves_none(
    kept: Store, tmp_path: Path
) -> None:
    await kept.open()
    assert kept.path is not None
    (tmp_path / "there").write_text("x")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("there", "link"):
        with pytest.raises(StoreError, match="there is such a file already"):
            back_up(kept.path, tmp_path / name)
    with pytest.raises(StoreError, match="No such file or directory"):
        back_up(kept.path, tmp_path / "missing" / "copy.db")
    with pytest.raises(StoreError, match="nothing has been kept yet"):
        back_up(tmp_path / "none.db", tmp_path / "copy.db")
    await kept.close()
    assert {path.name for path in tmp_path.iterdir()} == {"nanomq.db", "there", "link"}


async def test_a_command_uses_the_file_beside_a_broker_that_waits_for_it(
    kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await kept.open()
    assert kept.path is not None
    beside = Store(kept.path, beside=True)
    assert await UserTable(beside).put(UserKind.USER_NAME, "u", HASH)
    assert await UserTable(kept).get(UserKind.USER_NAME, "u") is not None
    with monkeypatch.context() as newer:
        newer.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, ()])
        another = Store(kept.path, beside=True)
        with pytest.raises(StoreError, match="of another version: restart it"):
            await another.open()
        await another.close()
    await beside.close()
    await kept.close()
    command, broker = Store(kept.path, beside=True), Store(kept.path)
    await command.open()
    monkeypatch.setattr(store_file, "COMMAND_S", 60.0)
    opening = asyncio.create_task(broker.open())
    await asyncio.wait([opening], timeout=0.1)
    assert not opening.done()
    await command.close()
    await opening
    await broker.close()
