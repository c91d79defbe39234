"""A start with ``durability`` that cannot be: it ends, says why, and how to go on.

What is said to go on with is done in each test, and works.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.conftest import ROOT, Process, conf_text, free_port, nanomq, running_broker
from tests.eventually import eventually
from tests.test_durability import broken, publish, subscriber, taken
from tests.wal import make_newer

pytestmark = pytest.mark.plain

NOBODY = 65534
Start = Callable[..., AbstractContextManager[Process]]
SMALL = {"durability__segment_size": "1MB", "durability__max_size": "16MB"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "broker"
    made.mkdir()
    return made


@pytest.fixture
def start(folder: Path) -> Start:
    """Start the broker, again and again, with what it has kept."""

    def start(**keys: str) -> AbstractContextManager[Process]:
        return running_broker(folder, **{"durability": "always", **SMALL, **keys})

    return start


def fill(start: Start, **keys: str) -> None:
    with start(**keys) as process:
        subscriber(process, "to", ("t", 1))
        publish(process, b"kept")
        process.kill()


def started(folder: Path, *before: str, **keys: str) -> subprocess.CompletedProcess[str]:
    """Start it, and return once it has ended, or is a daemon.

    before  a command that runs it
    """
    conf = folder / "nanomq.conf"
    conf.write_text(conf_text(**SMALL, **keys))
    return subprocess.run(
        [*before, sys.executable, "-m", "nanomq_py", "start", "--conf", str(conf)],
        cwd=ROOT,
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def refusal(folder: Path, *before: str, **keys: str) -> str:
    """Return the one line of a start that ends with 2; it says how to start without it."""
    failed = started(folder, *before, durability="always", **keys)
    assert failed.returncode == 2, failed.stderr
    (line,) = failed.stderr.splitlines()
    assert "durability=off starts without it" in line
    with running_broker(folder, durability="off", **SMALL, **keys):
        pass
    return line


@contextmanager
def mounted(at: Path, *how: str) -> Iterator[None]:
    """Mount something there, which only root can."""
    done = subprocess.run(["mount", *how, str(at)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("it takes root, who may mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def test_a_later_format_is_refused_with_who_wrote_it(start: Start, folder: Path) -> None:
    fill(start)
    kept = folder / "nanomq.journal"
    make_newer(kept / "000001.seg")
    (kept / "version").write_text("9.8.7\n")
    before = (kept / "000001.seg").read_bytes()
    line = refusal(folder)
    assert f"durability.location={kept}: nanomq-py 9.8.7 wrote what is there" in line
    assert "start that one, or name another folder" in line
    assert (kept / "000001.seg").read_bytes() == before
    assert (kept / "version").read_text() == "9.8.7\n"
    with start(durability__location=str(folder / "another")) as process:
        publish(process, b"1")


def test_which_version_has_it_is_noted(start: Start, folder: Path) -> None:
    fill(start)
    version = nanomq("--version").stdout.split()[-1]
    assert (folder / "nanomq.journal" / "version").read_text() == f"{version}\n"


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="takes root's rights away"
)
@pytest.mark.parametrize("exists", [True, False], ids=["folder", "place"])
def test_a_folder_that_this_user_may_not_write_is_refused(
    folder: Path, exists: bool
) -> None:
    place = folder / "closed" / "nanomq.journal"
    mine = place if exists else place.parent
    mine.mkdir(parents=True)
    os.chown(mine, NOBODY, NOBODY)
    rights = ("dac_override", "dac_read_search", "fowner")
    bare = ["setpriv", "--bounding-set", ",".join(f"-{each}" for each in rights)]
    keys = {"durability__location": str(place)}
    line = refusal(folder, *bare, **keys)
    assert f"durability.location={place}: cannot be used: " in line
    assert "not permitted" in line or "Permission denied" in line
    assert "this user (number 0) can write" in line
    os.chown(mine, 0, 0)
    done = started(folder, *bare, durability="always", daemon="true", **keys)
    assert done.returncode == 0, done.stderr
    assert (place / "lock").exists()
    conf = str(folder / "nanomq.conf")
    assert nanomq("stop", "--conf", conf, XDG_RUNTIME_DIR=str(folder)).returncode == 0


def test_a_file_in_its_place_is_refused(start: Start, folder: Path) -> None:
    (folder / "nanomq.journal").write_text("mine")
    line = refusal(folder)
    assert "cannot be used: Not a directory: expected a folder" in line
    assert (folder / "nanomq.journal").read_text() == "mine"
    with start(durability__location=str(folder / "another")) as process:
        publish(process, b"1")


def test_a_folder_that_another_broker_has_is_refused(start: Start, folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    where = str(folder / "kept")
    conf = other / "nanomq.conf"
    conf.write_text(conf_text(durability="always", durability__location=where, **SMALL))
    with start(durability__location=where) as process:
        failed = nanomq("start", "--conf", str(conf), XDG_RUNTIME_DIR=str(other))
        assert failed.returncode == 2
        (line,) = failed.stderr.splitlines()
        assert f"durability.location={where}: another broker uses it: stop that one" in line
        publish(process, b"1")  # which goes on
        process.stop()
    keys = {"durability": "always", "durability__location": where, **SMALL}
    with running_broker(other, **keys) as process:
        publish(process, b"1")


def test_a_read_only_file_system_is_refused(start: Start, folder: Path) -> None:
    place = folder / "disk"
    place.mkdir()
    keys = {"durability__location": str(place / "nanomq.journal")}
    with mounted(place, "-t", "tmpfs", "-o", "size=32m", "tmpfs"):
        fill(start, **keys)
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        line = refusal(folder, **keys)
        assert "cannot be used: Read-only file system: expected a folder" in line
        subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
        with start(**keys) as process:
            assert taken(process, "to", 1) == [b"kept"]


def test_a_disk_without_room_for_the_folder_is_refused(start: Start, folder: Path) -> None:
    place = folder / "disk"
    place.mkdir()
    keys = {"durability__location": str(place / "nanomq.journal")}
    with mounted(place, "-t", "tmpfs", "-o", "size=32m,nr_inodes=2", "tmpfs"):
        (place / "last").touch()
        line = refusal(folder, **keys)
        assert "No space left on device: make room on that disk" in line
        (place / "last").unlink()
        subprocess.run(["mount", "-o", "remount,nr_inodes=100", str(place)], check=True)
        with start(**keys) as process:
            publish(process, b"1")


def test_a_disk_that_is_full_at_the_start_has_what_was_kept(
    start: Start, folder: Path
) -> None:
    place = folder / "disk"
    place.mkdir()
    keys = {"durability__location": str(place / "nanomq.journal")}
    with mounted(place, "-t", "tmpfs", "-o", "size=8m", "tmpfs"):
        fill(start, **keys)
        free = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
        (place / "filler").write_bytes(bytes(free))
        with start(**keys) as process:
            assert taken(process, "to", 1) == [b"kept"]


def test_a_disk_that_is_full_when_it_begins_refuses_what_is_to_be_kept(
    start: Start, folder: Path
) -> None:
    place = folder / "disk"
    (place / "x").mkdir(parents=True)
    keys = {"durability__location": str(place / "nanomq.journal")}
    with mounted(place, "-t", "tmpfs", "-o", "size=256k", "tmpfs"):
        with start(**keys) as process:
            process.waits_for("No space left on device")
            process.stop()
        subprocess.run(["mount", "-o", "remount,size=32m", str(place)], check=True)
        with start(**keys) as process:
            publish(process, b"1")


# --- a journal that is not served


UNSERVED = "what is kept there is not served, and stays"


def test_a_journal_that_is_not_served_is_told(start: Start, folder: Path) -> None:
    fill(start)
    kept = folder / "nanomq.journal"
    with start(durability="off") as process:
        process.waits_for(f"durability=off: {kept}: {UNSERVED}")
        (line,) = (line for line in process.lines if UNSERVED in line)
        stat = shlex.split(line.split("`")[1])
        assert "1 messages" in nanomq(*stat[1:]).stdout.replace(
            "messages      1", "1 messages"
        )
        assert taken(process, "to", 0) == []
    subprocess.run(["sh", "-c", line.partition("to remove it: ")[2]], check=True)
    assert not kept.exists()
    with start(durability="off") as process:
        assert not any(UNSERVED in line for line in process.lines)


def test_what_comes_back_after_a_time_without_it_is_told(
    start: Start, folder: Path
) -> None:
    fill(start)
    since = folder / "nanomq.journal" / "unserved"
    for _ in range(2):  # the first of them counts
        with start(durability="off"):
            os.utime(since, (1_000_000_000, 1_000_000_000))
    with start() as process:
        process.waits_for("durability=off have left it alone since 2001-09-")
        assert taken(process, "to", 1) == [b"kept"]
        assert not since.exists()
    with start() as process:
        assert not any("have left it alone" in line for line in process.lines)


def test_who_moves_it_away_begins_with_nothing(start: Start, folder: Path) -> None:
    fill(start)
    with start(durability="off"):
        pass
    (folder / "nanomq.journal").rename(folder / "away")
    with start() as process:
        assert taken(process, "to", 0) == []
        assert not any("have left it alone" in line for line in process.lines)


def restart(process: Process, **keys: str) -> None:
    served = sum("serving:" in line for line in process.lines)
    process.set_keys(**keys)
    assert process.api(req=10, action="restart").status == 200
    eventually(
        lambda: sum("serving:" in line for line in process.lines) > served, within_s=30
    )


def test_a_restart_there_and_back_serves_what_is_in_memory(
    start: Start, folder: Path
) -> None:
    with start(http_server__port=str(free_port())) as process:
        subscriber(process, "to", ("t", 1))
        publish(process, b"1")
        restart(process, durability="off")
        process.waits_for(UNSERVED)
        assert taken(process, "to", 1) == [b"1"]
        publish(process, b"2")
        restart(process, durability="always")
        assert not (folder / "nanomq.journal" / "unserved").exists()
        assert not any("have left it alone" in line for line in process.lines)
        assert taken(process, "to", 1) == [b"2"]  # and not what the folder has said
        process.kill()


def test_the_journal_of_another_broker_is_none_that_is_left_alone(
    start: Start, folder: Path
) -> None:
    other = folder / "other"
    other.mkdir()
    where = str(folder / "kept")
    with start(durability__location=where):
        keys = {"durability": "off", "durability__location": where}
        with running_broker(other, **keys) as process:
            assert not any(UNSERVED in line for line in process.lines)
        assert not (folder / "kept" / "unserved").exists()


def test_what_is_left_out_of_a_damaged_journal_is_counted(
    start: Start, folder: Path
) -> None:
    with start() as process:
        subscriber(process, "to", ("t", 1))
        publish(process, b"victim")
        publish(process, b"good")
        process.kill()
    broken(folder)
    with start(durability__on_corruption="skip") as process:
        process.waits_for("left out: 1 commits, and 0 records of others")
        assert taken(process, "to", 1) == [b"good"]
        process.stop()
    with start(durability__on_corruption="skip") as process:
        assert taken(process, "to", 0) == []
