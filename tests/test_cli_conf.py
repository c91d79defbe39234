"""``nanomq conf``, ``nanomq reload``, and finding the broker that is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanomq_py.config.shipped import shipped
from tests.conftest import ROOT, StartBroker, nanomq, running_broker


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "nanomq.conf"
    path.write_text(
        "msq_len=5\nhttp_server.password=very-secret\nauth.1.login=u\nauth.1.password=p\n"
    )
    return path


def test_check_says_good_or_what_is_wrong(conf: Path) -> None:
    done = nanomq("conf", "check", str(conf))
    assert (done.returncode, done.stdout) == (0, f"{conf}: good\n")
    for text, error in (
        ("msq_len=x\n", "nanomq.conf:1: msq_len='x': expected"),
        ("tls.enable=true\n", "tls.certfile: missing"),
        ("listener.a.url=nmq-tcp://h:1\nlistener.a.cn_as_username=true\n", "with TLS"),
        ("http_server.auth_type=jwt\n", "http_server.jwt.public.keyfile: missing"),
        ("mqtt {\n", "nanomq.conf:1: a section that is not ended"),
    ):
        conf.write_text(text)
        done = nanomq("conf", "check", str(conf))
        assert (done.returncode, error in done.stderr) == (2, True), done
        assert "Traceback" not in done.stderr


def test_shipped_file_is_good() -> None:
    assert nanomq("conf", "check", str(ROOT / "etc" / "nanomq.conf")).returncode == 0


def test_show_is_what_comes_out_of_file_and_environment(conf: Path) -> None:
    done = nanomq("conf", "show", str(conf), NANOMQ_QOS_DURATION="7")
    lines = done.stdout.splitlines()
    assert {"msq_len=5", "qos_duration=7", "auth.1.login=u"} <= set(lines)
    assert "http_server.password=(hidden)" in lines
    assert "very-secret" not in done.stdout
    assert nanomq("conf", "show", "--defaults").stdout == shipped()


def test_diff_of_two_files_of_one_and_of_the_environment(
    conf: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.conf"
    other.write_text("mqtt {max_mqueue_len = 6}\nsystem {num_taskq_thread = 2}\n")
    done = nanomq("conf", "diff", str(conf), str(other))
    assert done.stdout.splitlines() == [
        "num_taskq_thread: 4 -> 2 (after a restart)",
        "msq_len: 5 -> 6 (at once)",
        "http_server.password: (hidden) -> (hidden) (at once)",
        "auth.1.login: u -> (none) (at once)",
        "auth.1.password: (hidden) -> (none) (at once)",
    ]
    done = nanomq("conf", "diff", str(other))
    assert "msq_len: (none) -> 6 (at once)\n" in done.stdout
    done = nanomq("conf", "diff", NANOMQ_MSQ_LEN="9")
    assert done.stdout == "msq_len: (none) -> 9 (at once)\n"


def test_reload_without_a_broker_says_so(tmp_path: Path) -> None:
    done = nanomq("reload", XDG_RUNTIME_DIR=str(tmp_path))
    assert (done.returncode, "no broker is running" in done.stderr) == (1, True)


def test_broker_is_stopped_with_a_file_that_is_broken_meanwhile(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    process.conf.write_text("msq_len=x\n")
    done = process.nanomq("stop", "--conf", str(process.conf))
    assert (done.returncode, process.popen.wait(20)) == (0, 0)


def test_of_several_brokers_one_is_to_be_named(tmp_path: Path) -> None:
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with (
        running_broker(tmp_path / "a", environ) as a,
        running_broker(tmp_path / "b", environ),
    ):
        done = nanomq("reload", XDG_RUNTIME_DIR=str(tmp_path))
        assert (done.returncode, "several are running: name one" in done.stderr) == (
            1,
            True,
        )
        done = nanomq("reload", "--conf", str(a.conf), XDG_RUNTIME_DIR=str(tmp_path))
        assert done.returncode == 0
