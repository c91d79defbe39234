"""What a document of an API says: its endpoints and examples; whether an answer is like one."""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DOCUMENTS = Path(__file__).parent / "documents"
UNDEFINED = "undefined"


@dataclass(frozen=True)
class Example:
    """An endpoint of a document.

    path      as it stands there, without the slash in front: ``api/v2/clients/{clientid}``
    request   the body of its example; None: it has none
    answer    the answer of its example
    """

    method: str
    path: str
    request: Any
    answer: Any

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


_BLOCK = re.compile(r"\.\. code-block:: json\s*?\n((?:\s*\n|[ \t]+.*\n?)+)")
_DEFINED = re.compile(r"API定义::\s+(\w+)\s+/?(\S+)")


def examples_of_v2(text: str) -> list[Example]:
    """Return the endpoints of emqx-rest-api-v2.txt, in its order."""
    return list(_examples(text))


def _examples(text: str) -> Iterator[Example]:
    starts = [*_DEFINED.finditer(text)]
    ends = [start.start() for start in starts[1:]] + [len(text)]
    for start, end in zip(starts, ends, strict=True):
        asked, _, answered = text[start.end() : end].partition("返回数据:")
        body, answer = _BLOCK.search(asked), _BLOCK.search(answered)
        assert answer is not None, start[0]
        request = None if body is None else json.loads(body[1])
        yield Example(start[1], start[2].rstrip("/"), request, json.loads(answer[1]))


def differences(expected: Any, actual: Any, at: str = "") -> list[str]:
    """Return where an answer is not like an example: keys, their order, types, nesting.

    Each element of a list is like the example's first one. ``"undefined"`` stands for any
    value that is no container.
    """
    if expected == UNDEFINED and isinstance(actual, (str, int)):
        return []
    if type(expected) is not type(actual):
        return [f"{at}: {actual!r}, expected such as {expected!r}"]
    if isinstance(expected, dict):
        if list(expected) != list(actual):
            return [f"{at}: keys {list(actual)}, expected {list(expected)}"]
        return [
            fault
            for key, value in expected.items()
            for fault in differences(value, actual[key], f"{at}.{key}")
        ]
    if isinstance(expected, list) and expected:
        if not actual:
            return [f"{at}: empty, so nothing is shown"]
        return [
            fault
            for number, element in enumerate(actual)
            for fault in differences(expected[0], element, f"{at}[{number}]")
        ]
    return []


@dataclass(frozen=True)
class Said:
    """An answer of the HTTP API: ``json`` is None where it is none."""

    status: int
    headers: dict[str, str]
    text: str
    json: Any


@dataclass(frozen=True)
class Client:
    """Calls an API of a broker; ``auth`` is ``name:password``, or empty."""

    port: int
    auth: str = "admin:public"

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        more: Mapping[str, str] | None = None,
    ) -> Said:
        """Send a request, with more headers. ``body`` is bytes, or what JSON can be."""
        data = (
            body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded"}  # as curl -d says
        if self.auth:
            encoded = base64.b64encode(self.auth.encode()).decode()
            headers["Authorization"] = f"Basic {encoded}"
        headers.update(more or {})
        url = f"http://127.0.0.1:{self.port}/{path.lstrip('/')}"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return _said(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as fault:
            with fault:
                return _said(fault.code, dict(fault.headers), fault.read())

    def get(self, path: str, more: Mapping[str, str] | None = None) -> Said:
        return self.call("GET", path, more=more)


def _said(status: int, headers: dict[str, str], body: bytes) -> Said:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    return Said(status, {k.lower(): v for k, v in headers.items()}, body.decode(), found)
