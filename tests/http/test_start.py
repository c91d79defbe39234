"""The HTTP server that cannot serve says so at once."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from nanomq_py import Config, ConfigError
from nanomq_py.config.file import ConfFile
from nanomq_py.config.keys.http_server import HttpServer
from nanomq_py.http import serving
from nanomq_py.http.guard import Gate
from nanomq_py.http.part import Http
from nanomq_py.listen.inherited import Inherited
from nanomq_py.server import Left, Server
from tests.conftest import conf_text


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
