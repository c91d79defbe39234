"""``nanomq passwd``: what it writes, what it keeps, and where it takes a password from."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nanomq_py.auth.hashing import matches
from nanomq_py.auth.password_file import read_users
from tests.conftest import ROOT, nanomq

pytestmark = pytest.mark.plain


def passwd(*args: object, password: bytes | None = b"p\n") -> tuple[int, str]:
    """Run it with a password on standard input; return exit code and what it says."""
    stdin = [] if password is None else ["--stdin"]
    done = subprocess.run(
        [sys.executable, "-m", "nanomq_py", "passwd", *map(str, args), *stdin],
        cwd=ROOT,
        input=password or b"",
        capture_output=True,
        timeout=60,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


def test_user_is_added_changed_checked_and_deleted(tmp_path: Path) -> None:
    file = tmp_path / "users"
    assert passwd("add", file, "ann", password=b"one\n") == (0, "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert matches(read_users(file)["ann"], b"one")
    assert passwd("check", file, "ann", password=b"one") == (0, "")
    code, said = passwd("check", file, "ann", password=b"two")
    assert (code, "not the password" in said) == (1, True)
    assert passwd("change", file, "ann", password=b"two\r\n") == (0, "")
    assert passwd("check", file, "ann", password=b"two") == (0, "")
    assert passwd("delete", file, "ann", password=None) == (0, "")
    assert read_users(file) == {}
    assert [path.name for path in tmp_path.iterdir()] == ["users"]


def test_other_lines_mode_and_link_stay(tmp_path: Path) -> None:
    real, file = tmp_path / "real", tmp_path / "users"
    assert passwd("add", real, "ann")[0] == 0
    line = real.read_text()
    real.write_text(f"# mine\n\n{line}# end")
    real.chmod(0o640)
    file.symlink_to(real)
    assert passwd("add", file, "bob")[0] == 0
    text = real.read_text()
    assert text.startswith(f"# mine\n\n{line}# end\nbob:$scrypt$")
    assert (file.is_symlink(), stat.S_IMODE(real.stat().st_mode)) == (True, 0o640)
    assert passwd("delete", file, "ann", password=None)[0] == 0
    assert real.read_text() == text.replace(line, "")


@pytest.mark.parametrize(
    ("args", "password", "said"),
    [
        (("add", "FILE", "ann"), b"p", "this user is there already"),
        (("change", "FILE", "bob"), b"p", "there is no such user"),
        (("delete", "FILE", "bob"), None, "there is no such user"),
        (("check", "FILE", "bob"), b"p", "there is no such user"),
        (("change", "NONE", "ann"), b"p", "No such file"),
        (("check", "NONE", "ann"), b"p", "No such file"),
        (("add", "BAD", "ann"), b"p", "BAD:1: expected USER:HASH"),
        (("add", "FILE", "a:b"), b"p", "expected a user name"),
        (("add", "FILE", ""), b"p", "expected a user name"),
        (("add", "FILE", "#x"), b"p", "expected a user name"),
        (("add", "FILE", "a\nb"), b"p", "expected a user name"),
        (("add", "FILE", "bob"), b"", "expected a password of"),
        (("add", "FILE", "bob"), b"\n", "expected a password of"),
        (("add", "FILE", "bob"), b"x" * 65_536, "expected a password of"),
        (("add", "FILE", "bob"), None, "expected a terminal, or --stdin"),
    ],
)
def test_what_cannot_be_done_changes_nothing(
    tmp_path: Path, args: tuple[str, ...], password: bytes | None, said: str
) -> None:
    assert passwd("add", tmp_path / "FILE", "ann")[0] == 0
    (tmp_path / "BAD").write_text("ann\n")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    given = [tmp_path / a if a in ("FILE", "NONE", "BAD") else a for a in args]
    code, told = passwd(*given, password=password)
    assert (code, said in told) == (2, True), told
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_password_is_asked_for_on_the_terminal_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "users"
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(ROOT)
        args = ["-m", "nanomq_py", "passwd", "add", str(file), "ann"]
        os.execv(sys.executable, [sys.executable, *args])
    shown = b""
    for prompt in (b"Password: ", b"Again: "):
        while not shown.endswith(prompt):
            shown += os.read(fd, 1024)
        os.write(fd, b"geheim\n")
    try:
        while data := os.read(fd, 1024):
            shown += data
    except OSError:  # the other end is closed
        pass
    assert os.waitpid(pid, 0)[1] == 0
    os.close(fd)
    assert b"geheim" not in shown
    assert matches(read_users(file)["ann"], b"geheim")


def test_password_cannot_be_an_argument(tmp_path: Path) -> None:
    assert nanomq("passwd", "add", str(tmp_path / "f"), "ann", "geheim").returncode == 2
