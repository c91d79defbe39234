"""A command as its device gets it.

::

    dma/cmd/8CFCA0107D1B   {"id":202611300000001000, "command":"sh", "method":"",
                            "d":{"shcmd":"whoami"}, "from":"iot_web_console", "detached":1,
                            "expires":38400, "time":1796041724}

Source  http-dialects.md, IoT platform, "Commands"
"""

from __future__ import annotations

import msgspec

from nanomq_py.plugins.devices.commands.table import Outgoing
from nanomq_py.plugins.devices.paging import Id

MOST_SN_BYTES = 256
ANSWERS = ("resp/cmd", "cmd/resp")  # below the prefix: what devices answer on


class _Message(msgspec.Struct):
    id: int
    command: str
    method: str
    d: msgspec.Raw
    sender: str = msgspec.field(name="from")
    detached: int = 0
    expires: int = 0
    time: int = 0


def checked_sn(sn: str) -> str:
    """Return a serial number that a topic can hold. Raises ValueError."""
    try:
        size = len(sn.encode())
    except UnicodeEncodeError:
        size = 0
    if not 0 < size <= MOST_SN_BYTES or set(sn) & set("+#/\0") or not sn.isprintable():
        raise ValueError(
            f"sn={sn[:64]!r}: expected 1 to {MOST_SN_BYTES} bytes of printable letters,"
            " without '/', '+' and '#'"
        )
    if sn == "resp":
        raise ValueError("sn='resp': its topic is the one that devices answer on")
    return sn


def topic_of(prefix: str, sn: str) -> str:
    return f"{prefix}/cmd/{sn}"


def payload_of(command: Outgoing, now: float) -> bytes:
    return msgspec.json.encode(
        _Message(
            command.id,
            command.command,
            command.method,
            msgspec.Raw(command.body),
            command.sender,
            command.detached,
            command.expires_s,
            int(now),
        )
    )


class _Named(msgspec.Struct):
    id: Id


_NAMED = msgspec.json.Decoder(_Named)


def number_in(payload: bytes) -> int | None:
    """Return which command a message is; None: it is none. It may be anybody's."""
    try:
        return _NAMED.decode(payload).id
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
