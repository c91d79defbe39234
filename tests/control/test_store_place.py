"""One folder for the store and the journal, on the broker and its commands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.conftest import conf_text, nanomq, running_broker
from tests.test_durability import publish, subscriber, taken

pytestmark = pytest.mark.plain

KEYS = {"durability": "always", "auth__chain": "database,anonymous"}


class Box:
    """A machine whose ``/etc`` is one folder and whose ``/var/lib/nanomq`` is another."""

    def __init__(self, folder: Path) -> None:
        self.etc = folder / "etc"
        self.etc.mkdir()
        self.state = folder / "var" / "nanomq"
        self.constants = {
            "nanomq_py.store.place.ETC": str(self.etc),
            "nanomq_py.store.place.STATE": str(self.state),
        }

    def store(self, command: str) -> str:
        """Return what a command says of the store of this configuration."""
        done = nanomq(
            "store", command, "--conf", str(self.etc / "nanomq.conf"),
            STATE_DIRECTORY=str(self.state),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def files(folder: Path) -> list[str]:
    names = sorted(path.name for path in folder.iterdir())
    return [name for name in names if name.endswith((".db", ".journal"))]


def test_both_are_in_a_folder_that_is_made_for_them(box: Box) -> None:
    with running_broker(box.etc, constants=box.constants, **KEYS) as process:
        publish(process, b"1")
        assert files(box.state) == ["nanomq.db", "nanomq.journal"]
        assert box.state.stat().st_mode & 0o777 == 0o700
        assert files(box.etc) == []
        assert not any("is the folder for that now" in line for line in process.lines)
        assert str(box.state / "nanomq.journal") in box.store("check")


def test_what_systemd_gives_is_that_folder(box: Box) -> None:
    given = {"STATE_DIRECTORY": str(box.state)}
    with running_broker(box.etc, given, **KEYS):
        assert files(box.state) == ["nanomq.db", "nanomq.journal"]


def test_an_old_store_goes_on_until_it_is_moved_as_is_said(box: Box) -> None:
    with running_broker(box.etc, **KEYS) as process:  # which is not below an /etc
        subscriber(process, "to", ("t", 1))
        publish(process, b"kept")
    (box.etc / "nanomq.journal").rename(box.etc / "before")
    with running_broker(box.etc, constants=box.constants, **KEYS) as process:
        process.waits_for(f"{box.etc}/nanomq.db: beside the configuration file")
        assert files(box.etc) == ["nanomq.db", "nanomq.journal"]  # one folder
        assert not box.state.exists()
    (box.etc / "nanomq.journal").rename(box.etc / "empty")
    (box.etc / "before").rename(box.etc / "nanomq.journal")
    with running_broker(box.etc, constants=box.constants, **KEYS) as process:
        process.waits_for("is the folder for that now")
        said = next(line for line in process.lines if "for that now" in line)
    subprocess.run(["sh", "-c", said.partition("as root: ")[2]], check=True)
    with running_broker(box.etc, constants=box.constants, **KEYS) as process:
        assert files(box.state) == ["nanomq.db", "nanomq.journal"]
        assert taken(process, "to", 1) == [b"kept"]
        assert not any("is the folder for that now" in line for line in process.lines)


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ({"durability": "always"}, "durability.location"),
        ({"auth__chain": "database,anonymous"}, "store.path"),
    ],
    ids=["journal", "store"],
)
def test_a_folder_that_cannot_be_made_is_told(
    tmp_path: Path, keys: dict[str, str], key: str
) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.write_text(conf_text(**keys))
    place = "/proc/nanomq"  # where nobody can make one
    failed = nanomq("start", "--conf", str(conf), STATE_DIRECTORY=place)
    assert failed.returncode == 2
    (line,) = failed.stderr.splitlines()
    assert f"{key}={place}/nanomq." in line
    assert "No such file or directory" in line or "there is no folder /proc/nanomq" in line
    keys = {**keys, "store__path": str(tmp_path / "s.db")}  # and the journal beside it
    with running_broker(tmp_path, {"STATE_DIRECTORY": place}, **keys):
        assert files(tmp_path) != []
