"""Every command of README, docs/reload.md and docs/importing.md, run as it stands there."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import FOREIGN_ENV, ROOT, StartBroker, free_port

pytestmark = pytest.mark.plain

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BUILD_S = 600  # what make installs and builds

# apt-get for those who are not root: whether it could, and nothing is installed.
APT_GET = """#!/bin/sh
[ "$1" = update ] || exec /usr/bin/apt-get --simulate "$@"
"""


def blocks(page: Path, language: str) -> list[str]:
    """Return the blocks of a page that are in that language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)


class Shells:
    """Runs blocks in a folder; what a block leaves running ends with the test."""

    def __init__(self, folder: Path, log: Path, **env: str) -> None:
        self.folder = folder
        self.log = log
        self.env = {**FOREIGN_ENV, **env}
        self._groups: list[subprocess.Popen[bytes]] = []

    def start(self, block: str) -> Callable[[], str]:
        """Begin to run a block; return what gives its output up to now."""
        log = self.log.with_suffix(f".{len(self._groups)}")
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["bash", "-ec", block],
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._groups.append(process)
        return log.read_text

    def expect(self, output: Callable[[], str], text: str, within_s: float) -> None:
        process = self._groups[-1]
        until = time.monotonic() + within_s
        while text not in output():
            assert process.poll() in (None, 0), output()
            assert time.monotonic() < until, f"not written: {text}\n{output()}"
            time.sleep(0.05)

    def run(self, block: str, within_s: float = 60) -> str:
        """Run a block to its end; what its comments show must be in its output."""
        output = self.start(block)
        code = self._groups[-1].wait(within_s)
        assert code == 0, output()
        for line in re.findall(r"^# (.*)$", block, re.M):
            self.expect(output, line, 10)
        return output()

    def end(self) -> None:
        for process in reversed(self._groups):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(30)
        self._groups.clear()


@pytest.fixture
def shells(tmp_path: Path) -> Iterator[Callable[..., Shells]]:
    made: list[Shells] = []

    def make(folder: Path, **env: str) -> Shells:
        made.append(Shells(folder, tmp_path / f"log-{len(made)}", **env))
        return made[-1]

    yield make
    for one in made:
        one.end()


# In tests/: test_docs.py, test_developing.py, control/test_example_plugin.py,
# control/test_store.py, test_http_auth.py, http/test_cookbook.py, http/test_iot_page.py,
# rules/test_rules_page.py, devices/test_tutorial.py, webhook/test_page.py,
# test_durability_page.py.
ELSEWHERE = {
    "docs/api/accounts.md",
    "docs/api/http.md",
    "docs/api/iot.md",
    "docs/api/v2.md",
    "docs/api/v4.md",
    "docs/security.md",
    "docs/developing.md",
    "docs/plugins.md",
    "docs/rules.md",
    "docs/http-auth.md",
    "docs/iot.md",
    "docs/webhooks.md",
    "docs/store.md",
    "docs/durability.md",
    "docs/bridges.md",
}


def test_no_page_has_shell_blocks_that_no_test_runs() -> None:
    languages = {
        (str(page.relative_to(ROOT)), language)
        for page in PAGES
        for language in re.findall(r"^```(\w+)$", page.read_text(), re.M)
    }
    assert {language for _, language in languages} <= {
        "sh",
        "python",
        "ini",
        "c",
        "mermaid",
        "json",
        "sql",  # tests/rules/test_sql_docs.py
        "text",
    }
    pages = {page for page, language in languages if language == "sh"}
    assert pages - ELSEWHERE == {"README.md", "docs/reload.md", "docs/importing.md"}


# --- README


def tree_at(folder: Path) -> Path:
    """Copy the files of this tree, committed or not yet, with their times."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """This tree, as something to clone."""
    folder = tree_at(tmp_path / "repository")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


@pytest.mark.timeout(2 * BUILD_S + 120)
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a clone has no sanitizer")
def test_readme_from_its_first_line_on(
    tmp_path: Path, repository: Path, shells: Callable[..., Shells]
) -> None:
    port, http_port = free_port(), free_port()
    stubs = tmp_path / "bin"
    stubs.mkdir()
    (stubs / "apt-get").write_text(APT_GET)
    (stubs / "apt-get").chmod(0o755)
    for client in ("mosquitto_pub", "mosquitto_sub"):
        (tmp_path / client).write_text(f"-p {port}\n")
    env = {
        "URL": str(repository),
        "PATH": f"{stubs}:{os.environ['PATH']}",
        "XDG_CONFIG_HOME": str(tmp_path),  # of the mosquitto clients
        "XDG_RUNTIME_DIR": str(tmp_path),
        "NANOMQ_URL": f"nmq-tcp://127.0.0.1:{port}",
        "NANOMQ_WEBSOCKET_ENABLE": "false",
        "NANOMQ_HTTP_SERVER_PORT": str(http_port),
        "NANOMQ_LOG_LEVEL": "info",  # "serving: ..."
        "PYTEST_ADDOPTS": "tests/test_layers.py",  # the suite itself is what runs now
    }
    install, message, start, rest, test = blocks(ROOT / "README.md", "sh")
    (program,) = blocks(ROOT / "README.md", "python")

    above = shells(tmp_path, **env)
    above.expect(above.start(install), "serving:", BUILD_S)
    inside = shells(tmp_path / "nanomq-py", **env)
    inside.run(message.replace("8081", str(http_port)))
    inside.end()
    above.end()

    server = shells(tmp_path / "nanomq-py", **env)
    server.expect(server.start(start), "serving:", 60)
    inside.run(rest)
    server.end()

    (tmp_path / "program.py").write_text(program.replace("1883", str(port)))
    inside.expect(
        inside.start(". .venv/bin/activate && python -u ../program.py"),
        "sensors/1 b'21.5'",
        60,
    )
    inside.end()
    assert " passed" in inside.run(test, BUILD_S)


# --- docs/


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a shell preloads no sanitizer")
def test_commands_of_reload_md(
    tmp_path: Path, start_broker: StartBroker, shells: Callable[..., Shells]
) -> None:
    process = start_broker()
    folder = process.conf.parent
    (folder / "old.conf").write_text("msq_len=64\n")
    (folder / "new.conf").write_text("msq_len=65\n")
    process.set_keys(msq_len="66")
    (block,) = blocks(ROOT / "docs" / "reload.md", "sh")
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_RUNTIME_DIR": str(folder),
    }
    output = shells(folder, **env).run(block)
    assert "msq_len" in output
    assert process.api(req=11).json["data"]["msq_len"] == 66


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a shell preloads no sanitizer")
def test_commands_of_importing_md(tmp_path: Path, shells: Callable[..., Shells]) -> None:
    (block,) = blocks(ROOT / "docs" / "importing.md", "sh")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shells(tmp_path, PATH=path, PYTHONPATH=str(ROOT)).run(block)
