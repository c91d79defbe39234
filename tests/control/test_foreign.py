"""What is no file stands where one is expected, and two processes want the same at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest

from nanomq_py.run.folder import claim
from nanomq_py.run.pidfile import PidFile
from tests.conftest import ROOT, Process, StartBroker, conf_text, free_port, nanomq

pytestmark = pytest.mark.plain

FORK = multiprocessing.get_context("fork")


def spoil(path: Path, kind: str) -> None:
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link loop":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")


KINDS = ["fifo", "link loop", "folder", "device"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "command", [("start", "--conf"), ("conf", "check"), ("stop", "--conf")]
)
def test_what_is_no_file_is_told_and_not_waited_for(
    tmp_path: Path, kind: str, command: tuple[str, ...]
) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.touch()
    spoil(conf, kind)
    done = nanomq(*command, str(conf), XDG_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == (1 if command[0] == "stop" else 2), done.stderr
    assert "Traceback" not in done.stderr
    says = "no broker is running" if command[0] == "stop" else "cannot be read: "
    assert says in done.stderr


@pytest.mark.parametrize("kind", ["fifo", "link loop", "folder"])
def test_file_that_becomes_another_thing_is_refused_and_the_broker_stops(
    start_broker: StartBroker, kind: str
) -> None:
    process = start_broker()
    text = process.conf.read_text()
    spoil(process.conf, kind)
    for command in ("reload", "restart"):
        done = process.nanomq(command, "--conf", str(process.conf))
        assert (done.returncode, "cannot be read: " in done.stderr) == (2, True), done
    process.conf.rmdir() if kind == "folder" else process.conf.unlink()
    process.conf.write_text(text + "msq_len=7\n")
    assert process.nanomq("reload", "--conf", str(process.conf)).returncode == 0
    assert process.stop() == 0
    assert not any("Traceback" in line for line in process.lines)


def into_restart(process: Process) -> None:
    os.kill(process.pid, signal.SIGUSR2)
    process.waits_for("restarting")


@pytest.mark.parametrize("kind", KINDS)
def test_restart_goes_on_where_the_file_is_another_thing(
    start_broker: StartBroker, kind: str
) -> None:
    process = start_broker()
    with process.raw(4) as c:
        c.connect("kept", clean=False)
        c.leave()
    into_restart(process)
    spoil(process.conf, kind)
    process.waits_for("the broker goes on with what ran before the restart")
    with process.raw(4) as c:
        assert c.connect("kept", clean=False).flags == 1
    done = process.nanomq("stop", "--conf", str(process.conf))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["\\u0000", "\\ud800", "loop.conf"])
def test_include_that_is_no_path_is_a_fault_of_the_file(
    start_broker: StartBroker, name: str
) -> None:
    process = start_broker()
    loop = process.conf.parent / "loop.conf"
    loop.symlink_to(loop)
    text = process.conf.read_text()
    process.conf.write_text(f'include "{name}"\n')
    done = nanomq("conf", "check", str(process.conf))
    assert (done.returncode, "include " in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
    for command in ("reload", "restart"):
        done = process.nanomq(command, "--conf", str(process.conf))
        assert (done.returncode, "include " in done.stderr) == (2, True), done.stderr
    assert not any("Traceback" in line for line in process.lines)
    process.conf.write_text(text)


# --- two at once


def _claim(folder: Path, together: Barrier, said: Any) -> None:
    together.wait()
    try:
        claim(folder)
        said.put("made")
    except Exception as fault:
        said.put(repr(fault))


def test_folder_that_two_make_at_once_is_made(tmp_path: Path) -> None:
    for number in range(60):
        together, said = FORK.Barrier(2), FORK.SimpleQueue()
        folder = tmp_path / str(number) / "b" / "c" / "d" / "e"
        both = [
            FORK.Process(target=_claim, args=(folder, together, said)) for _ in range(2)
        ]
        for each in both:
            each.start()
        assert [said.get(), said.get()] == ["made", "made"]
        for each in both:
            each.join()


def _take(path: Path, said: Any) -> None:
    until = time.monotonic() + 2
    seen: Counter[str] = Counter()
    while time.monotonic() < until:
        file = PidFile(path)
        try:
            if not file.take():
                seen["busy"] += 1
                continue
            held = path.with_suffix(".held")
            os.close(os.open(held, os.O_CREAT | os.O_EXCL))
            held.unlink()
            file.release()
            seen["taken"] += 1
        except Exception as fault:
            seen[repr(fault)] += 1
    said.put(seen)


def test_pid_file_that_many_take_and_release_has_one_holder(tmp_path: Path) -> None:
    said = FORK.SimpleQueue()
    path = tmp_path / "x.pid"
    all_of_them = [FORK.Process(target=_take, args=(path, said)) for _ in range(5)]
    for each in all_of_them:
        each.start()
    seen = sum((said.get() for _ in all_of_them), Counter())
    for each in all_of_them:
        each.join()
    assert set(seen) == {"taken", "busy"}, seen


# --- the background


@pytest.mark.parametrize("closed", ["0", "1", "2", "0 1 2"])
def test_start_in_the_background_with_closed_descriptors(
    tmp_path: Path, closed: str
) -> None:
    """Nothing of the broker's gets 0, 1 or 2, and the exit code is 0."""
    conf, port = tmp_path / "nanomq.conf", free_port()
    conf.write_text(
        conf_text(
            daemon="true", url=f"nmq-tcp://127.0.0.1:{port}", log__to="file",
            log__dir=str(tmp_path), pid_file=str(tmp_path / "x.pid"),
        )
    )  # fmt: skip
    redirections = " ".join(f"{fd}>&-" for fd in closed.split())
    python = f"exec '{sys.executable}' -m nanomq_py"
    done = subprocess.run(
        ["sh", "-c", f"{python} start --conf '{conf}' {redirections}"],
        cwd=ROOT,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "NANOMQ_CORE_DUMPS": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=30,
    )
    try:
        assert done.returncode == 0
        found = PidFile(tmp_path / "x.pid").running()
        assert found is not None
        targets = [os.readlink(f"/proc/{found[0]}/fd/{fd}") for fd in (0, 1, 2)]
        assert targets == ["/dev/null"] * 3
    finally:
        done = nanomq("stop", "--conf", str(conf), XDG_RUNTIME_DIR=str(tmp_path))
    assert done.returncode == 0
    assert "serving: " in (tmp_path / "nanomq.log").read_text()
