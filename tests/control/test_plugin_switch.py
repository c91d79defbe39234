"""plugins/switch.py: plugins as an operator sees them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import astuple
from pathlib import Path

import pytest
from httpx2 import ASGITransport, AsyncClient
from starlette.applications import Starlette
from starlette.routing import Mount

from nanomq_py import Broker
from nanomq_py.config import Config
from nanomq_py.config.file import ConfFile
from nanomq_py.http.guard import BasicGuard, Gate
from nanomq_py.kernel.part import Trouble
from nanomq_py.kernel.parts import Parts
from nanomq_py.kernel.reload import Reloader
from nanomq_py.plugins.finding import InstalledPlugins
from nanomq_py.plugins.held import State
from nanomq_py.plugins.pages import Pages
from nanomq_py.plugins.part import Plugins
from nanomq_py.plugins.switch import (
    AlreadyLoadedError,
    FailedError,
    Listed,
    NotInstalledError,
    NotLoadedError,
    Switch,
)
from tests.plugged import GOOD, importable, install

pytestmark = pytest.mark.plain


@asynccontextmanager
async def switching(folder: Path, text: str) -> AsyncIterator[tuple[Switch, Plugins]]:
    """Give what switches plugins on and off, of a broker without clients."""
    conf = folder / "nanomq.conf"
    conf.write_text(text)
    async with Broker(Config(url=None)) as broker:
        plugins = Plugins(broker)
        parts = Parts([plugins])
        reloader = Reloader(ConfFile(conf, {}, plugging=InstalledPlugins()), parts)
        await parts.begin(reloader.config)
        yield Switch(plugins, reloader), plugins
        await parts.stop()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with importable(tmp_path):
        yield tmp_path


OURS = {"devices", "rules", "webhook"}  # they come with the broker


async def others(switch: Switch) -> list[Listed]:
    return [each for each in await switch.all() if each.name not in OURS]


async def told(switch: Switch) -> list[tuple[str, str, str]]:
    return [(each.name, each.state.value, each.error) for each in await others(switch)]


async def test_list_tells_how_each_plugin_is(folder: Path) -> None:
    for name, code in {"switch1": GOOD, "switch2": "1 / 0", "switch3": GOOD}.items():
        install(folder, name, code)
    async with switching(folder, "plugins.load=switch2,switch1\n") as (switch, plugins):
        listed = await others(switch)
        assert [astuple(each)[:3] for each in listed] == [
            (name, "1.2", f"the {name}") for name in ("switch2", "switch1", "switch3")
        ]
        fault = "cannot be loaded: ZeroDivisionError: division by zero"
        said = Trouble(
            "plugin_failed/switch2", f"plugin switch2: {fault}", {"plugin": "switch2"}
        )
        assert list(plugins.troubles()) == [said]
        assert await told(switch) == [
            ("switch2", "failed", fault),
            ("switch1", "loaded", ""),
            ("switch3", "stopped", ""),
        ]


async def test_plugins_are_loaded_and_unloaded_by_name(folder: Path) -> None:
    install(folder, "switch1", GOOD)
    async with switching(folder, "msq_len=7\n") as (switch, plugins):
        assert (await switch.load("switch1", "me")).applied == ("plugins.load",)
        assert plugins.serving("switch1") is not None
        text = (folder / "nanomq.conf").read_text()
        assert text == "msq_len=7\nplugins.load=switch1\n"
        with pytest.raises(AlreadyLoadedError, match="plugin switch1: it is loaded"):
            await switch.load("switch1", "me")
        with pytest.raises(
            NotInstalledError, match=r"not installed: none; there is .*switch1"
        ):
            await switch.load("none", "me")
        one = await switch.one("switch1")
        assert one is not None
        assert one.state is State.LOADED
        assert await switch.one("none") is None
        await switch.unload("switch1", "me")
        assert plugins.serving("switch1") is None
        assert await told(switch) == [("switch1", "stopped", "")]
        for act in (switch.unload, switch.reload):
            with pytest.raises(NotLoadedError, match="plugin switch1: it is not loaded"):
                await act("switch1", "me")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("1 / 0", "cannot be loaded: ZeroDivisionError: division by zero"),
        (
            "class Its(Plugin):\n    async def start(self):\n        raise OSError('no disk')",
            "start failed: OSError: no disk",
        ),
    ],
)
async def test_a_plugin_that_fails_is_not_left_in_the_configuration(
    folder: Path, code: str, why: str
) -> None:
    install(folder, "switch1", code)
    async with switching(folder, "msq_len=7\n") as (switch, plugins):
        with pytest.raises(FailedError, match=f"plugin switch1: {why}"):
            await switch.load("switch1", "me")
        assert plugins.held == []
        assert await told(switch) == [("switch1", "stopped", "")]
    assert "switch1" not in (folder / "nanomq.conf").read_text()


async def test_plugin_is_loaded_anew_by_name(folder: Path) -> None:
    module = install(folder, "switch1", GOOD)
    async with switching(folder, "plugins.load=switch1\n") as (switch, plugins):
        before = plugins.serving("switch1")
        assert (await switch.reload("switch1", "me")).applied == ("plugins.switch1",)
        after = plugins.serving("switch1")
        assert after is not None
        assert after is not before
        assert before is not None
        assert before.plugin is None

        module.write_text("1 / 0")
        with pytest.raises(
            FailedError, match="switch1: cannot be loaded: ZeroDivisionError"
        ):
            await switch.reload("switch1", "me")
        assert plugins.serving("switch1") is after
        assert await told(switch) == [
            (
                "switch1",
                "loaded",
                "cannot be loaded: ZeroDivisionError: division by zero",
            )
        ]


async def test_work_that_fails_is_told(folder: Path) -> None:
    code = """
class Its(Plugin):
    async def start(self):
        self.done = asyncio.Event()
        self.work(self.fail())

    async def fail(self):
        self.done.set()
        1 / 0
"""
    install(folder, "switch1", code)
    async with switching(folder, "plugins.load=switch1\n") as (switch, plugins):
        held = plugins.serving("switch1")
        await held.plugin.done.wait()  # type: ignore[union-attr]
        assert await told(switch) == [
            ("switch1", "failed", "ZeroDivisionError: division by zero")
        ]
        await switch.reload("switch1", "me")
        assert plugins.serving("switch1") is not held


async def test_old_code_is_freed(folder: Path) -> None:
    install(folder, "switch1", GOOD)
    async with switching(folder, "plugins.load=switch1\n") as (switch, plugins):
        pages = Pages(plugins.serving, Gate(BasicGuard("a", "b")))
        app = Starlette(routes=[Mount("/plugins", pages)])
        client = AsyncClient(transport=ASGITransport(app), base_url="http://here")
        old = []
        for _ in range(20):
            held = plugins.serving("switch1")
            assert held is not None
            old.append(weakref.ref(held.plugin))
            got = await client.get("/plugins/switch1/number", auth=("a", "b"))
            assert got.status_code == 200
            del held
            await switch.reload("switch1", "me")
        gc.collect()
        assert [ref for ref in old if ref() is not None] == []
