"""What a device says of a command, read from its message.

::

    {"id":202611300000001000, "sn":"8CFCA0107D1B", "command":"sh", "status":"ok",
     "d":{"exestatus":"ok", "result":"cm9vdA=="}, "time":18423}

Source  http-dialects.md, IoT platform, "Commands"
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Annotated, Literal

import msgspec
from msgspec.structs import replace

from nanomq_py.plugins.devices.commands.ids import meant
from nanomq_py.plugins.devices.reports import BadReport, Why

MOST_ANSWER_BYTES = 64 << 10  # of what a device says, as it is kept
LEAST_ANSWER_BYTES = 100  # are always kept: to say that they are not would take as much


# A double has each whole number up to that; one that is larger fits no column, either.
_MOST_TIME = 1 << 53
_Time = Annotated[float, msgspec.Meta(gt=-_MOST_TIME, lt=_MOST_TIME)]


class Answer(msgspec.Struct, frozen=True):
    """What a device says of one command.

    sn       as it says; who may speak for it is the caller's question
    data     JSON
    time     the device's clock
    digest   of the whole message: the same for the same words
    """

    id: int
    sn: str
    status: str
    data: bytes
    time: float
    digest: bytes

    @property
    def ok(self) -> bool:
        return self.status == "ok"


class _Said(msgspec.Struct):
    id: int | float | str
    sn: str
    status: Literal["ok", "err", "failed"]
    d: msgspec.Raw = msgspec.Raw()
    msg: str = ""
    time: _Time = 0


_DECODER = msgspec.json.Decoder(_Said)


def _left_out(data: bytes, why: str) -> bytes:
    return msgspec.json.encode({"msg": f"{len(data)} bytes came, {why}"})


def without_data(answer: Answer, room: int) -> Answer:
    """Return that answer as it is kept where there is room for so many bytes of data."""
    if len(answer.data) <= max(room, LEAST_ANSWER_BYTES):
        return answer
    return replace(answer, data=_left_out(answer.data, "and there is no room for them"))


def _compact(raw: msgspec.Raw) -> bytes:
    """Return that JSON without spaces. Raises BadReport."""
    data = bytes(raw)
    try:
        data.decode()  # the decoder has not looked into its texts
    except UnicodeDecodeError as fault:
        raise BadReport(Why.NOT_JSON, f"d: {fault}") from None
    return msgspec.json.format(data, indent=-1)


def read_answer(payload: bytes) -> Answer:
    """Return what a message says. Raises BadReport."""
    try:
        said = _DECODER.decode(payload)
    except msgspec.ValidationError as fault:
        raise BadReport(Why.WRONG_TYPE, str(fault)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
        raise BadReport(Why.NOT_JSON, str(fault)) from None
    number = meant(said.id)
    if number is None:
        text = f"id {str(said.id)[:40]!r} is no number of a command"
        raise BadReport(Why.WRONG_TYPE, text)
    data = msgspec.json.encode({"msg": said.msg})
    if bytes(said.d):
        data = _compact(said.d)
    if len(data) > MOST_ANSWER_BYTES:
        data = _left_out(data, f"over the {MOST_ANSWER_BYTES} that are kept")
    digest = blake2b(payload, digest_size=16).digest()
    return Answer(number, said.sn, said.status, data, said.time, digest)
