"""Plugins for tests: packages in a folder, as pip would put them there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

HEAD = """\
import asyncio, os, sys
from dataclasses import dataclass
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.declare.section import Section
from nanomq_py.config.values.numbers import Whole
from nanomq_py.config.values.texts import Text
from nanomq_py.events import Connected
from nanomq_py.kernel.part import Change
from nanomq_py.plugins.plugin import Plugin

"""


def install(folder: Path, name: str, code: str, *, head: str = HEAD) -> Path:
    """Write the plugin: a module ``of_NAME`` whose class is ``Its``; return its file."""
    data = folder / f"plugin_{name}-1.2.dist-info"
    data.mkdir(exist_ok=True)
    (data / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: plugin-{name}\nVersion: 1.2\nSummary: the {name}\n"
    )
    (data / "entry_points.txt").write_text(f"[nanomq_py.plugins]\n{name} = of_{name}:Its\n")
    module = folder / f"of_{name}.py"
    module.write_text(head + code)
    return module


@contextmanager
def importable(folder: Path) -> Iterator[Path]:
    """Have the plugins of a folder installed; their modules leave at the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setattr(sys, "dont_write_bytecode", True)
        yield folder
        for name in [name for name in sys.modules if name.startswith("of_")]:
            del sys.modules[name]


GOOD = '''
class Its(Plugin):
    """It says NUMBER at /plugins/NAME/number."""

    NUMBER = 1

    def routes(self):
        async def number(request):
            return PlainTextResponse(f"{self.NUMBER} for {request.state.who}")

        return [Route("/number", number)]

    async def start(self):
        self.log.warning("%s %d starts", self.name, self.NUMBER)

    async def stop(self):
        self.log.warning("%s %d stops", self.name, self.NUMBER)
'''

KEYED = """
@dataclass(frozen=True, kw_only=True)
class Keys(Checked):
    rate: int = key("rate", Whole(0, 9), 5, "A rate.")
    word: str = key("word", Text(), "", "A word.", secret=True)

class Put(Change):
    def __init__(self, plugin, keys):
        self.plugin, self.keys = plugin, keys
    def commit(self):
        self.plugin.log.warning("%s: rate %d", self.plugin.name, self.keys.rate)

class Its(Plugin):
    brings = (Section("plugins.keyed", Keys, "Keyed"),)
    async def prepare(self, config):
        keys = config.of_part(Keys)
        if keys.rate == 9:
            raise ConfigError("plugins.keyed.rate: 9 is more than this plugin can do")
        return Put(self, keys)
"""
