"""Plugins that bring an API of their own, and counters below ``$SYS``."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import Process
from tests.control.test_plugins import Start, get, start
from tests.plugged import HEAD, install
from tests.raw import PUBLISH

__all__ = ["start"]  # a fixture

pytestmark = pytest.mark.plain

SPEAKS = (
    HEAD
    + '''
from nanomq_py.http.errors import Forbidden

class Own:
    """An API whose every answer is a text."""

    prefix = "/own/api"

    def __init__(self, gate):
        self.gate = gate

    def routes(self):
        return [Route(f"/own/api/{each.__name__}", each) for each in
                (self.hello, self.forbids, self.fails, self.hangs)]

    def render(self, error):
        return PlainTextResponse(f"own {type(error).__name__}", error.status)

    async def hello(self, request):
        caller = await self.gate.prove("127.0.0.1", *request.headers["x-who"].split(":"))
        return PlainTextResponse(f"hello {caller.name}")

    async def forbids(self, request):
        raise Forbidden("not you")

    async def fails(self, request):
        1 / 0

    async def hangs(self, request):
        print("hangs", file=sys.stderr, flush=True)
        await asyncio.sleep(60)

class Its(Plugin):
    def dialects(self, gate):
        return [Own(gate)]

    def counters(self):
        return {"heard/all": 7}

    async def start(self):
        self.work(self.tell_counters())
'''
)


def test_api_of_a_plugin_is_there_while_it_is_loaded(start: Start, tmp_path: Path) -> None:
    install(tmp_path, "speaks", SPEAKS, head="")
    install(tmp_path, "worse", "class Its(Plugin):\n    def dialects(self, gate): 1 / 0\n")
    with start() as process, ThreadPoolExecutor() as pool:
        assert get(process, "/own/api/hello").startswith("404")
        process.reload(plugins__load="worse,speaks")
        who = {"X-Who": "admin:public"}
        assert get(process, "/own/api/hello", more=who) == "200 hello admin"
        process.waits_for("plugin worse: its dialects cannot be made")
        who = {"X-Who": "admin:wrong"}
        assert get(process, "/own/api/hello", more=who) == "401 own Unauthorized"
        assert get(process, "/own/api/forbids") == "403 own Forbidden"
        assert get(process, "/own/api/none") == "404 own NotFound"
        assert get(process, "/own/api/hello", body=b"x") == "405 own MethodNotAllowed"
        assert get(process, "/own/apiary").startswith("404 {")
        assert get(process, "/own/api/fails").startswith("500")
        assert get(process, "/api/openapi.json").startswith("200")
        hanging = pool.submit(get, process, "/own/api/hangs")
        process.waits_for("hangs")
        process.reload(plugins__load="")
        assert hanging.result(10) == "404 own NotFound"
        assert get(process, "/own/api/hello").startswith("404")


def test_counters_of_a_plugin_are_below_sys(start: Start, tmp_path: Path) -> None:
    install(tmp_path, "speaks", SPEAKS, head="")
    with start(plugins__load="speaks", sys_interval="1") as process:
        assert retained(process, "$SYS/broker/speaks/heard/all") == b"7"


def retained(process: Process, topic: str) -> bytes:
    with process.raw() as reader:
        reader.connect("reader")
        reader.subscribe((topic, 0))
        return reader.expect(PUBLISH).payload


async def test_work_that_ends_before_it_has_begun_is_closed(tmp_path: Path) -> None:
    from nanomq_py import Broker
    from nanomq_py.plugins.plugin import Plugin

    async def work() -> None:
        raise AssertionError

    plugin = Plugin("x", Broker())
    coroutine = work()
    plugin.work(coroutine)
    plugin.end_work()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert coroutine.cr_frame is None  # it warns of none that was never awaited
