"""docs/api/v2.md and v4.md: each call is made as it stands there, and answered as it says.

In the answer of a page ``...`` stands for what is another time another.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from nanomq_py.http.emqx_v4.dialect import CLOUD, PREFIX
from nanomq_py.http.errors import BadRequest
from tests import plugged
from tests.conftest import FOREIGN_ENV, ROOT, Process, running_broker
from tests.http.endpoints import DIALECTS, find
from tests.test_commands import blocks

pytestmark = [
    pytest.mark.plain,
    pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a shell preloads no sanitizer"),
]

SERVER = "localhost:8081"
CURL = r"""curl() { command curl --silent --show-error "$@"; printf '\036'; }
"""
KEYS = {
    "node.name": "nanomq@edge",
    "auth.1.login": "steve",
    "auth.1.password": "p",
    "bridge.mqtt.cloud.bridge_mode": "true",
    "bridge.mqtt.cloud.address": "mqtt-tcp://127.0.0.1:1",
}


@dataclass(frozen=True)
class Family:
    """The calls below a heading of a page."""

    page: str
    title: str
    script: str

    def __str__(self) -> str:
        return f"{self.page}-{self.title}"

    @property
    def answers(self) -> list[str]:
        return re.findall(r"^# (.*)$", self.script, re.M)

    @property
    def calls(self) -> list[tuple[str, str]]:
        """The method and URL of each call."""
        script = re.sub(r"\\\n\s*", "", self.script)
        made = []
        for line in re.findall(r"^curl .*$", script, re.M):
            method = re.search(r"-X (\w+)", line)
            default = "POST" if re.search(r" (-d|--data-binary) ", line) else "GET"
            (url,) = re.findall(rf"{SERVER}(/[^\s'\"]*)", line)
            made.append((method[1] if method else default, url))
        return made

    def below(self, prefix: str, other: str) -> Family:
        """Return the same calls to other paths."""
        script = self.script.replace(f"{SERVER}{prefix}", f"{SERVER}{other}")
        return Family(f"{self.page} at {other}", self.title, script)

    def marks(self, dialect: str) -> list[pytest.MarkDecorator]:
        made = []
        prefix = DIALECTS[dialect][0]
        assert len(self.calls) == len(self.answers), self
        for (method, url), answer in zip(self.calls, self.answers, strict=True):
            if url.startswith(f"{prefix}/") or url == prefix:
                code = re.search(r'"code":(\d+)', answer)
                outcome = "success" if code is None or code[1] == "0" else code[1]
                with contextlib.suppress(BadRequest):  # a path that cannot be decoded
                    made.append(find(dialect, method, url[len(prefix) :]).shows(outcome))
        return made


def families(page: str) -> Iterator[Family]:
    text = (ROOT / "docs" / "api" / page).read_text()
    for section in re.split(r"^## ", text, flags=re.M):
        if script := "".join(re.findall(r"^```sh\n(.*?)^```$", section, re.M | re.S)):
            yield Family(page, section.partition("\n")[0], script)


def cases() -> Iterator[Any]:
    for family in families("v2.md"):
        yield pytest.param(family, id=str(family), marks=family.marks("v2"))
    for family in families("v4.md"):
        yield pytest.param(family, id=str(family), marks=family.marks("v4"))
        cloud = family.below(PREFIX, CLOUD)
        yield pytest.param(cloud, id=str(cloud), marks=cloud.marks("cloud"))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("plugins")
    plugged.install(folder, "counter", plugged.GOOD)
    environ = {"PYTHONPATH": str(folder)}
    with running_broker(tmp_path_factory.mktemp("cookbook"), environ, **KEYS) as process:
        yield process


@pytest.fixture
def clients(broker: Process) -> Iterator[None]:
    """Those of the pages."""
    with broker.raw(version=5) as sensor, broker.raw() as panel:
        sensor.connect("sensor-1", user="steve", password=b"p", keep_alive=30)
        sensor.subscribe(("home/+/light", 1))
        panel.connect("panel", user="steve", password=b"p")
        yield


def fits(answer: str, expected: str) -> bool:
    pattern = ".*".join(map(re.escape, expected.split("...")))
    return re.fullmatch(pattern, answer, re.S) is not None


def run(script: str, broker: Process) -> list[str]:
    """Return what each call is answered."""
    script = script.replace(SERVER, f"127.0.0.1:{broker.http_port}")
    done = subprocess.run(
        ["bash", "-euc", CURL + script],
        cwd=broker.conf.parent,
        env=FOREIGN_ENV,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, (script, done.stdout, done.stderr)
    return [each.strip() for each in done.stdout.split("\x1e")[:-1]]


@pytest.mark.usefixtures("clients")
@pytest.mark.parametrize("family", [*cases()])
def test_calls_are_answered_as_the_page_says(broker: Process, family: Family) -> None:
    answers = run(family.script, broker)
    assert len(answers) == len(family.answers)
    for call, answer, expected in zip(family.calls, answers, family.answers, strict=True):
        assert fits(answer, expected), (call, answer, expected)


def test_pages_are_read() -> None:
    for page in ("v2.md", "v4.md"):
        assert len(list(families(page))) > 5
        assert len(blocks(ROOT / "docs" / "api" / page, "sh")) >= len(list(families(page)))
