"""Values that are URLs and their paths."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from nanomq_py.config.values.kind import BadValue, Listed, UserInUrl, Verbatim


@dataclass(frozen=True)
class UrlPath(Verbatim):
    """The path of a URL, or ``*`` for any."""

    expected: str = "a path such as /mqtt, or * for any"

    def parse(self, text: str) -> str:
        if re.fullmatch(r"\*|/[^\s?#]*", text, re.ASCII) is None or not text.isprintable():
            raise BadValue
        return text


def ipc_path(url: str) -> str:
    """Return the path of an ``ipc`` URL.

    >>> ipc_path("nmq-ipc:///run/nanomq.ipc")
    '/run/nanomq.ipc'
    """
    return url.partition("://")[2]


# A scheme that another version of NanoMQ writes -> ours, if that is allowed.
_SCHEMES = {
    "tcp": "nmq-tcp",
    "broker+tcp": "nmq-tcp",
    "mqtt-tcp": "nmq-tcp",
    "nmq-tls": "tls+nmq-tcp",
    "tls": "tls+nmq-tcp",
    "tls+tcp": "tls+nmq-tcp",
    "tls+broker+tcp": "tls+nmq-tcp",
    "tls+mqtt-tcp": "tls+nmq-tcp",
    "ws": "nmq-ws",
    "wss": "nmq-wss",
    "ipc": "nmq-ipc",
}
_HAVE_PORTS = ("http", "https")  # have a port also where the URL names none


@dataclass(frozen=True)
class Url(Verbatim):
    """A URL of one of a few schemes, with a host and a port (a path for IPC).

    A URL with a user name or a password is refused, because URLs are shown. A password has a
    key of its own, which is not shown.

    >>> Url(("nmq-tcp",)).parse("broker+tcp://0.0.0.0:1883")
    'nmq-tcp://0.0.0.0:1883'
    """

    schemes: tuple[str, ...]

    @property
    def expected(self) -> str:
        forms = (
            f"{s}://{'PATH' if s.endswith('ipc') else 'HOST:PORT'}" for s in self.schemes
        )
        return f"a URL {' or '.join(forms)}"

    def parse(self, text: str) -> str:
        try:
            url = self._parse(text)
        except BadValue:
            # The text before an @ may be a password, whatever else is wrong.
            if "@" in text and not text.partition("://")[0].endswith("ipc"):
                raise UserInUrl from None
            raise
        if not url.partition("://")[0].endswith("ipc") and "@" in urlsplit(url).netloc:
            raise UserInUrl
        return url

    def _parse(self, text: str) -> str:
        scheme, sign, rest = text.partition("://")
        known = _SCHEMES.get(scheme.lower(), "")
        if scheme not in self.schemes and known in self.schemes:
            text = f"{known}{sign}{rest}"
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise BadValue from None
        if parts.scheme not in self.schemes or " " in text or not text.isprintable():
            raise BadValue
        if parts.scheme.endswith("ipc"):
            # The address of a Unix socket has room for 107 bytes.
            if not 0 < len(ipc_path(text).encode()) <= 107:
                raise BadValue
            return text
        if not parts.hostname or (port is None and parts.scheme not in _HAVE_PORTS):
            raise BadValue
        return text


@dataclass(frozen=True)
class Urls(Listed):
    """URLs with commas between; an empty text is an empty list."""

    schemes: tuple[str, ...]

    @property
    def expected(self) -> str:
        return f"with commas between, each {Url(self.schemes).expected}"

    def parse(self, text: str) -> tuple[str, ...]:
        one = Url(self.schemes)
        return tuple(one.parse(url.strip()) for url in text.split(",") if url.strip())
