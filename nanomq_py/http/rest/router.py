"""Finds the endpoint of a path, segment by segment, before the segments are decoded.

::

    /clients/a%2Fb   is the client ``a/b``: its slash is no separator
    /routes/{topic...}   takes all that is left, slashes too

Source  RFC 3986, 2.1 and 3.3
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

from nanomq_py.http.errors import BadRequest, MethodNotAllowed, NotFound

T = TypeVar("T")

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
MOST_SEGMENTS = 256


def decoded(segment: bytes) -> str:
    """Return the text of a segment. Raises BadRequest for what is no percent-encoded UTF-8."""

    def byte(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            raise ValueError
        return bytes.fromhex(match[1].decode())

    try:
        return _ESCAPE.sub(byte, segment).decode()
    except ValueError:  # UnicodeDecodeError too
        said = segment[:64].decode("ascii", "backslashreplace")
        raise BadRequest(f"path: {said!r} is not percent-encoded UTF-8") from None


@dataclass
class _Node(Generic[T]):
    """What may follow a prefix of a path."""

    fixed: dict[bytes, _Node[T]] = field(default_factory=dict)
    named: _Node[T] | None = None
    leaves: dict[str, tuple[T, list[str]]] = field(default_factory=dict)  # by method
    rests: dict[str, tuple[T, list[str]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Found(Generic[T]):
    """An endpoint, and the parameters in its path."""

    endpoint: T
    parameters: Mapping[str, str]


def plain(segment: bytes) -> bytes:
    """Return a segment as a name has it: ``%63lients`` is ``clients``. RFC 3986, 6.2.2.2"""
    return unquote_to_bytes(segment) if b"%" in segment else segment


class Router(Generic[T]):
    """The endpoints of a dialect by path and method; a slash at the end is the same path."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, path: str, endpoint: T) -> None:
        """Add one; ``{name}`` in the path is one segment, ``{name...}`` at its end any.

        Raises   ValueError where there is one already
        """
        node, names = self._root, []
        *front, last = path.strip("/").split("/")
        is_rest = last.endswith("...}")
        for part in front if is_rest else [*front, last] if last else front:
            if part.startswith("{"):
                names.append(part[1:-1])
                node.named = node.named or _Node()
                node = node.named
            else:
                node = node.fixed.setdefault(part.encode(), _Node())
        if is_rest:
            names.append(last[1:-4])
        into = node.rests if is_rest else node.leaves
        if method in into:
            raise ValueError(f"{method} {path}: there is one already")
        into[method] = endpoint, names

    def find(self, method: str, path: bytes) -> Found[T]:
        """Return the endpoint of a path that is not decoded yet; HEAD finds that of GET.

        Raises   BadRequest, NotFound, MethodNotAllowed
        """
        parts = path.strip(b"/").split(b"/", MOST_SEGMENTS)
        if parts == [b""]:
            parts = []
        allowed: set[str] = set()
        for endpoints, values in _matches(self._root, parts, 0, ()):
            wanted = "GET" if method == "HEAD" and "HEAD" not in endpoints else method
            if wanted in endpoints:
                endpoint, names = endpoints[wanted]
                return Found(endpoint, dict(zip(names, map(decoded, values), strict=True)))
            allowed.update(endpoints)
        if not allowed:
            raise NotFound
        if "GET" in allowed:
            allowed.add("HEAD")
        raise MethodNotAllowed(headers={"Allow": ", ".join(sorted(allowed))})


def _matches(
    node: _Node[T], parts: list[bytes], at: int, values: tuple[bytes, ...]
) -> list[tuple[dict[str, tuple[T, list[str]]], tuple[bytes, ...]]]:
    """Return what fits the parts from ``at`` on: exact names before parameters."""
    if at == len(parts):
        return [(node.leaves, values)] if node.leaves else []
    found = []
    fixed = node.fixed.get(parts[at]) or node.fixed.get(plain(parts[at]))
    if fixed is not None:
        found += _matches(fixed, parts, at + 1, values)
    if node.named is not None and parts[at]:
        found += _matches(node.named, parts, at + 1, (*values, parts[at]))
    if node.rests:
        found.append((node.rests, (*values, b"/".join(parts[at:]))))
    return found
