"""Kinds of configuration values: each reads and writes a text, and says what it expected."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import ClassVar, Generic, Protocol, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")


class BadValue(ValueError):
    """A text that is not a value of its kind; its own text, if any, says what was expected."""

    def expected(self, usually: str) -> str:
        """Return what was expected, where a kind says no more than ``usually``."""
        return str(self) or usually


class UserInUrl(BadValue):
    """A URL that says who, and with which password: not to be shown."""


class Kind(Protocol[T]):
    """How the values of one key are written."""

    @property
    def expected(self) -> str:
        """What a value looks like, to complete ``expected ...``."""

    @property
    def json(self) -> type:
        """Which type of a JSON value stands for one, as ``orjson`` reads it."""

    def parse(self, text: str) -> T:
        """Return the value. Raises BadValue."""

    def render(self, value: T) -> str:
        """Return the text that :meth:`parse` reads as this value."""


_MAPPED_BITS = 96  # of an IPv6 address, before the IPv4 address that is mapped into it
FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Flag:
    """``true`` or ``false``; older NanoMQ writes ``yes`` and ``no``, or ``on`` and ``off``.

    >>> Flag().parse("true"), Flag().parse("no")
    (True, False)
    """

    json: ClassVar[type] = bool
    expected: str = "true or false"

    def parse(self, text: str) -> bool:
        if text.lower() not in FLAGS:
            raise BadValue
        return FLAGS[text.lower()]

    def render(self, value: bool) -> str:
        return str(value).lower()


# What else a number of that unit may be written in, and how many of the unit that is.
_SCALES = {
    "s": {"s": 1, "m": 60, "h": 3600, "d": 86400},
    "ms": {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000},
    "KiB": {"kb": 1, "mb": 1 << 10, "gb": 1 << 20},
}


@dataclass(frozen=True)
class Whole:
    """A whole number between two bounds, both allowed. One with a unit may name another.

    >>> Whole(0, 100, "s").parse("1m"), Whole(1, 10240, "KiB").parse("2MB")
    (60, 2048)
    """

    json: ClassVar[type] = int
    low: int
    high: int
    unit: str = ""

    @property
    def expected(self) -> str:
        unit = f" ({self.unit})" if self.unit else ""
        return f"a whole number from {self.low} to {self.high}{unit}"

    def parse(self, text: str) -> int:
        found = re.fullmatch(r"([0-9]{1,20})\s*([A-Za-z]{0,2})", text)
        scale = {"": 1, **_SCALES.get(self.unit, {})}
        if found is None or found[2].lower() not in scale:
            raise BadValue
        number = int(found[1]) * scale[found[2].lower()]
        if not self.low <= number <= self.high:
            raise BadValue
        return number

    def render(self, value: int) -> str:
        return str(value)


@dataclass(frozen=True)
class Thousandths:
    """A factor in thousandths; with a decimal point it is the factor itself.

    >>> Thousandths(0, 9000).parse("1250"), Thousandths(0, 9000).parse("1.25")
    (1250, 1250)
    """

    json: ClassVar[type] = int
    low: int
    high: int

    @property
    def expected(self) -> str:
        return (
            f"a whole number from {self.low} to {self.high} (thousandths), or a factor such"
            " as 1.25"
        )

    def parse(self, text: str) -> int:
        found = re.fullmatch(r"([0-9]{1,9})(?:\.([0-9]{1,3}))?", text)
        if found is None:
            raise BadValue
        number = int(found[1])
        if found[2] is not None:
            number = number * 1000 + int(found[2].ljust(3, "0"))
        if not self.low <= number <= self.high:
            raise BadValue
        return number

    def render(self, value: int) -> str:
        return str(value)


_SIZE = re.compile(r"([0-9]{1,12})\s*(KB|MB|GB|B)?", re.IGNORECASE)
_BYTES = {"": 1, "B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}


@dataclass(frozen=True)
class Size:
    """A size in bytes; KB, MB and GB are powers of 1024.

    >>> Size(1, 1 << 32).parse("256MB")
    268435456
    """

    json: ClassVar[type] = int
    low: int
    high: int

    @property
    def expected(self) -> str:
        return f"a size from {self.low} to {self.high} bytes, such as 10MB"

    def parse(self, text: str) -> int:
        found = _SIZE.fullmatch(text)
        if found is None:
            raise BadValue
        size = int(found[1]) * _BYTES[(found[2] or "").upper()]
        if not self.low <= size <= self.high:
            raise BadValue
        return size

    def render(self, value: int) -> str:
        for unit in ("GB", "MB", "KB"):
            if value and value % _BYTES[unit] == 0:
                return f"{value // _BYTES[unit]}{unit}"
        return str(value)


_DURATION = re.compile(r"([0-9]{1,9})\s*(ms|s|m|h)?")
_MS = {"": 1000, **_SCALES["ms"]}


@dataclass(frozen=True)
class Duration:
    """A time in milliseconds, written ``500ms``, ``5s``, ``1m``; a bare number is seconds.

    >>> Duration(0, 60_000).parse("5s")
    5000
    """

    json: ClassVar[type] = int
    low: int
    high: int

    @property
    def expected(self) -> str:
        return f"a time from {self.low}ms to {self.high}ms, such as 5s or 500ms"

    def parse(self, text: str) -> int:
        found = _DURATION.fullmatch(text)
        if found is None:
            raise BadValue
        time_ms = int(found[1]) * _MS[found[2] or ""]
        if not self.low <= time_ms <= self.high:
            raise BadValue
        return time_ms

    def render(self, value: int) -> str:
        return f"{value // 1000}s" if value % 1000 == 0 else f"{value}ms"


def shown(text: str) -> str:
    r"""Return the text with what a terminal or a reader would obey written out.

    Control characters, line ends, marks that turn the direction of writing.

    >>> shown("pump\x1b[2J\u202e")
    'pump\\x1b[2J\\u202e'
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def is_text(text: str) -> bool:
    """Return whether it is UTF-8 of 65,535 bytes at most, without control characters."""
    if any(ord(c) < 32 or ord(c) == 127 for c in text):
        return False
    try:
        return len(text.encode()) <= 65535
    except UnicodeEncodeError:
        return False


class _Verbatim:
    """A kind whose values are texts that are written as they are."""

    json: ClassVar[type] = str

    def render(self, value: str) -> str:
        return value


class _Listed:
    """A kind whose values are several texts."""

    json: ClassVar[type] = list

    def render(self, value: tuple[str, ...]) -> str:
        return ",".join(value)


@dataclass(frozen=True)
class Text(_Verbatim):
    """Any text without control characters, of at most 65,535 bytes.

    >>> Text(empty=False).expected
    'a text that is not empty, without control characters'
    """

    empty: bool = True  # whether it may be

    @property
    def expected(self) -> str:
        not_empty = "" if self.empty else "that is not empty, "
        return f"a text {not_empty}without control characters"

    def parse(self, text: str) -> str:
        if not is_text(text) or (not text and not self.empty):
            raise BadValue
        return text


@dataclass(frozen=True)
class Choice(_Verbatim):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        return " or ".join(self.words)

    def parse(self, text: str) -> str:
        if text.lower() not in self.words:
            raise BadValue
        return text.lower()


@dataclass(frozen=True)
class Words(_Listed):
    """Several of a few words, with commas between."""

    words: tuple[str, ...]

    @property
    def expected(self) -> str:
        return f"some of {', '.join(self.words)}, with commas between"

    def parse(self, text: str) -> tuple[str, ...]:
        given = tuple(word.strip().lower() for word in text.split(","))
        if any(word not in self.words for word in given):
            raise BadValue
        return given


@dataclass(frozen=True)
class List(_Listed):
    """Texts with commas between; an empty text is an empty list."""

    expected: str = "texts without control characters, with commas between"

    def parse(self, text: str) -> tuple[str, ...]:
        if not is_text(text):
            raise BadValue
        return tuple(item.strip() for item in text.split(",") if item.strip())


def network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Return the network, or a single address as one.

    IPv4 that is mapped into IPv6 becomes IPv4, as clients with such an address are.

    Raises   BadValue

    >>> network("192.0.2.9"), network("::ffff:192.0.2.9/120")
    (IPv4Network('192.0.2.9/32'), IPv4Network('192.0.2.0/24'))
    """
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise BadValue from None
    address = ipaddress.ip_address(text.partition("/")[0])
    if isinstance(address, ipaddress.IPv4Address) or address.ipv4_mapped is None:
        return found
    if found.prefixlen < _MAPPED_BITS:
        expected = (
            f"a prefix of {_MAPPED_BITS} bits or more for IPv4 that is mapped into IPv6"
        )
        raise BadValue(f"{expected}, such as ::ffff:192.0.2.0/120")
    bits = found.prefixlen - _MAPPED_BITS
    return ipaddress.IPv4Network((address.ipv4_mapped, bits), strict=False)


@dataclass(frozen=True)
class Networks(_Listed):
    """Networks and single addresses with commas between; read to networks.

    >>> Networks().parse("10.0.0.5, 2001:db8::/32")
    ('10.0.0.5/32', '2001:db8::/32')
    """

    expected: str = (
        "addresses or networks with commas between, such as 10.0.0.5,192.0.2.0/24"
    )

    def parse(self, text: str) -> tuple[str, ...]:
        given = [item.strip() for item in text.split(",") if item.strip()]
        return tuple(str(network(item)) for item in given)


@dataclass(frozen=True)
class UrlPath(_Verbatim):
    """The path of a URL, or ``*`` for any."""

    expected: str = "a path such as /mqtt, or * for any"

    def parse(self, text: str) -> str:
        if re.fullmatch(r"\*|/[^\s?#]*", text, re.ASCII) is None or not text.isprintable():
            raise BadValue
        return text


@dataclass(frozen=True)
class Mount(_Verbatim):
    """The beginning of topics: whole levels without wildcards, such as ``site/%c/``."""

    expected: str = "the beginning of topics, such as site/%c/"

    def parse(self, text: str) -> str:
        if not text.isprintable() or set(text) & set("+#") or len(text.encode()) > 1024:
            raise BadValue
        if text.startswith("$") or not text.endswith("/"):
            raise BadValue
        return text


@dataclass(frozen=True)
class Address(_Verbatim):
    """An IPv4 or IPv6 address or a host name, without a port; empty for the default."""

    expected: str = "an address to listen on, such as 127.0.0.1 or ::"

    def parse(self, text: str) -> str:
        if not text or re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", text):
            return text
        try:
            return str(ipaddress.ip_address(text.strip("[]")))
        except ValueError:
            raise BadValue from None


def ipc_path(url: str) -> str:
    """Return the path of an ``ipc`` URL.

    >>> ipc_path("nmq-ipc:///run/nanomq.ipc")
    '/run/nanomq.ipc'
    """
    return url.partition("://")[2]


# Schemes of other versions of NanoMQ -> ours, where ours is one of those allowed.
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

_HAVE_PORTS = ("http", "https")  # when the URL names none


@dataclass(frozen=True)
class Url(_Verbatim):
    """A URL of one of a few schemes, with a host and a port (a path for IPC).

    It holds no user name and password: URLs are shown, and keys of their own are not.

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
            # Whatever is wrong with it, what is before an @ may be a password.
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
            # As many bytes as a Unix socket's address has room for.
            if not 0 < len(ipc_path(text).encode()) <= 107:
                raise BadValue
            return text
        if not parts.hostname or (port is None and parts.scheme not in _HAVE_PORTS):
            raise BadValue
        return text


@dataclass(frozen=True)
class Optional(Generic[T]):
    """Another kind, or nothing: an empty text, ``null`` or ``NULL`` is None."""

    kind: Kind[T]

    @property
    def expected(self) -> str:
        return f"{self.kind.expected}, or nothing"

    @property
    def json(self) -> type:
        return self.kind.json

    def render(self, value: T | None) -> str:
        return "" if value is None else self.kind.render(value)

    def parse(self, text: str) -> T | None:
        return None if text in ("", "null", "NULL") else self.kind.parse(text)
