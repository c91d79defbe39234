"""Files that root opened for a process that is not root any more (nanomq_py/kept.py)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from nanomq_py import kept
from nanomq_py.auth.acl_file import read_acl_file
from nanomq_py.auth.password_file import read_users
from nanomq_py.config import ConfigError, load


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that is kept, and that nobody can open any more."""
    monkeypatch.setattr(kept, "_files", {})
    path = tmp_path / "secret"
    path.write_text("one")
    kept.keep(str(path))
    close_to_us(path, monkeypatch)
    return path


def close_to_us(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = os.open

    def refuse(name: str, *args: int, **more: int) -> int:
        if os.path.abspath(name) == str(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), name)
        return opened(name, *args, **more)

    monkeypatch.setattr(os, "open", refuse)


def test_content_is_as_it_is_now_each_time(file: Path) -> None:
    assert [kept.read_bytes(file, 99) for _ in range(2)] == [b"one", b"one"]
    with file.open("r+") as other:
        other.write("three")
    assert kept.read_bytes(file, 99) == b"three"


def test_library_gets_a_path_of_its_own(file: Path) -> None:
    with kept.readable(str(file)) as path:
        assert path != str(file)
        assert Path(path).read_text() == "one"
    assert not os.path.exists(path)


def test_file_that_was_not_kept_is_left_to_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other"
    path.write_text("x")
    with kept.readable(str(path)) as same:
        assert same == str(path)
    close_to_us(path, monkeypatch)
    with pytest.raises(PermissionError, match="Permission denied"):
        kept.open_file(path)


@pytest.mark.parametrize("how", ["replaced", "moved away", "removed"])
def test_another_file_of_that_name_is_refused(file: Path, how: str) -> None:
    if how == "replaced":
        (file.parent / "new").write_text("new")
        (file.parent / "new").replace(file)
    elif how == "moved away":
        file.rename(file.parent / "old")
        file.write_text("new")
    else:
        file.unlink()
    with pytest.raises(
        PermissionError, match="it is another file than at the start, and user"
    ):
        kept.open_file(file)


def test_a_link_that_leads_elsewhere_now_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_files", {})
    for name in ("first", "second"):
        (tmp_path / name).write_text(name)
    link = tmp_path / "link"
    link.symlink_to("first")
    kept.keep(str(link))
    close_to_us(link, monkeypatch)
    assert kept.read_bytes(link, 99) == b"first"
    link.unlink()
    link.symlink_to("second")
    with pytest.raises(PermissionError, match="another file"):
        kept.open_file(link)


def test_pipe_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_files", {})
    os.mkfifo(tmp_path / "pipe")
    kept.keep(str(tmp_path / "pipe"))
    assert kept.leave() == {}


def test_next_process_goes_on_with_them(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {name: f"{os.getpid()}:{os.dup(fd)}" for name, fd in kept.leave().items()}
    monkeypatch.setattr(kept, "_files", {})
    kept.take(environ)
    assert environ == {}
    assert kept.read_bytes(file, 99) == b"one"


def test_what_another_process_was_left_is_not_taken(file: Path) -> None:
    before = kept.leave()
    environ = {name: f"1:{fd}" for name, fd in before.items()}
    kept.take(environ)
    assert kept.leave().keys() == before.keys()


def test_readers_of_the_configuration_use_them(file: Path) -> None:
    """Each of them opens by the way that a kept file needs."""
    file.write_text("msq_len=7\n")
    assert load(file).msq_len == 7
    file.write_text("user ada\ntopic read a/b\n")
    assert read_acl_file(str(file))
    file.write_text("")
    assert not read_users(file)
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read: it is another file"):
        load(file)


def test_noting_tells_what_was_read(tmp_path: Path) -> None:
    conf, more = tmp_path / "a.conf", tmp_path / "more.conf"
    more.write_text("mqtt { }\n")
    conf.write_text('include "more.conf"\n')
    with kept.noting() as names:
        load(conf)
    load(conf)
    assert names == [str(conf), str(more)]


def test_file_that_is_larger_than_expected_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(2048))
    assert len(kept.read_bytes(file, 2048)) == 2048
    for path in (file, "/dev/zero"):
        with pytest.raises(OSError, match="expected 1 KiB at most"):
            kept.read_bytes(path, 2047)
