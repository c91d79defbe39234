"""Values that are numbers: whole ones, factors, sizes in bytes, times in milliseconds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from nanomq_py.config.values.kind import BadValue

U32 = (1 << 32) - 1

# The unit of a key -> the units that a text may name, and how many of the key's unit each is.
_SCALES = {
    "s": {"s": 1, "m": 60, "h": 3600, "d": 86400},
    "ms": {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000},
    "KiB": {"kb": 1, "mb": 1 << 10, "gb": 1 << 20},
}


@dataclass(frozen=True)
class Whole:
    """A whole number from ``low`` to ``high``. A text may name another unit than the key's.

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
    """A factor in thousandths. A text with a decimal point is the factor itself.

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
