"""The HTTP server that cannot serve says so at once."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from nanomq_py import Config, ConfigError
from nanomq_py.config.file import ConfFile
from nanomq_py.config.keys.http_server import HttpServer
from nanomq_py.http import serving
from nanomq_py.http.guard import Gate
from nanomq_py.http.part import Http
from nanomq_py.listen.inherited import Inherited
from nanomq_py.server import Left, Server
from tests.conftest import conf_text

pytestmark = pytest.mark.plain


async def no_descriptors(*args: object, **more: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def app(scope: object, receive: object, send: object) -> None: ...


class Apps:
    """One application, whatever dialects are asked for."""

    def app(self, gate: Gate, names: Sequence[str]) -> ASGIApp:
        return app


async def test_server_whose_task_ends_at_once_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = Config(http_server=HttpServer(port=0))
    made = Http(Apps)
    change = await made.prepare(config)
    monkeypatch.setattr(serving._Uvicorn, "startup", no_descriptors)
    change.commit()
    with pytest.raises(
        ConfigError, match=r"http_server\.enable=true: it cannot serve: Too"
    ):
        await made.start()
    made.leave()


class _Long:
    """An application whose answer is longer than sockets take."""

    def __init__(self) -> None:
        self.is_stuck = asyncio.Event()

    def app(self, gate: Gate, names: Sequence[str]) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            part = {"type": "http.response.body", "body": bytes(1 << 20), "more_body": True}
            for _ in range(100):
                asyncio.get_running_loop().call_later(0.1, self.is_stuck.set)
                await send(part)
                self.is_stuck.clear()

        return answer


def test_peer_that_reads_slowly_is_cut_at_a_stop_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def run() -> None:
        apps = _Long()
        made = Http(lambda: apps)
        (await made.prepare(Config(http_server=HttpServer(port=0)))).commit()
        await made.start()
        assert made.port is not None
        _, writer = await asyncio.open_connection("127.0.0.1", made.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await apps.is_stuck.wait()
        made.leave()
        await made.stop()
        writer.close()

    asyncio.run(run())
    assert "Traceback" not in caplog.text


async def test_what_serving_needs_is_loaded_before_anything_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    config = Config(http_server=HttpServer(port=0))
    made = Http(Apps)
    monkeypatch.setattr(serving.Config, "load", fail)
    with pytest.raises(ConfigError, match="it cannot serve: Too many open files"):
        await made.prepare(config)


async def test_start_without_its_http_server_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither a listener nor the pid file is left."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    conf = tmp_path / "nanomq.conf"
    ipc = tmp_path / "x.sock"
    conf.write_text(conf_text(listener__a__url=f"nmq-ipc://{ipc}"))
    monkeypatch.setattr(serving._Uvicorn, "startup", no_descriptors)
    server = Server(ConfFile(conf, {}), conf, Left(Inherited()))
    with pytest.raises(ConfigError, match="it cannot serve: Too many open files"):
        await server.start()
    assert not list(tmp_path.glob("*/*.pid"))
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(FileNotFoundError):
        sock.connect(str(ipc))
