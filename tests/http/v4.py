"""A broker with clients for the tests of ``/api/v4``, and what calls it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from nanomq_py.http.emqx_v4.dialect import FAMILIES
from nanomq_py.http.errors import HttpError
from nanomq_py.http.rest.router import Router
from tests.conftest import Process, running_broker
from tests.http.documented import Client, Said
from tests.raw import Raw

PREFIXES = ("/api/v4", "/api")
Test = TypeVar("Test", bound=Callable[..., Any])


def call(
    broker: Process, method: str, path: str, body: object = None, auth: str = "admin:public"
) -> Said:
    return Client(broker.http_port, auth).call(method, path, body)


def get(broker: Process, path: str) -> Any:
    """Return what a path below /api/v4 answers, which is good."""
    said = call(broker, "GET", f"/api/v4{path}")
    assert (said.status, said.json["code"]) == (200, 0), said
    return said.json


def done(broker: Process, method: str, path: str, body: object = None) -> None:
    """Assert that a change is answered as one that was made."""
    said = call(broker, method, f"/api/v4{path}", body)
    assert (said.status, said.json) == (200, {"code": 0}), said


def assert_refused(said: Said, status: int, code: int, text: str = "") -> None:
    """Assert that an answer is that error, and what its message holds."""
    assert (said.status, said.json["code"]) == (status, code), said
    assert list(said.json) == ["code", "message"]
    assert text in said.json["message"]


@contextlib.contextmanager
def busy_broker(folder: Path) -> Iterator[Process]:
    """Run a broker with a few clients: of MQTT 5.0, 3.1.1, 3.1, and one that is away."""
    with contextlib.ExitStack() as stack:
        keys = {
            "auth.1.login": "steve",
            "auth.1.password": "p",
            "msq_len": "7",
            "max_subscriptions": "9",
            "receive_maximum": "11",
        }
        made = stack.enter_context(running_broker(folder, **keys))

        def connected(client_id: str, version: int, **options: Any) -> Raw:
            client = stack.enter_context(Raw(made.port, version))
            client.connect(client_id, **options)
            return client

        steve = {"user": "steve", "password": b"p"}
        five = connected("five", 5, keep_alive=30, **steve)
        five.subscribe(("a/b/c", 1), ("$share/g/a/+/c", 2))
        connected("four", 4).subscribe(("a/b/c", 0))
        connected("three", 3)
        away = connected("away", 4, clean=False, **steve)
        away.subscribe(("d/é", 2))
        away.leave()
        yield made


# --- what a test shows


def shows(
    *endpoints: str, outcome: str = "success", dialect: str = "v4"
) -> Callable[[Test], Test]:
    """Mark a test as one that shows how these endpoints, ``METHOD path``, turn out."""

    def marked(test: Test) -> Test:
        for each in endpoints:
            assert each in ROUTED.values(), each
            test = pytest.mark.endpoint(dialect, each, outcome)(test)
        return test

    return marked


def _routed() -> dict[tuple[str, str], str]:
    return {
        (endpoint.method, path): f"{endpoint.method} {path}"
        for endpoint in FAMILIES.all()
        for path in (endpoint.path, *endpoint.also)
    }


ROUTED = _routed()
KINDS_OF_CODES = {107: "missing field", 108: "wrong type", 109: "bad JSON"}


def refusals(table: Sequence[tuple[str, str, Any, int, int, str]]) -> Any:
    """Run the test for each row, and mark it with what it shows.

    table   method, path, body, and status, code and a part of the message of the answer
    """
    router: Router[str] = Router()
    for (method, path), name in ROUTED.items():
        router.add(method, path, name)
    made = []
    for row in table:
        method, path, *_ = row
        code = row[4]
        marks: Any = ()
        with contextlib.suppress(HttpError):
            spelled = re.sub("%(?![0-9A-Fa-f]{2})|%[89a-fA-F].", "", path.partition("?")[0])
            found = router.find(method, spelled.encode()).endpoint
            marks = pytest.mark.endpoint("v4", found, KINDS_OF_CODES.get(code, str(code)))
        made.append(pytest.param(*row, marks=marks))
    names = ("method", "path", "body", "status", "code", "said")
    return pytest.mark.parametrize(names, made)
