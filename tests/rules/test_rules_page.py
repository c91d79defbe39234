"""docs/rules.md: its example runs as it stands there, and its tables are whole."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nanomq_py.config.declare.key import keys_of
from nanomq_py.config.reader import read
from nanomq_py.plugins.finding import InstalledPlugins
from nanomq_py.plugins.rules.catalog import ACTIONS
from nanomq_py.plugins.rules.columns import EVENTS
from nanomq_py.plugins.rules.keys import FileRule, Keys
from nanomq_py.plugins.rules.plugin import of_file
from tests.conftest import ROOT, StartBroker
from tests.test_commands import Shells, blocks, shells

pytestmark = pytest.mark.plain

__all__ = ["shells"]  # a fixture
PAGE = ROOT / "docs" / "rules.md"


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a shell preloads no sanitizer")
def test_commands_of_rules_md(
    start_broker: StartBroker, shells: Callable[..., Shells]
) -> None:
    process = start_broker()
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_RUNTIME_DIR": str(process.conf.parent),
    }
    ran = shells(process.conf.parent, **env)
    for block in blocks(PAGE, "sh"):
        ran.run(block.replace("8081", str(process.http_port)))


def test_each_action_and_event_is_there() -> None:
    text = PAGE.read_text()
    assert all(f"`{name}`" in text for name in ACTIONS)
    assert all(name in text for name in EVENTS)


def test_each_key_is_there() -> None:
    text = PAGE.read_text()
    for _, key in (*keys_of(Keys), *keys_of(FileRule)):
        assert f"`{key.name}`" in text or f".{key.name}`" in text, key.name


def test_rules_of_the_page_are_rules() -> None:
    (block,) = blocks(PAGE, "ini")
    config = read(block, "x.conf", plugging=InstalledPlugins({})).config
    kinds = [rule.actions[0].name for rule in of_file(config.of_part(Keys))]
    assert kinds == ["sqlite", "repub"]
    assert not config.said.ignored
