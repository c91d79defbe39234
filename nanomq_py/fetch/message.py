"""What is sent to an HTTP server, what it answers, and why it did not.

Source   RFC 9110, RFC 9112
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

_PORTS = {"http": 80, "https": 443}
_AS_IT_IS = "!$%&'()*+,-./:;=?@[]_~"  # of a target, besides letters and digits


class FetchError(Exception):
    """Why there is no answer, for people. It tells nothing of what was sent."""


class Unreached(FetchError):
    """There is no connection: nothing was sent."""


class Busy(FetchError):
    """Too many requests wait for the server already."""


@dataclass(frozen=True)
class Origin:
    """A server: the part of a URL that its connections can be shared by.

    >>> Origin.of("https://[::1]/a?b")
    Origin(scheme='https', host='::1', port=443)
    >>> str(Origin("http", "::1", 8080))
    'http://[::1]:8080'
    """

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Return the origin of an http or https URL. Raises ValueError for other texts."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("not an http URL")
        host = parts.hostname.encode("idna").decode()
        return cls(parts.scheme, host, parts.port or _PORTS[parts.scheme])

    @property
    def authority(self) -> str:
        """What the Host header says (RFC 9112, 3.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def request_target(url: str) -> str:
    """Return the path and the query of a URL, as a request line has them (RFC 9112, 3.2.1).

    >>> request_target("http://h"), request_target("http://h/ä?b=c#d")
    ('/', '/%C3%A4?b=c')
    """
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return quote((parts.path or "/") + query, safe=_AS_IT_IS)


@dataclass(frozen=True)
class Request:
    """A request. Host, Content-Length and Connection are the connection's to say.

    target  path and query, in ASCII
    body    None: the method has none
    """

    method: str
    target: str = field(repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Answer:
    """A complete answer, whatever its status. Redirections are not followed.

    headers  by their names in small letters
    """

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[bytes, bytes] = field(default_factory=dict, repr=False, compare=False)
