"""Where the store and the journal are: one folder, whatever was there before."""

from __future__ import annotations

import errno
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from nanomq_py.store import place
from nanomq_py.store.folder import Places
from nanomq_py.store.place import make_home, make_home_for, places_of, told_of
from tests._core_test import lib
from tests.conftest import ROOT
from tests.durability.shim import Fault, Faulty

pytestmark = pytest.mark.plain


class Machine:
    """A machine with its own ``/etc`` and ``/var/lib``."""

    def __init__(self, root: Path) -> None:
        self.etc = root / "etc" / "nanomq"
        self.etc.mkdir(parents=True)
        self.state = root / "var" / "nanomq"
        self.conf = self.etc / "nanomq.conf"

    def places(self, store: str = "", location: str | None = None) -> Places:
        return places_of(store, location, self.conf)

    def told(self, store: str = "", location: str | None = None) -> list[str]:
        return told_of(store, location, self.conf)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setattr(place, "ETC", str(tmp_path / "etc"))
    monkeypatch.setattr(place, "STATE", str(made.state))
    return made


def both_in(folder: Path, name: str = "nanomq") -> Places:
    return Places(folder / f"{name}.db", folder / f"{name}.journal")


def test_beside_a_configuration_file_that_is_not_below_etc(tmp_path: Path) -> None:
    assert places_of("", None, tmp_path / "a.b.conf") == both_in(tmp_path, "a.b")
    assert told_of("", None, tmp_path / "a.b.conf") == []


def test_in_var_lib_where_the_configuration_file_is_below_etc(machine: Machine) -> None:
    assert machine.places() == both_in(machine.state)
    assert machine.told() == []


def test_in_the_folder_of_systemd(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/first:{tmp_path}/second")
    assert machine.places() == both_in(tmp_path / "first")
    assert places_of("", None, None) == both_in(tmp_path / "first")
    assert places_of("", None, tmp_path / "x.conf") == both_in(tmp_path / "first", "x")


def test_nowhere_without_a_configuration_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert places_of("", None, None) == Places(None, None)
    assert places_of("", "/srv/j", None) == Places(None, Path("/srv/j"))


def test_keys_are_taken_as_they_are(machine: Machine) -> None:
    both_in(machine.etc).database.touch()  # type: ignore[union-attr]
    assert machine.places("/srv/x.db") == Places(Path("/srv/x.db"), Path("/srv/x.journal"))
    assert machine.places("/srv/x.db", "/j") == Places(Path("/srv/x.db"), Path("/j"))
    assert machine.told("/srv/x.db") == []


def test_a_journal_that_is_given_moves_no_store(machine: Machine) -> None:
    assert machine.places("", "/j") == Places(machine.state / "nanomq.db", Path("/j"))


def test_an_old_store_goes_on_and_the_journal_is_made_beside_it(machine: Machine) -> None:
    (machine.etc / "nanomq.db").touch()
    assert machine.places() == both_in(machine.etc)


def test_a_journal_that_is_there_is_never_left_for_an_empty_one(machine: Machine) -> None:
    (machine.etc / "nanomq.db").touch()
    (machine.state / "nanomq.journal").mkdir(parents=True)
    old, new = both_in(machine.etc), both_in(machine.state)
    assert machine.places() == Places(old.database, new.journal)


def test_a_journal_beside_the_configuration_file_goes_on_too(machine: Machine) -> None:
    (machine.etc / "nanomq.journal").mkdir()
    assert machine.places() == both_in(machine.etc)


def test_of_two_stores_the_one_in_the_folder_counts_and_the_other_is_told(
    machine: Machine,
) -> None:
    (machine.etc / "nanomq.db").touch()
    make_home(machine.state)
    (machine.state / "nanomq.db").touch()
    assert machine.places() == both_in(machine.state)
    (line,) = machine.told()
    assert line == f"{machine.etc}/nanomq.db is not used: {machine.state}/nanomq.db is"


def test_the_command_that_is_told_moves_all_of_it(machine: Machine) -> None:
    machine.conf = machine.etc / "my box.conf"
    for name in ("my box.db", "my box.db-wal"):
        (machine.etc / name).write_text(name)
    for name in ("my box.journal", "my box-exports", "my box-rules"):
        (machine.etc / name).mkdir()
    (line,) = machine.told()
    assert str(machine.etc / "my box.db") in line
    subprocess.run(["sh", "-c", line.partition("as root: ")[2]], check=True)
    assert os.listdir(machine.etc) == []
    assert machine.state.stat().st_mode & 0o777 == 0o700
    assert (machine.state / "my box.db-wal").read_text() == "my box.db-wal"
    assert machine.places() == both_in(machine.state, "my box")
    assert machine.told() == []


def test_a_folder_is_made_for_its_user_alone(machine: Machine) -> None:
    place = machine.state / "nanomq.db"
    make_home_for(place, pwd.getpwuid(os.geteuid()))
    make_home_for(place)  # again
    assert machine.state.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="gives it to another user")
def test_a_folder_is_made_for_the_user_that_root_becomes(machine: Machine) -> None:
    nobody = pwd.getpwnam("nobody")
    make_home_for(machine.state / "nanomq.db", nobody)
    assert machine.state.stat().st_uid == nobody.pw_uid
    assert machine.state.parent.stat().st_uid == 0


def test_a_folder_that_a_key_names_is_not_made(tmp_path: Path) -> None:
    make_home_for(tmp_path / "typo" / "nanomq.db")
    assert not (tmp_path / "typo").exists()


_OPEN = """
import sys
from tests._core_test import ffi, lib
made, error = ffi.new("nmq_disk **"), ffi.new("int *")
print(lib.nmq_disk_folder_open(sys.argv[1].encode(), made, error), error[0])
"""


def opened(folder: Path, failing: int) -> tuple[int, int]:
    """Open it in a process in which that operation of the disk fails; status and errno."""
    env = {**os.environ, **Faulty(folder.parent, Fault(failing, errno.EIO)).env}
    done = subprocess.run(
        [sys.executable, "-c", _OPEN, str(folder)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    status, error = map(int, done.stdout.split())
    return status, error


def test_the_name_of_a_new_journal_is_flushed(tmp_path: Path) -> None:
    """Opening the parent, flushing it, and making the lock: the second one fails."""
    folder = tmp_path / "nanomq.journal"
    assert opened(folder, 2) == (lib.NMQ_EIO, 5)
    assert os.listdir(folder) == []  # it was flushed before anything was made in it
    assert opened(folder, 2) == (lib.NMQ_OK, 0)  # it is there: there is nothing to flush
    assert os.listdir(folder) == ["lock"]
