"""Each dialect says errors in its own words, below its own path."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.testclient import TestClient

from nanomq_py.http.app import make_app
from nanomq_py.http.errors import HttpError


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
