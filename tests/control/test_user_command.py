"""``nanomq user``: the users of the HTTP API, while the broker is stopped and while it runs."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, Process, StartBroker, running_broker
from tests.test_commands import blocks

pytestmark = pytest.mark.plain

Done = tuple[int, str]


def user(conf: Path, *args: str, password: str | None = None) -> Done:
    """Run ``nanomq user`` with a password on standard input; return code and what it says."""
    given = [] if password is None else ["--stdin"]
    done = subprocess.run(
        [sys.executable, "-m", "nanomq_py", "user", *args, *given, "--conf", str(conf)],
        cwd=ROOT,
        input=(password or "").encode(),
        capture_output=True,
        timeout=60,
    )
    said = (done.stdout + done.stderr).decode()
    assert not password or password not in said
    return done.returncode, said


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "nanomq.conf"
    path.write_text("")
    return path


def status(process: Process, auth: str, **fields: object) -> int:
    return process.api(auth=auth, **{"req": 2, **fields}).status


def waits_for(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_users_are_added_listed_changed_and_deleted(conf: Path) -> None:
    assert user(conf, "list") == (0, "")
    assert not conf.with_suffix(".db").exists()
    code, said = user(conf, "add", "ann", "--email", "a@x.org", password="ann's pw")
    assert (code, "counts no more" in said) == (0, True)
    assert stat.S_IMODE(conf.with_suffix(".db").stat().st_mode) == 0o600
    assert user(conf, "add", "vic", "--role", "viewer", password="vic's pw") == (0, "")
    assert user(conf, "list") == (0, "ann administrator a@x.org\nvic viewer\n")
    assert user(conf, "change", "vic", "--description", "reads") == (0, "")
    assert user(conf, "change", "vic", "--role", "administrator") == (0, "")
    assert user(conf, "list") == (
        0,
        "ann administrator a@x.org\nvic administrator  reads\n",
    )
    assert user(conf, "delete", "ann") == (0, "")
    assert user(conf, "list") == (0, "vic administrator  reads\n")


@pytest.mark.parametrize(
    ("args", "password", "says"),
    [
        (("add", "a:b"), "p-w", "name='a:b': expected 1 to 255 bytes"),
        (("add", "ann"), "p-w", "'ann': there is a user or an app of that name already"),
        (("add", "bob"), "", "expected a password of 1 to 1024 bytes"),
        (("add", "bob"), "x" * 1025, "expected a password of 1 to 1024 bytes"),
        (("add", "bob"), None, "expected a terminal, or --stdin, or --password-file"),
        (("add", "bob", "--password-file", "/none"), None, "/none: No such file"),
        (("add", "bob", "--role", "king"), "p-w", "invalid choice: 'king'"),
        (("change", "bob"), "p-w", "bob: there is no such user"),
        (("delete", "bob"), None, "bob: there is no such user"),
        (("delete", "ann"), None, "the last administrator"),
        (("change", "ann", "--role", "viewer"), None, "the last administrator"),
    ],
)
def test_what_cannot_be_is_exit_code_2_and_changes_nothing(
    conf: Path, args: tuple[str, ...], password: str | None, says: str
) -> None:
    assert user(conf, "add", "ann", password="ann's pw")[0] == 0
    code, said = user(conf, *args, password=password)
    assert (code, says in said) == (2, True), said
    assert user(conf, "list") == (0, "ann administrator\n")


def test_last_administrator_goes_where_the_password_is_no_default_one(conf: Path) -> None:
    conf.write_text("http_server.password=own\n")
    assert user(conf, "add", "ann", password="ann's pw") == (0, "")
    assert user(conf, "delete", "ann") == (0, "")


def test_store_of_a_newer_version_is_exit_code_1(conf: Path) -> None:
    conf.with_suffix(".db").write_bytes(b"x" * 5000)
    code, said = user(conf, "list")
    assert (code, "not a database" in said) == (1, True)


def test_user_of_before_the_start_replaces_the_default_password(tmp_path: Path) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.write_text("")
    user(conf, "add", "admin", password="mine")
    with running_broker(tmp_path) as process:
        assert status(process, "admin:public") == 401
        assert status(process, "admin:mine") == 200
        assert not any("password is the default" in line for line in process.lines)
        assert "127.0.0.1" in "".join(process.lines)  # where the API goes on listening


class Kept:
    """One connection to the API, which stays unless nothing comes for 5 s."""

    def __init__(self, process: Process, auth: str) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", process.http_port, timeout=20)
        self._auth = "Basic " + base64.b64encode(auth.encode()).decode()

    def ask(self, **fields: object) -> int:
        body = json.dumps({"req": 2, "seq": 1, **fields})
        try:
            self._http.request("POST", "/api/v1", body, {"Authorization": self._auth})
        except ConnectionError:
            self._http.close()
            self._http.request("POST", "/api/v1", body, {"Authorization": self._auth})
        with self._http.getresponse() as answer:
            answer.read()
            return answer.status


def test_broker_that_runs_notices_each_change(start_broker: StartBroker) -> None:
    process = start_broker()
    assert status(process, "admin:public") == 200
    assert status(process, "vic:pw1") == 401
    assert user(process.conf, "add", "vic", "--role", "viewer", password="pw1")[0] == 0
    waits_for(lambda: status(process, "vic:pw1") == 200)
    assert status(process, "admin:public") == 200  # no administrator yet
    kept = Kept(process, "vic:pw1")
    assert (kept.ask(), kept.ask(req=12, data={})) == (200, 403)
    assert user(process.conf, "change", "vic", "--role", "administrator") == (0, "")
    waits_for(lambda: kept.ask(req=12, data={}) == 200)
    waits_for(lambda: status(process, "admin:public") == 401)
    assert user(process.conf, "add", "bob", password="pw2")[0] == 0
    assert status(process, "bob:pw2") == 200
    assert user(process.conf, "change", "vic", password="new")[0] == 0
    waits_for(lambda: kept.ask() == 401)
    assert user(process.conf, "delete", "vic") == (0, "")
    waits_for(lambda: status(process, "vic:new") == 401)
    log = "".join(process.lines)
    assert not any(secret in log for secret in ("pw1", "pw2", "new:", "scrypt"))


def test_reload_of_the_password_leaves_others_logged_in(start_broker: StartBroker) -> None:
    process = start_broker(http_server__host="127.0.0.1")  # else another one is opened
    assert user(process.conf, "add", "bob", password="pw2")[0] == 0
    kept = Kept(process, "bob:pw2")
    waits_for(lambda: status(process, "bob:pw2") == 200)
    assert kept.ask() == 200
    process.set_keys(http_server__password="own", http_server__username="root")
    assert process.nanomq("reload", "--conf", str(process.conf)).returncode == 0
    assert (kept.ask(), status(process, "root:own")) == (200, 200)
    assert status(process, "admin:public") == 401
    process.set_keys(http_server__auth_type="jwt", http_server__jwt__secret="x" * 32)
    assert process.nanomq("reload", "--conf", str(process.conf)).returncode == 0
    assert kept.ask() == 401


def test_broker_with_a_password_of_its_own_loads_no_store(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    for auth in ("admin:public", "nobody:x", "admin:public"):
        status(process, auth)
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    assert "sqlite" not in maps
    assert not process.conf.with_suffix(".db").exists()


def test_password_is_asked_for_on_the_terminal(conf: Path) -> None:
    pid, fd = os.forkpty()
    if pid == 0:
        command = ["nanomq_py", "user", "add", "ann", "--conf", str(conf)]
        os.execv(sys.executable, [sys.executable, "-m", *command])
    said = b""
    for prompt in (b"Password: ", b"Again: "):
        while not said.endswith(prompt):
            said += os.read(fd, 1000)
        os.write(fd, b"typed\n")
    with contextlib.suppress(OSError):
        while data := os.read(fd, 1000):
            said += data
    assert os.waitpid(pid, 0)[1] == 0
    assert b"typed" not in said
    assert user(conf, "list") == (0, "ann administrator\n")


def test_password_comes_from_a_file(conf: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from a file\nmore")
    args = ("--password-file", str(secret))
    assert user(conf, "add", "ann", *args)[0] == 0
    with running_broker(tmp_path) as process:
        assert status(process, "ann:from a file") == 200


def test_program_of_the_page() -> None:
    (code,) = blocks(ROOT / "docs" / "api" / "accounts.md", "python")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == re.findall(r"^# (.*)$", code, re.MULTILINE)
