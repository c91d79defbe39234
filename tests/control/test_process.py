"""The process: control files, the start in the background, where it listens, core files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nanomq_py.run.folder import UnsafeError, claim
from nanomq_py.run.pidfile import PidFile
from tests.conftest import ROOT, StartBroker, conf_text, free_port, nanomq, running_broker

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
OWN = f"nanomq-{os.geteuid()}"
STRANGER = 54321  # a user that nothing here belongs to


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "control"
    made.mkdir(mode=0o700)
    return made


# --- folders


def test_folder_of_ours_is_good_and_is_made_for_us_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        claim(tmp_path / "a" / "b")
    finally:
        os.umask(old)
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b")} == {0o700}
    claim(tmp_path / "a" / "b")


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o702])
def test_folder_that_others_can_write_is_refused(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(UnsafeError, match=f"others can write in {folder}"):
        claim(folder)


def test_folder_in_one_that_others_can_write_is_refused(folder: Path) -> None:
    claim(folder / "ours")
    folder.chmod(0o1777)  # like /tmp: nobody can take away what is ours
    claim(folder / "ours")
    folder.chmod(0o777)
    with pytest.raises(UnsafeError, match=f"others can write in {folder}"):
        claim(folder / "ours")


def test_link_is_no_folder_and_is_followed_above_one(tmp_path: Path, folder: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    with pytest.raises(UnsafeError, match="link is a symbolic link"):
        claim(link)
    claim(link / "below")
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    link.unlink()
    link.symlink_to("open")
    with pytest.raises(UnsafeError, match="others can write"):
        claim(link / "below")
    link.unlink()
    link.symlink_to("link")
    with pytest.raises(OSError, match="symbolic links"):
        claim(link / "below")


@ROOT_ONLY
def test_folder_and_link_of_another_user_are_refused(tmp_path: Path, folder: Path) -> None:
    os.chown(folder, STRANGER, STRANGER)
    with pytest.raises(UnsafeError, match=f"{folder} belongs to another user"):
        claim(folder / "below")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(UnsafeError, match="link belongs to another user"):
        claim(link / "below")
    assert not (tmp_path / "elsewhere").exists()


# --- the pid file


def start(folder: Path, **keys: str) -> subprocess.CompletedProcess[str]:
    """Start a broker that shall refuse to."""
    conf = folder / "nanomq.conf"
    conf.write_text(conf_text(**keys))
    return nanomq("start", "--conf", str(conf), XDG_RUNTIME_DIR=str(folder))


@pytest.mark.parametrize("kind", ["link", "hard link", "folder", "other file"])
def test_nothing_is_overwritten_through_the_pid_file(folder: Path, kind: str) -> None:
    precious = folder / "precious"
    precious.write_text("precious\n")
    path = folder / "nanomq.pid"
    says = {
        "link": "is a symbolic link",
        "hard link": "is no file of a broker",
        "other file": "is no file of a broker",
        "folder": "others can write in",
    }[kind]
    if kind == "link":
        path.symlink_to(precious)
    elif kind == "hard link":
        os.link(precious, path)
    elif kind == "other file":
        path = precious
    else:
        path = folder / "open" / "nanomq.pid"
        path.parent.mkdir()
        path.parent.chmod(0o777)
    done = start(folder, pid_file=str(path))
    assert (done.returncode, f"pid_file={path}: " in done.stderr) == (2, True), done.stderr
    assert says in done.stderr
    assert precious.read_text() == "precious\n"
    assert not (folder / "open" / "nanomq.pid").exists()


def test_default_folder_that_others_can_write_is_refused(folder: Path) -> None:
    folder.chmod(0o777)
    done = start(folder)
    assert done.returncode == 2
    assert f"others can write in {folder}" in done.stderr
    assert list(folder.iterdir()) == [folder / "nanomq.conf"]


def test_control_files_are_ours_alone(start_broker: StartBroker) -> None:
    process = start_broker()
    made = process.conf.parent / OWN
    assert made.stat().st_mode & 0o777 == 0o700
    assert process.nanomq("reload").returncode == 0
    assert [path.stat().st_mode & 0o777 for path in made.iterdir()] == [0o600]


HOLD = """
import fcntl, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(fd, fcntl.LOCK_EX)
os.ftruncate(fd, 0)
started = open(f"/proc/{sys.argv[2]}/stat").read().rpartition(")")[2].split()[19]
os.write(fd, f"{sys.argv[2]} 1 {sys.argv[3] or started}\\n".encode())
print("held", flush=True)
time.sleep(60)
"""


@contextlib.contextmanager
def held(
    path: Path, pid: int | str, started: str, user: int | None = None
) -> Iterator[int]:
    """A process that holds the file, with another one's number in it; ``self``: its own."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(pid), started],
        stdout=subprocess.PIPE,
        user=user,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    try:
        yield holder.pid
        assert holder.poll() is None, "it was signalled"
    finally:
        holder.kill()
        holder.wait(10)
        holder.stdout.close()


@contextlib.contextmanager
def victim() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "60"])
    try:
        yield process
        assert process.poll() is None, "it was signalled"
    finally:
        process.kill()
        process.wait(10)


def command(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    conf = folder / "nanomq.conf"
    conf.write_text(conf_text(pid_file=str(folder / "x.pid")))
    return nanomq(name, "--conf", str(conf), XDG_RUNTIME_DIR=str(folder))


@pytest.mark.parametrize("name", ["stop", "reload", "restart"])
def test_process_of_another_kind_is_not_signalled(folder: Path, name: str) -> None:
    with victim() as process, held(folder / "x.pid", process.pid, "") as holder:
        done = command(folder, name)
        assert (done.returncode, f"process {holder} has" in done.stderr) == (1, True)


def test_process_that_was_started_at_another_time_is_not_signalled(folder: Path) -> None:
    with held(folder / "x.pid", "self", "1") as holder:
        path = folder / "x.pid"
        path.write_text(path.read_text().replace("self", str(holder)))
        done = command(folder, "stop")
        assert (done.returncode, f"process {holder} has" in done.stderr) == (1, True)


@ROOT_ONLY
def test_process_of_another_user_than_the_file_is_not_signalled(folder: Path) -> None:
    """Root's file with a stranger's process in it, and the other way round."""
    with held(folder / "x.pid", "self", "") as holder:
        path = folder / "x.pid"
        path.write_text(path.read_text().replace("self", str(holder)))
        os.chown(path, STRANGER, STRANGER)
        assert command(folder, "stop").returncode == 1
        os.chown(path, 0, 0)
        assert PidFile(path).running() == (holder, "1")  # but for that it would be proved


def test_file_that_a_crash_has_left_is_taken_over(start_broker: StartBroker) -> None:
    process = start_broker()
    (path,) = (process.conf.parent / OWN).iterdir()
    os.kill(process.pid, signal.SIGKILL)
    process.ends()
    process.popen.returncode = 0
    assert path.exists()
    done = process.nanomq("stop", "--conf", str(process.conf))
    assert (done.returncode, "no broker is running" in done.stderr) == (1, True)
    with running_broker(process.conf.parent) as again:
        assert again.nanomq("reload", "--conf", str(again.conf)).returncode == 0


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are ours alone."""
    with tempfile.TemporaryDirectory() as made:
        path = Path(made)
        path.chmod(0o755)
        yield path


def as_stranger(
    python: str, *args: str, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *args], cwd=ROOT, user=STRANGER, group=STRANGER, extra_groups=[],
        env={"PYTHONPATH": ":".join(sys.path), **environ},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def python_for_all() -> str:
    """Return a Python that another user can run the broker with."""
    for python in (sys.executable, "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            if as_stranger(python, "-c", "import nanomq_py.server").returncode == 0:
                return python
    pytest.skip("no Python here can be run by another user")


@ROOT_ONLY
def test_ordinary_user_starts_and_stops_a_broker(open_folder: Path) -> None:
    """In the per-user folder of /tmp, with the process closed to everybody but root."""
    tmp = open_folder / "tmp"
    tmp.mkdir()
    tmp.chmod(0o1777)
    conf = open_folder / "nanomq.conf"
    conf.write_text(conf_text(daemon="true", http_server__enable="false"))
    python = python_for_all()

    def run(name: str) -> subprocess.CompletedProcess[str]:
        args = ("-m", "nanomq_py", name, "--conf", str(conf))
        return as_stranger(python, *args, TMPDIR=str(tmp))

    done = run("start")
    assert done.returncode == 0, done.stderr
    try:
        (path,) = (tmp / f"nanomq-{STRANGER}").iterdir()
        found = PidFile(path).running()
        assert found is not None
        assert [run(name).returncode for name in ("reload", "restart")] == [0, 0]
        looked = as_stranger(python, "-c", f"open('/proc/{found[0]}/environ').read()")
        assert "PermissionError" in looked.stderr  # as in its memory
    finally:
        done = run("stop")
    assert (done.returncode, done.stderr) == (0, "")
    assert not path.exists()


# --- a second one, and the background


def test_second_start_says_which_process_runs(start_broker: StartBroker) -> None:
    process = start_broker()
    done = process.nanomq("start", "--conf", str(process.conf))
    assert done.returncode == 1
    assert f"already running, process {process.pid};" in done.stderr
    assert "Traceback" not in done.stderr
    assert process.nanomq("reload").returncode == 0
    with process.raw() as c:
        assert c.connect("c").reason == 0


def test_second_start_in_the_background_says_it_too(start_broker: StartBroker) -> None:
    process = start_broker()
    process.set_keys(daemon="true")
    done = process.nanomq("start", "--conf", str(process.conf))
    assert (done.returncode, f"process {process.pid};" in done.stderr) == (1, True)
    process.set_keys(daemon=None)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        (
            {"url": "nmq-tcp://192.0.2.1:1883"},
            "url=nmq-tcp://192.0.2.1:1883: cannot listen",
        ),
        ({"http_server__host": "192.0.2.1"}, "cannot listen on 192.0.2.1"),
        ({"log__to": "file", "log__dir": "/dev/null/no"}, "log.dir='/dev/null/no'"),
        ({"tls__enable": "true"}, "tls.certfile: missing"),
    ],
)
def test_start_in_the_background_that_fails_is_told(
    folder: Path, keys: dict[str, str], says: str
) -> None:
    done = start(folder, daemon="true", **keys)
    assert (done.returncode, says in done.stderr) == (2, True), done
    assert not list(folder.glob("*/*.pid"))


def test_start_in_the_background_returns_when_it_serves(folder: Path) -> None:
    port = free_port()
    done = start(
        folder, daemon="true", url=f"nmq-tcp://127.0.0.1:{port}", log__level="fatal",
        log__to="file", log__dir=str(folder),
    )  # fmt: skip
    try:
        assert done.returncode == 0
        assert f"serving: url on port {port} (nmq-tcp://127.0.0.1:{port})" in done.stderr
    finally:
        conf = str(folder / "nanomq.conf")
        stopped = nanomq("stop", "--conf", conf, XDG_RUNTIME_DIR=str(folder))
    assert stopped.returncode == 0


def test_where_it_listens_is_told_at_any_level(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    path = tmp_path / "a.sock"
    process = start_broker(log__level="fatal", listener__a__url=f"nmq-ipc://{path}")
    (line,) = [line for line in process.lines if "serving: " in line]
    assert f"url on port {process.port} (nmq-tcp://127.0.0.1:0), " in line
    assert f"listener.a.url at nmq-ipc://{path}" in line
    assert f"http_server on port {process.http_port} (127.0.0.1)" in line


def test_log_file_that_cannot_grow_is_told_once(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    process = start_broker(log__to="file", log__dir=str(tmp_path))
    log = tmp_path / "nanomq.log"
    bound = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    size = log.stat().st_size
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, bound[1]))
    for _ in range(20):
        with process.raw() as c:
            c.connect("c")
    process.waits_for(f"nanomq: log: {log}: File too large; 1 lines are lost")
    assert process.api(req=2).status == 200  # the loop has had its turns
    assert len([line for line in process.lines if "serving:" not in line]) == 1
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, bound)
    assert process.nanomq("reload", "--conf", str(process.conf)).returncode == 0
    assert "nothing changed" in log.read_text()[size:]


# --- core files


def core_bound(pid: int) -> tuple[int, int]:
    return resource.prlimit(pid, resource.RLIMIT_CORE)


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="ASan sets the bound itself")
def test_core_files_are_off_until_they_are_asked_for(folder: Path) -> None:
    before, hard = resource.getrlimit(resource.RLIMIT_CORE)
    conf = folder / "nanomq.conf"
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        done = start(folder, daemon="true", http_server__enable="false")
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (before, hard))
    assert done.returncode == 0, done.stderr
    try:
        (path,) = (folder / OWN).iterdir()
        found = PidFile(path).running()
        assert found is not None
        assert core_bound(found[0]) == (0, hard)
        conf.write_text(conf.read_text() + "core_dumps=true\n")
        done = nanomq("restart", "--conf", str(conf), XDG_RUNTIME_DIR=str(folder))
        assert done.returncode == 0, done.stderr
        assert core_bound(found[0]) == (hard, hard)
    finally:
        done = nanomq("stop", "--conf", str(conf), XDG_RUNTIME_DIR=str(folder))
    assert done.returncode == 0


DUMPABLE = """
import ctypes, sys
from nanomq_py.run import process
get = lambda: ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
before = get()
process.keep_secrets()
print(before, get())
"""


def test_process_with_secrets_is_not_dumpable() -> None:
    """Else a program that core files are piped to would get one, whatever the bound is."""
    done = subprocess.run(
        [sys.executable, "-c", DUMPABLE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "1 0\n", done.stderr


def test_lock_of_a_reader_does_not_keep_a_broker_out(folder: Path) -> None:
    """Who looks whether a broker runs locks nothing, however often he looks."""
    path = folder / "x.pid"
    path.touch()
    PidFile(path).running()
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        assert PidFile(path).running() is None
