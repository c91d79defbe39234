"""examples/plugin and docs/plugins.md: installed by pip, and used as they say."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import FOREIGN_ENV, ROOT, Process, running_broker
from tests.control.test_plugins import get
from tests.eventually import eventually
from tests.plugged import install
from tests.raw import PUBLISH
from tests.test_commands import blocks

pytestmark = pytest.mark.plain

PAGE = ROOT / "docs" / "plugins.md"
SETUPTOOLS = int(importlib.metadata.version("setuptools").partition(".")[0])
# Without the network, where what is installed can make a wheel.
PIP = ["--no-deps", *(["--no-build-isolation"] if SETUPTOOLS >= 71 else [])]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return the folder that plugins are installed in."""
    site = tmp_path / "site"
    site.mkdir()
    return site


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a copy of the example."""
    return Path(shutil.copytree(ROOT / "examples" / "plugin", tmp_path / "examples/plugin"))


@pytest.fixture
def broker(tmp_path: Path, site: Path) -> Iterator[Process]:
    with running_broker(tmp_path, {"PYTHONPATH": str(site)}) as process:
        yield process


def pip_install(source: Path, site: Path) -> None:
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "install"]
    command = [*pip, *PIP, "--upgrade", "--target", str(site), str(source)]
    subprocess.run(command, check=True, timeout=100, env=FOREIGN_ENV)


def clients(process: Process) -> Any:
    status, _, text = get(process, "/plugins/counter/clients").partition(" ")
    return json.loads(text) if status == "200" else status


def test_example_counts_follows_its_key_and_is_replaced(
    broker: Process, source: Path, site: Path
) -> None:
    pip_install(source, site)
    applied = broker.reload(plugins__load="counter")["applied"]
    assert applied == ["plugins.load", "plugins.counter.most_clients"]
    assert clients(broker) == {}
    with broker.raw() as pump, broker.raw() as screen:
        pump.connect("pump")
        screen.connect("screen")
        screen.subscribe(("a/#", 0))
        for _ in range(3):
            pump.publish("a/b", b"x")
            screen.expect(PUBLISH)
        told = {
            "pump": {"connections": 1, "deliveries": 0},
            "screen": {"connections": 1, "deliveries": 3},
        }
        eventually(lambda: clients(broker) == told)
        for most, status in ((0, 400), (1, 200)):
            data = {"plugins.counter": {"most_clients": most}}
            assert broker.api(req=12, data=data).status == status
        assert clients(broker) == {"screen": told["screen"]}

    module = source / "nanomq_counter.py"
    module.write_text(module.read_text().replace('"/clients"', '"/newer"'))
    pip_install(source, site)
    assert clients(broker) == {"screen": told["screen"]}
    assert broker.reload()["applied"] == ["plugins.counter"]
    assert clients(broker) == "404"
    assert get(broker, "/plugins/counter/newer") == "200 {}"

    assert "plugins.load" in broker.reload(plugins__load=None)["applied"]
    broker.waits_for("keys of plugins that are not loaded: plugins.counter.most_clients")
    assert get(broker, "/plugins/counter/newer").startswith("404")


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a shell preloads no sanitizer")
def test_commands_of_the_page(
    tmp_path: Path, site: Path, source: Path, broker: Process
) -> None:
    pip = f"-m pip -q --disable-pip-version-check install {' '.join(PIP)} --target {site}"
    for name, program in (("nanomq", '-m nanomq_py "$@"'), ("pip", f'{pip} "${{@:2}}"')):
        (tmp_path / name).write_text(f"#!/bin/bash\nexec {sys.executable} {program}\n")
        (tmp_path / name).chmod(0o755)
    given = {
        "PATH": f"{tmp_path}:{FOREIGN_ENV['PATH']}",
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PYTHONPATH": f"{site}:{ROOT}",
    }
    for block in blocks(PAGE, "sh"):
        done = subprocess.run(
            ["bash", "-euc", block.replace(":8081", f":{broker.http_port}")],
            cwd=tmp_path, capture_output=True, text=True, timeout=100,
            env={**FOREIGN_ENV, **given},
        )  # fmt: skip
        assert done.returncode == 0, (block, done.stdout, done.stderr)
        for answer in re.findall(r"^# (.*)", block, re.MULTILINE):
            assert answer in done.stdout, (block, done.stdout)


def test_plugin_of_the_page(broker: Process, site: Path) -> None:
    (code,) = blocks(PAGE, "python")
    install(site, "hello", code, head="")
    assert "of_hello:Its" in PAGE.read_text()
    broker.reload(plugins__load="hello")
    assert get(broker, "/plugins/hello/who").startswith('200 {"you":"admin from 127.0.0.1')
    with broker.raw() as client:
        client.connect("c")
        client.subscribe(("hello", 0))
        assert client.expect(PUBLISH).payload == b"here I am"
