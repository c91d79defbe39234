"""What devices report, read from their messages.

::

    dma/report/procs|sys|versions    {"sn","time","d"}: how the device is
    dma/report/periph                {"d":[{"nid","d"}]} or {"nid","d"}: peripherals are there
    dma/report/periph/reg            the same: they were registered
    dma/report/on|off                the same, "d" may be missing: they went on, or off
    dma/report/peripheral            {"sn","gwId","nId","online","time","msg"}

``sn`` may be missing where a peripheral is told of: it is the publisher then. Whoever reports
is a device from then on.

Source  iot-platform-api-v1.txt, "Device Monitoring"; http-dialects.md, "IoT platform"
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Annotated, TypeVar

import msgspec

BELOW = "report/"  # of the prefix
STATES = ("procs", "sys", "versions")
MOST_PERIPHERALS = 1_000  # of one report, and of one device
# A message cannot come later than that: what is older by its own time is another boot then.
DELAYED_S = 600

T = TypeVar("T")
Time = Annotated[float, msgspec.Meta(ge=0, lt=1 << 53)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Raw = msgspec.Raw


class Why(Enum):
    """Why a report is refused."""

    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    WRONG_TYPE = "wrong_type"
    OTHER_SN = "other_sn"
    OLDER = "older"


class BadReport(Exception):
    """A report that is refused. The text says what is wrong with it."""

    def __init__(self, why: Why, text: str) -> None:
        super().__init__(text)
        self.why = why


class Moment(msgspec.Struct, frozen=True):
    """When a report came, in seconds since 1970, and what it says of its time.

    >>> Moment(1000, 50).is_older(Moment(999, 110)), Moment(1000, 1).is_older(Moment(900, 110))
    (True, False)
    """

    rev: int
    time: float  # by the clock of the device: since its boot, or any other

    def is_older(self, other: Moment) -> bool:
        """Return whether that report was made before the other one.

        A clock that begins anew after the other report is that of another boot.
        """
        if self.rev < other.rev:
            return True
        return (
            self.time < other.time
            and self.rev - self.time <= other.rev
            and self.rev - other.rev < DELAYED_S
        )


class StateReport(msgspec.Struct, frozen=True):
    """How a device is. text: the JSON that is kept, with ``revtime``."""

    sn: str
    kind: str
    moment: Moment
    text: str


class PeripheralReport(msgspec.Struct, frozen=True):
    """How a peripheral is.

    gateway  as it is said; empty: it is not
    online   None: nothing is said of it
    msg      the JSON that is kept; None: that of before
    """

    sn: str
    nid: str
    gateway: str
    online: bool | None
    moment: Moment
    msg: str | None


Report = StateReport | PeripheralReport


class _Peripheral(msgspec.Struct, frozen=True):
    nid: Name
    d: Raw = Raw()


class _Peripherals(msgspec.Struct, frozen=True):
    sn: Name | None = None
    time: Time | None = None
    nid: Name | None = None
    d: Raw = Raw()


class _FullPeripheral(msgspec.Struct, frozen=True):
    nid: Name = msgspec.field(name="nId")
    online: bool
    sn: Name | None = None
    gateway: str = msgspec.field(name="gwId", default="")
    time: Time | None = None
    msg: Raw = Raw()


_fields = msgspec.json.Decoder(dict[str, Raw])
_name = msgspec.json.Decoder(Name)
_time = msgspec.json.Decoder(Time)
_peripherals = msgspec.json.Decoder(_Peripherals)
_rows = msgspec.json.Decoder(list[_Peripheral])
_full = msgspec.json.Decoder(_FullPeripheral)
_encoder = msgspec.json.Encoder(order="sorted")


def _read(decode: Callable[[bytes | Raw], T], payload: bytes | Raw, what: str = "") -> T:
    try:
        return decode(payload)
    except msgspec.ValidationError as fault:
        raise BadReport(Why.WRONG_TYPE, f"{what}{fault}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise BadReport(Why.NOT_JSON, f"{what}{fault}") from None


def _text(raw: bytes | Raw) -> str:
    try:
        return bytes(raw).decode()
    except UnicodeDecodeError as fault:  # inside a string, which nobody has looked into
        raise BadReport(Why.NOT_JSON, str(fault)) from None


def _state(kind: str, payload: bytes, rev: int) -> StateReport:
    fields = _read(_fields.decode, payload)
    if missing := [name for name in ("sn", "time", "d") if name not in fields]:
        raise BadReport(Why.WRONG_TYPE, f"{missing[0]}: missing")
    sn = _read(_name.decode, fields["sn"], "sn: ")
    time = _read(_time.decode, fields["time"], "time: ")
    if bytes(fields["d"])[:1] not in (b"[", b"{"):
        raise BadReport(Why.WRONG_TYPE, "d: expected a list or an object")
    fields["revtime"] = Raw(b"%d" % rev)
    return StateReport(sn, kind, Moment(rev, time), _text(_encoder.encode(fields)))


def _several(online: bool | None, payload: bytes, rev: int) -> Iterator[PeripheralReport]:
    """Yield the peripherals of the short forms; none where a device speaks of itself."""
    said = _read(_peripherals.decode, payload)
    moment = Moment(rev, rev if said.time is None else said.time)
    if said.nid is not None:
        rows = [_Peripheral(said.nid, said.d)]
    elif bytes(said.d)[:1] == b"[":
        rows = _read(_rows.decode, said.d, "d: ")
    elif online is None or said.d:
        raise BadReport(Why.WRONG_TYPE, "d: expected a list, or nid beside it")
    else:
        rows = []
    if len(rows) > MOST_PERIPHERALS:
        raise BadReport(Why.TOO_LARGE, f"d: more than {MOST_PERIPHERALS} peripherals")
    for each in rows:
        msg = _text(each.d) if each.d else None
        is_on = True if online is None else online
        yield PeripheralReport(said.sn or "", each.nid, "", is_on, moment, msg)


def _one(payload: bytes, rev: int) -> PeripheralReport:
    said = _read(_full.decode, payload)
    moment = Moment(rev, rev if said.time is None else said.time)
    msg = _text(said.msg) if said.msg else None
    return PeripheralReport(
        said.sn or "", said.nid, said.gateway[:256], said.online, moment, msg
    )


# Of the short forms: whether it says that they are on; None: they are, since it tells of them.
_SHORT: dict[str, bool | None] = {
    "report/periph": None,
    "report/periph/reg": None,
    "report/on": True,
    "report/off": False,
}
_LONG = "report/peripheral"
_STATE = {f"{BELOW}{kind}": kind for kind in STATES}


def read_report(topic: str, payload: bytes, rev: int) -> list[Report] | None:
    """Return what a message reports; None: nothing that is known.

    topic   without the prefix
    rev     when it came, in seconds since 1970
    Raises  BadReport
    """
    if (kind := _STATE.get(topic)) is not None:
        return [_state(kind, payload, rev)]
    if topic in _SHORT:
        return list(_several(_SHORT[topic], payload, rev))
    if topic == _LONG:
        return [_one(payload, rev)]
    return None
