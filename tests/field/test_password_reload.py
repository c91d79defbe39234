"""Reloads that do not take: reported of password files of NanoMQ and mosquitto.

Source  NanoMQ #2004
"""

from __future__ import annotations

from pathlib import Path

from tests.conformance.flows import closed_with
from tests.conftest import StartBroker
from tests.test_logins import DENIED, WRONG, code, sha512, write


def test_reload_reads_the_file_again(start_broker: StartBroker, tmp_path: Path) -> None:
    path = tmp_path / "users"
    file = write(path, {u: sha512("p") for u in ("stays", "goes", "changes")})
    process = start_broker(auth__password_file=file, allow_anonymous="false")
    assert process.reload()["applied"] == []
    with process.raw(5) as stays, process.raw(5) as goes, process.raw(5) as changes:
        stays.connect("stays", user="stays", password=b"p")
        goes.connect("goes", user="goes", password=b"p")
        changes.connect("changes", user="changes", password=b"p")
        users = {"stays": path.read_text().split("\n")[0].partition(":")[2]}
        write(path, users | {"changes": sha512("q"), "new": sha512("p")})
        assert process.reload()["applied"] == ["auth.password_file"]
        assert closed_with(goes) == DENIED
        assert closed_with(changes) == DENIED
        stays.ping()
    assert [code(process, "changes", p) for p in (b"p", b"q")] == [WRONG, 0]
    assert [code(process, u, b"p") for u in ("goes", "new", "stays")] == [WRONG, 0, 0]


def test_reload_takes_by_signal_and_over_and_over(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    path = tmp_path / "users"
    process = start_broker(auth__password_file=write(path, {"u": sha512("p0")}))
    for n in range(1, 6):
        write(path, {"u": sha512(f"p{n}")})
        done = process.nanomq("reload", "--conf", str(process.conf))
        assert done.stdout == "in force now: auth.password_file\n"
        assert code(process, "u", b"p%d" % (n - 1)) == WRONG
        assert code(process, "u", b"p%d" % n) == 0
