"""``nanomq conf``, ``nanomq reload``, and finding the broker that is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanomq_py.config.shipped import shipped
from tests.certs import Certs
from tests.conftest import ROOT, StartBroker, nanomq, running_broker

pytestmark = pytest.mark.plain


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "nanomq.conf"
    path.write_text(
        "msq_len=5\nhttp_server.password=very-secret\nauth.1.login=u\nauth.1.password=p\n"
    )
    return path


def test_check_says_good_or_what_is_wrong(conf: Path) -> None:
    done = nanomq("conf", "check", str(conf), NANOMQ_USER="root")
    assert (done.returncode, done.stdout) == (0, f"{conf}: good\n")
    for text, error in (
        ("msq_len=x\n", "nanomq.conf:1: msq_len='x': expected"),
        ("tls.enable=true\n", "tls.certfile: missing"),
        ("listener.a.url=nmq-tcp://h:1\nlistener.a.cn_as_username=true\n", "with TLS"),
        ("http_server.auth_type=jwt\n", "http_server.jwt.public.keyfile: missing"),
        (
            "http_server.password=\n",
            "nanomq.conf:1: http_server.password=(hidden): expected",
        ),
        (
            "auth.1.login=u\nauth.1.password=\n",
            "conf:2: auth.1.password=(hidden): expected",
        ),
        (
            "http_server.tls.enable=true\n",
            "nanomq.conf:1: http_server.tls.certfile: missing",
        ),
        ("mqtt {\n", "nanomq.conf:1: a section is not closed"),
    ):
        conf.write_text(text)
        done = nanomq("conf", "check", str(conf), NANOMQ_USER="root")
        assert (done.returncode, error in done.stderr) == (2, True), done
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("proto_ver=3", "3: bridge.mqtt.b.proto_ver=3: expected 4 or 5"),
        (
            "forward.1.remote_topic=+/x/#",
            "3: bridge.mqtt.b.forward.1.remote_topic='+/x/#': ",
        ),
        ("password=x", "1: bridge.mqtt.b.username: missing"),  # where the bridge begins
    ],
)
def test_check_finds_a_bridge_that_cannot_be(conf: Path, line: str, fault: str) -> None:
    lines = ("bridge_mode=true", "forward.1.local_topic=a/#", line)
    conf.write_text("".join(f"bridge.mqtt.b.{each}\n" for each in lines))
    done = nanomq("conf", "check", str(conf))
    assert done.returncode == 2
    assert f"{conf}:{fault}" in done.stderr


def test_empty_password_of_the_environment_is_refused(conf: Path) -> None:
    done = nanomq("conf", "check", str(conf), NANOMQ_HTTP_SERVER_PASSWORD="")
    assert done.returncode == 2
    assert "NANOMQ_HTTP_SERVER_PASSWORD in the environment" in done.stderr


def test_file_with_secrets_that_all_can_read_is_warned_about(conf: Path) -> None:
    for mode, warned in ((0o644, True), (0o604, True), (0o640, False), (0o600, False)):
        conf.chmod(mode)
        done = nanomq("conf", "check", str(conf), NANOMQ_USER="root")
        assert (done.returncode, done.stdout) == (0, f"{conf}: good\n")
        says = f"warning: {conf}: mode {mode:04o} lets every user of this machine read"
        assert (says in done.stderr) == warned, done.stderr
    conf.chmod(0o644)
    conf.write_text("msq_len=5\nhttp_server.password=public\n")  # no secret
    assert nanomq("conf", "check", str(conf), NANOMQ_USER="root").stderr == ""


def test_included_file_and_key_are_warned_about(
    conf: Path, tmp_path: Path, certs: Certs
) -> None:
    key = tmp_path / "server.key"
    key.write_bytes(certs.server.keyfile.read_bytes())
    users = tmp_path / "users.conf"
    users.write_text("u: secret\n")
    conf.write_text(
        'auth { password = {include "users.conf"} }\n'
        f'listeners.ssl {{ bind = "127.0.0.1:0", keyfile = "{key}",'
        f' certfile = "{certs.server.certfile}" }}\n'
    )
    for path in (users, key, conf):
        path.chmod(0o644)
    done = nanomq("conf", "check", str(conf))
    assert done.returncode == 0, done.stderr
    assert f"{users}: mode 0644" in done.stderr
    assert f"{key}: mode 0644" in done.stderr
    assert f"{conf}: mode" not in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "tls.keyfile",
        "listener.mine.tls.keyfile",
        "http_server.tls.keyfile",
        "http_server.jwt.private.keyfile",
    ],
)
def test_private_key_that_all_can_read_is_warned_about(
    conf: Path, tmp_path: Path, name: str
) -> None:
    key = tmp_path / "server.key"
    key.write_text("x")
    conf.write_text(
        f"{name}={key}\nhttp_server.jwt.public.keyfile={conf}\n"
        "listener.mine.url=nmq-tcp://127.0.0.1:0\n"
    )
    for mode, warned in ((0o644, True), (0o640, False)):
        key.chmod(mode)
        done = nanomq("conf", "check", str(conf))
        says = f"{key}: mode {mode:04o} lets every user of this machine read {name}"
        assert (says in done.stderr) == warned, done.stderr
        assert f"{conf}: mode" not in done.stderr


def test_start_warns_of_a_file_that_all_can_read(start_broker: StartBroker) -> None:
    process = start_broker(auth__1__login="u", auth__1__password="p")
    process.waits_for("lets every user of this machine read auth.1.password")


def test_log_folder_that_others_can_write_is_warned_about(
    conf: Path, tmp_path: Path
) -> None:
    """Whoever puts nanomq.log there first keeps the log from being written."""
    folder = tmp_path / "log"
    folder.mkdir()
    for mode, warned in ((0o1777, True), (0o777, True), (0o755, False), (0o700, False)):
        folder.chmod(mode)
        conf.write_text(f"log.to=file\nlog.dir={folder}\n")
        done = nanomq("conf", "check", str(conf), NANOMQ_USER="root")
        assert (done.returncode, done.stdout) == (0, f"{conf}: good\n")
        says = f"warning: log.dir={folder}: others can write in {folder}: another user can"
        assert (says in done.stderr) == warned, done.stderr
    folder.chmod(0o1777)
    conf.write_text(f"log.dir={folder}\n")  # and nothing goes there
    assert nanomq("conf", "check", str(conf), NANOMQ_USER="root").stderr == ""


def test_start_warns_of_a_log_folder_that_others_can_write(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    folder.chmod(0o1777)
    process = start_broker(log__to="console,file", log__dir=str(folder))
    process.waits_for(f"warning nanomq: log.dir={folder}: others can write in {folder}")


MISSING = "\nparquet.enable=true\nexhook.enable=true\n"


def test_check_says_what_will_not_happen_and_exits_1(conf: Path) -> None:
    conf.write_text(f"{MISSING}http_server.parallel=32\n")
    done = nanomq("conf", "check", str(conf))
    assert done.returncode == 1
    assert "good" not in done.stdout
    lines = done.stderr.splitlines()
    assert lines[0].endswith(
        "nanomq.conf:2: parquet.enable: not in this version: no Parquet file is written"
    )
    assert "nanomq.conf:3: exhook.enable: not in this version: no gRPC server" in lines[1]
    assert len(lines) == 2
    assert "without a meaning in this version: http_server.parallel" in done.stdout
    conf.write_text("exhook.enable=false\nparquet.enable=false\n")
    assert nanomq("conf", "check", str(conf)).returncode == 0


def test_nothing_in_a_file_steers_the_terminal(conf: Path) -> None:
    conf.write_text(
        "\x1b[2J\u202ex=1\nhttp_server.pass\x1b]0;own\x07word=x\nauth.1.login=\x9b2J\u202e\n",
        encoding="utf-8",
    )
    done = nanomq("conf", "check", str(conf))
    assert done.returncode == 2
    assert "\\x1b[2J\\u202ex: unknown key" in done.stderr
    assert "http_server.pass\\x1b]0;own\\x07word: unknown key" in done.stderr
    assert all(c.isprintable() or c == "\n" for c in done.stderr), ascii(done.stderr)
    conf.write_text(
        "http_server.username=\u202eboss\nauth.1.login=\x9b2J\nauth.1.password=p\n"
        "rule.sqlite.path\u202e=1\n",
        encoding="utf-8",
    )
    for command in ("show", "diff", "check"):
        done = nanomq("conf", command, str(conf))
        text = done.stdout + done.stderr
        assert all(c.isprintable() or c == "\n" for c in text), ascii(text)
    assert "http_server.username=\\u202eboss\n" in nanomq("conf", "show", str(conf)).stdout


def test_tokens_in_headers_are_hidden_and_warned_about(conf: Path) -> None:
    conf.write_text("web.hook.headers.Authorization=Bearer hunter2\n")
    conf.chmod(0o644)
    for command in ("show", "diff", "check"):
        done = nanomq("conf", command, str(conf))
        assert "hunter2" not in done.stdout + done.stderr
    assert "lets every user of this machine read web.hook.headers.Auth" in done.stderr


def test_check_tells_every_fault_in_a_line_of_its_own(conf: Path) -> None:
    conf.write_text("msq_len=x\n\nno_such=1\nauth.1.login=a\n")
    done = nanomq("conf", "check", str(conf))
    assert done.returncode == 2
    assert [line.split(": ")[1].rpartition(":")[2] for line in done.stderr.splitlines()] == [
        "1", "3", "4",
    ]  # fmt: skip
    conf.write_text("auth.http.enable=true\ntls.enable=true\nhttp_server.auth_type=jwt\n")
    done = nanomq("conf", "check", str(conf))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 3)


def test_check_names_what_is_written(conf: Path) -> None:
    conf.write_text('listeners.ssl { bind = "127.0.0.1:0", keyfile = "/no/key" }\n')
    done = nanomq("conf", "check", str(conf))
    assert (done.returncode, done.stderr) == (
        2,
        f"nanomq: {conf}:1: listeners.ssl.certfile: missing, a listener with TLS needs it\n",
    )


def test_shipped_file_is_good() -> None:
    assert nanomq("conf", "check", str(ROOT / "etc" / "nanomq.conf")).returncode == 0


def test_show_is_what_comes_out_of_file_and_environment(conf: Path) -> None:
    done = nanomq("conf", "show", str(conf), NANOMQ_QOS_DURATION="7")
    lines = done.stdout.splitlines()
    assert {"msq_len=5", "qos_duration=7", "auth.1.login=u"} <= set(lines)
    assert "http_server.password=(hidden)" in lines
    assert "very-secret" not in done.stdout
    assert nanomq("conf", "show", "--defaults").stdout == shipped()


def test_show_marks_what_is_not_the_default_and_what_is_not_there(conf: Path) -> None:
    conf.write_text(f"{MISSING}msq_len=5\nhttp_server.password=x\nhttp_server.parallel=3\n")
    lines = nanomq("conf", "show", str(conf)).stdout.splitlines()
    assert lines[lines.index("msq_len=5") - 1] == "# default: (none)"
    assert lines[lines.index("http_server.password=(hidden)") - 1] == "# default: (hidden)"
    assert not lines[lines.index("qos_duration=60") - 1].startswith("#")
    told = "\n".join(lines[-3:])
    assert "# parquet.enable: not in this version: no Parquet" in told
    assert "# exhook.enable: not in this version: no gRPC server" in told
    assert lines[-1] == "# http_server.parallel: without a meaning in this version"


def test_start_and_each_reload_log_what_will_not_happen(start_broker: StartBroker) -> None:
    process = start_broker(exhook__enable="true", http_server__parallel="32")
    missing = "error nanomq: {}:5: exhook.enable: not in this version: no gRPC server"
    process.waits_for(missing.format(process.conf))
    process.waits_for(
        "warning nanomq: keys without a meaning in this version: http_server."
    )
    process.reload(parquet__enable="true")
    process.waits_for("parquet.enable: not in this version: no Parquet file is written")
    process.reload(parquet__enable=None)
    told = [line for line in process.lines if "exhook.enable: not in this version" in line]
    assert len(told) == 3
    assert sum("parquet" in line and "error" in line for line in process.lines) == 1


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
    assert (done.returncode, process.ends()) == (0, 0)


@pytest.mark.parametrize("broken", ["msq_len=x\n", "{{{ [", "\xff"])
def test_broker_with_a_pid_file_is_found_with_a_broken_file(
    start_broker: StartBroker, tmp_path: Path, broken: str
) -> None:
    process = start_broker(pid_file=str(tmp_path / "own.pid"))
    process.conf.write_bytes(f"pid_file={tmp_path / 'own.pid'}\n{broken}".encode("latin-1"))
    done = process.nanomq("reload", "--conf", str(process.conf))
    assert (done.returncode, "not reloaded: " in done.stderr) == (2, True), done.stderr
    done = process.nanomq("stop", "--conf", str(process.conf))
    assert (done.returncode, process.ends()) == (0, 0)


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
