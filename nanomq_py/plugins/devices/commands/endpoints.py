"""``remotectl``: commands to devices, how they are, and what devices have answered.

Source  iot-platform-api-v1.txt, "Remote Control"; http-dialects.md, "IoT platform"
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field

from nanomq_py.http.errors import BadParameter, NotFound
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.plugins.devices.api import Api
from nanomq_py.plugins.devices.commands.ids import meant
from nanomq_py.plugins.devices.commands.room import TooManyError
from nanomq_py.plugins.devices.commands.table import Order, Reply, Row
from nanomq_py.plugins.devices.words import Refused, store_faults

MOST_TO = 1000
MOST_BODY_BYTES = 64 << 10
MOST_RETRIES = 100
YEAR_S = 31_536_000

_Short = Annotated[str, Meta(max_length=128)]


# --- a new command


class Recipient(msgspec.Struct, frozen=True):
    sn: str


class NewCommand(msgspec.Struct, frozen=True, rename="camel"):
    """What is asked of devices; what is left out is as in the document's example.

    body   an object, or a text that holds one
    """

    to: Annotated[list[Recipient], Meta(min_length=1, max_length=MOST_TO)]
    command: Annotated[str, Meta(min_length=1, max_length=128)]
    sender: _Short = field(name="from", default="iot_web_console")
    method: Literal["", "get", "set"] = ""
    body: dict[str, Any] | str = field(default_factory=dict)
    publish_now: bool = True
    max_retries: Annotated[int, Meta(ge=0, le=MOST_RETRIES)] = 3
    expires: Annotated[int, Meta(ge=1, le=YEAR_S)] = 38400
    detached: bool = True


class Numbered(msgspec.Struct, frozen=True):
    id: int
    sn: str


class Made(msgspec.Struct, frozen=True):
    to: list[Numbered]


def _body(said: dict[str, Any] | str) -> bytes:
    """Return the body as JSON. Raises BadParameter."""
    try:
        body = msgspec.json.decode(said) if isinstance(said, str) else said
        encoded = msgspec.json.encode(body)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise BadParameter(f"body: expected an object of JSON: {fault}") from None
    if not isinstance(body, dict):
        raise BadParameter("body: expected an object, or a text that holds one")
    if len(encoded) > MOST_BODY_BYTES:
        raise BadParameter(
            f"body: {len(encoded)} bytes of JSON, and {MOST_BODY_BYTES} are the most"
        )
    return encoded


async def make(api: Api, call: Call[Nothing, NewCommand]) -> Made:
    said = call.body
    order = Order(
        said.sender,
        said.command,
        said.method,
        _body(said.body),
        said.detached,
        said.publish_now,
        said.max_retries,
        said.expires,
    )
    sns = [each.sn for each in said.to]
    with store_faults():
        try:
            numbers = await api.commands.add(order, sns)
        except TooManyError as fault:
            raise Refused("too_many_commands", str(fault), 429) from None
        except ValueError as fault:
            raise BadParameter(f"to: {fault}") from None
    many = "" if len(sns) == 1 else f" and {len(sns) - 1} more"
    api.audit(call.who, f"made command {numbers[0]}{many}: '{said.command}' for {sns[0]}")
    return Made([Numbered(*each) for each in zip(numbers, sns, strict=True)])


# --- commands as they are


class CommandRow(msgspec.Struct, frozen=True, rename="camel"):
    """One command. create_time: in lists only."""

    command: str
    create_time: int | UnsetType
    d: msgspec.Raw
    detached: int
    expires: int
    failed_time: int
    finish_time: int
    sender: str = field(name="from")
    id: int = 0
    max_retries: int = 0
    method: str = ""
    phase: str = ""
    publish_now: bool = False
    publish_time: int = 0
    sn: str = ""
    state: int = 0
    try_times: int = 0


class CommandList(msgspec.Struct, frozen=True):
    count: int
    limit: int
    list: list[CommandRow]
    page: int
    total: int


class Asked(msgspec.Struct, frozen=True):
    """One command, or a page of those of a sender, or of all."""

    id: str | None = None
    sender: str | None = field(name="from", default=None)
    page: Annotated[int, Meta(ge=1, le=1 << 31)] = 1
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100

    @property
    def number(self) -> int | None:
        """The command that is asked for; None: a page is. Raises BadParameter, NotFound."""
        if self.id is None:
            return None
        said = self.id.replace(" ", "+")  # what 2e+17 is, where nobody has encoded it
        number = meant(said)
        if number is None and not _is_number(said):
            raise BadParameter("id: expected the number of a command")
        if number is None:
            raise NotFound(_NONE)
        return number

    @property
    def part(self) -> dict[str, int]:
        return {"offset": (self.page - 1) * self.limit, "limit": self.limit}


_NONE = "there is no such command, or it has expired"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _row(row: Row, *, in_list: bool) -> CommandRow:
    order = row.order
    return CommandRow(
        command=order.command,
        create_time=int(row.created_at) if in_list else UNSET,
        d=msgspec.Raw(order.body),
        detached=int(order.detached),
        expires=order.expires_s,
        failed_time=int(row.failed_at),
        finish_time=int(row.finished_at),
        sender=order.sender,
        id=row.id,
        max_retries=order.max_retries,
        method=order.method,
        phase=row.phase.value,
        publish_now=order.publish_now,
        publish_time=int(row.published_at) if row.tries else 0,
        sn=row.sn,
        state=int(row.state),
        try_times=row.tries,
    )


async def get_commands(api: Api, call: Call[Asked, Nothing]) -> Any:
    asked = call.query
    number = asked.number
    with store_faults():
        if number is None:
            rows, total = await api.commands.page(asked.sender, **asked.part)
            shown = [_row(row, in_list=True) for row in rows]
            return CommandList(len(shown), asked.limit, shown, asked.page, total)
        row = await api.commands.get(number)
    if row is None:
        raise NotFound(_NONE)
    return _row(row, in_list=False)


# --- answers


class ResponseRow(msgspec.Struct, frozen=True):
    """What a device has said of a command last. time: its own clock."""

    command: str
    d: msgspec.Raw
    sender: str = field(name="from")
    id: int = 0
    revtime: int = 0
    sn: str = ""
    status: str = ""
    time: int | float = 0


class ResponseList(msgspec.Struct, frozen=True):
    count: int
    limit: int
    list: list[ResponseRow]
    page: int
    total: int


def _response(reply: Reply) -> ResponseRow:
    return ResponseRow(
        command=reply.command,
        d=msgspec.Raw(reply.data),
        sender=reply.sender,
        id=reply.id,
        revtime=int(reply.at),
        sn=reply.sn,
        status=reply.status,
        time=int(reply.time) if reply.time.is_integer() else reply.time,
    )


async def get_responses(api: Api, call: Call[Asked, Nothing]) -> Any:
    asked = call.query
    number = asked.number
    with store_faults():
        if number is None:
            replies, total = await api.commands.replies(asked.sender, **asked.part)
            shown = [_response(each) for each in replies]
            return ResponseList(len(shown), asked.limit, shown, asked.page, total)
        reply = await api.commands.reply(number)
    if reply is None:
        raise NotFound("no device has answered that command, or it has expired")
    return _response(reply)


# --- counters


class Stats(msgspec.Struct, frozen=True, rename="camel"):
    """Commands that there are, and what has happened since the start.

    open, kept, bytes   that wait for an answer; that are kept; of what kept ones say
    tried, repeated     tries that were published, and how often one was published again
    answers, strange    answers that counted, and those to nothing that waits for one
    refused             messages that are no answers, or somebody else's
    """

    open: int
    kept: int
    bytes: int
    made: int
    tried: int
    repeated: int
    answers: int
    strange: int
    refused: int
    succeeded: int
    failed: int
    expired: int


async def get_stats(api: Api, call: Plain) -> Stats:
    held, counts = api.commands.held(), api.commands.counts
    return Stats(
        open=held.open,
        kept=held.kept,
        bytes=held.size,
        made=counts["made"],
        tried=counts["tried"],
        repeated=counts["repeated_tries"],
        answers=counts["answered"],
        strange=counts["strange"] + counts["repeated"],
        refused=counts["refused"],
        succeeded=counts["succeeded"],
        failed=counts["failed"],
        expired=counts["expired"],
    )


ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/remotectl/commands",
        act=make,
        summary="Have devices do something.",
    ),
    Endpoint(
        method="GET",
        path="/remotectl/commands",
        act=get_commands,
        summary="How a command is, or those of a sender, the newest first.",
    ),
    Endpoint(
        method="GET",
        path="/remotectl/commands/responses",
        act=get_responses,
        summary="What a device has answered last, of a command or of those of a sender.",
    ),
    Endpoint(
        method="GET",
        path="/remotectl/commands/stats",
        act=get_stats,
        summary="Commands that there are, and what has happened since the start.",
    ),
]
