"""Each dialect says errors in its own words, below its own path, while it is switched on."""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.testclient import TestClient

from nanomq_py import Config, dialects
from nanomq_py.config.keys.http_server import DIALECTS
from nanomq_py.dialects import MAKERS, Dialects, House
from nanomq_py.http.app import make_app
from nanomq_py.http.errors import HttpError
from nanomq_py.http.guard import BasicGuard, Gate
from tests.conftest import ROOT, Process, StartBroker

pytestmark = pytest.mark.plain


class Spoken:
    """A dialect with one path that takes POST."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def routes(self) -> list[BaseRoute]:
        async def hello(request: Request) -> Response:
            return PlainTextResponse("hello")

        return [Route(f"{self.prefix}/hello", hello, methods=["POST"])]

    def render(self, error: HttpError) -> Response:
        text = f"{self.prefix} {type(error).__name__}"
        return PlainTextResponse(text, error.status, headers=error.headers)


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/a/nothing", 404, "/a NotFound"),
        ("/a/b/nothing", 404, "/a/b NotFound"),
        ("/a/b/hello", 405, "/a/b MethodNotAllowed"),
        ("/ab", 404, "/a NotFound"),  # nobody's: the first one's
    ],
)
def test_error_is_rendered_by_the_dialect_of_the_path(
    path: str, status: int, text: str
) -> None:
    client = TestClient(make_app([Spoken("/a"), Spoken("/a/b")]))
    got = client.get(path)
    assert (got.status_code, got.text) == (status, text)
    assert got.headers.get("allow") == ("POST" if status == 405 else None)


def test_405_names_the_methods_of_all_routes_of_the_path() -> None:
    """RFC 9110, 15.5.6: Allow has the methods that the target supports."""

    class Divided(Spoken):
        def routes(self) -> list[BaseRoute]:
            async def hello(request: Request) -> Response:
                return PlainTextResponse("hello")

            return [
                Route("/a/{name}", hello, methods=["GET"]),
                Route("/a/{name}", hello, methods=["DELETE"]),
                Route("/a", hello, methods=["PUT"]),
            ]

    client = TestClient(make_app([Divided("/a")]))
    got = client.post("/a/x")
    assert (got.status_code, got.headers["allow"]) == (405, "DELETE, GET, HEAD")
    got = client.head("/a/x")
    assert (got.status_code, got.text) == (200, "")


def test_each_name_of_the_key_is_a_dialect() -> None:
    assert tuple(MAKERS) == DIALECTS


async def nothing(scope: object, receive: object, send: object) -> None: ...


class Configurator:
    """What /status reads."""

    config = Config()


class Plugins:
    """What is below /plugins."""

    def pages(self, gate: Gate) -> object:
        return nothing

    def below(self, gate: Gate) -> list[Any]:
        return []


def house() -> House:
    nobody: Any = None
    return House(nobody, cast(Any, Configurator()), nobody, cast(Any, Plugins()))


GATE = Gate(BasicGuard("a", "b"))


def test_dialect_that_is_switched_off_answers_404(monkeypatch: pytest.MonkeyPatch) -> None:
    makers = {
        name: lambda house, gate, name=name: [Spoken(f"/{name}")] for name in ("a", "b")
    }
    monkeypatch.setattr(dialects, "MAKERS", makers)
    made = Dialects(house())
    for names in (("a", "b"), ("b",), ("b", "a")):
        client = TestClient(made.app(GATE, names))
        for name in ("a", "b"):
            status = 200 if name in names else 404
            assert client.post(f"/{name}/hello").status_code == status
        first = min(names)  # the order of MAKERS counts, not that of the key
        assert client.get("/nobody").text == f"/{first} NotFound"


def test_dialect_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def make(house: House, gate: Gate) -> list[Spoken]:
        made.append("a")
        return [Spoken("/a")]

    monkeypatch.setattr(dialects, "MAKERS", {"a": make, "b": lambda h, g: [Spoken("/b")]})
    apps = Dialects(house())
    for names in (("a",), ("b",), ("a", "b")):
        apps.app(GATE, names)
    assert made == ["a"]


def test_dialect_that_is_switched_off_is_not_imported() -> None:
    program = """
import json
import sys
from unittest.mock import MagicMock

import nanomq_py.server
from nanomq_py import dialects
from nanomq_py.http.guard import BasicGuard, Gate

names = list(dialects.MAKERS)
dialects.MAKERS = {**dialects.MAKERS, "other": lambda house, gate: [MagicMock(prefix="/o")]}
apps, gate = dialects.Dialects(MagicMock()), Gate(BasicGuard("a", "b"))


def imported():
    rooms = {name.split(".")[2] for name in sys.modules if name.startswith("nanomq_py.http.")}
    return sorted(rooms & {"v1", "rest", "emqx", "emqx_v2", "emqx_v4"})


apps.app(gate, ["other"])
before = imported()
apps.app(gate, names)
print(json.dumps([before, imported()]))
"""
    out = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = json.loads(out.stdout)
    assert before == []
    assert after == ["emqx", "emqx_v2", "emqx_v4", "rest", "v1"]


def status_of(process: Process, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", process.http_port, timeout=10)
    with contextlib.closing(connection):
        login = {"Authorization": "Basic YWRtaW46cHVibGlj"}
        connection.request("GET", path, headers=login)
        return connection.getresponse().status


def test_dialect_is_switched_on_and_off_by_a_reload(start_broker: StartBroker) -> None:
    process = start_broker(http_server__dialects="v1,v2")

    def found() -> list[str]:
        paths = ("/api/v1", "/api/v2/status", "/api/v4/status", "/api/status")
        return [path for path in paths if status_of(process, path) != 404]

    assert found() == ["/api/v1", "/api/v2/status"]
    assert process.reload(http_server__dialects="v4,v1")["applied"] == [
        "http_server.dialects"
    ]
    assert found() == ["/api/v1", "/api/v4/status", "/api/status"]
    process.reload(http_server__dialects=None)
    assert found() == ["/api/v1", "/api/v2/status", "/api/v4/status", "/api/status"]
    process.set_keys(http_server__dialects="v2")
    assert process.nanomq("reload", "--conf", str(process.conf)).returncode == 0
    assert found() == ["/api/v2/status"]
