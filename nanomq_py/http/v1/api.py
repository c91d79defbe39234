"""NanoMQ's HTTP API V1: one path, ``/api/v1``, that dispatches by request code.

Source  nanomq-http-api-v1.txt for fields and examples; http-dialects.md for what it leaves open
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import orjson
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from nanomq_py.auth.callers import Caller
from nanomq_py.config import Config, ConfigError
from nanomq_py.core.queries import Client
from nanomq_py.core.records import Stats
from nanomq_py.http.codes import Code
from nanomq_py.http.errors import HttpError
from nanomq_py.http.guard import Gate
from nanomq_py.http.pem import PemFiles, PemPart
from nanomq_py.http.process import Process
from nanomq_py.http.request import (
    check_may_change,
    is_masked,
    is_private,
    log_in,
    read_body,
)
from nanomq_py.http.streamed import AT_ONCE, Streamed
from nanomq_py.http.v1.config import from_json, to_json
from nanomq_py.http.v1.lists import (
    Pages,
    Pieces,
    client_pieces,
    subscription_pieces,
)
from nanomq_py.http.v1.reply import Refused, code_of, json_response
from nanomq_py.kernel.part import Part
from nanomq_py.kernel.reload import Outcome, audit

if TYPE_CHECKING:
    from nanomq_py.http.v1.answers import Brokers, ClientRow

log = logging.getLogger("nanomq.http")

U64_MAX = (1 << 64) - 1
ACTIONS = ("reload", "restart", "stop")  # of req 10


class View(Pages, Protocol):
    """What the handlers call of a Broker."""

    def stats(self) -> Stats: ...


class Configurator(Protocol):
    """What the handlers call of a Reloader."""

    @property
    def path(self) -> Path | None: ...

    @property
    def config(self) -> Config: ...

    async def reload(self, who: str) -> Outcome: ...

    async def change(
        self, edit: Callable[[Config], Config], who: str, before: Part | None = None
    ) -> Outcome: ...


@dataclass(frozen=True)
class Api:
    """What the API works on."""

    broker: View
    configurator: Configurator
    process: Process


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was understood."""

    req: int
    seq: int
    fields: Mapping[str, Any]
    caller: Caller
    private: bool = False  # nobody on the network can read the answer

    @property
    def who(self) -> str:
        """Who asks for what, for the audit log."""
        return f"{self.caller}, req {self.req}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request gets.

    pieces   of a list over all clients; they take the place of ``data``
    is_held  whether they take much memory until the last one is sent
    then     is called once the answer has gone out
    """

    data: Any = None
    pieces: Pieces | None = None
    is_held: bool = False
    then: Callable[[], None] | None = None


async def get_brokers(api: Api, call: Call) -> Answer:
    """req 2: statistics. ``client_size`` counts connected clients with a subscription."""
    stats = api.broker.stats()
    data: Brokers = {
        "client_size": stats.subscribers,
        "message_in": stats.messages_in,
        "message_out": stats.messages_out,
        "message_drop": stats.messages_dropped,
    }
    return Answer(data)


async def get_subscriptions(api: Api, call: Call) -> Answer:
    """req 4: every client with subscriptions, once, with all of its filters."""
    return Answer(pieces=subscription_pieces)


def _client_json(client: Client) -> ClientRow:
    return {
        "client_id": client.client_id,
        "username": client.user_name or "",
        "keepalive": client.keep_alive_s,
        "protocol": client.version,
        "connect_status": int(client.connected),
        "message_receive": client.messages_sent,
    }


async def get_clients(api: Api, call: Call) -> Answer:
    """req 5: connected clients, and those whose session is kept (``connect_status`` 0)."""
    return Answer(pieces=lambda pages: client_pieces(pages, _client_json))


async def control(api: Api, call: Call) -> Answer:
    """req 10: ``reload`` is answered with what it did, the others before they are done."""
    action = call.fields.get("action")
    if action is None:
        raise Refused(400, Code.MISSING_KEY_REQUEST_PARAMS, "action: missing")
    if action not in ACTIONS:
        expected = f"{', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}"
        raise Refused(400, Code.REQ_PARAM_ERROR, f"action: expected {expected}")
    if action == "reload":
        return Answer(asdict(await _changed(api.configurator.reload(call.who))))
    if action == "restart":
        await _changed(api.process.check_restart())
        return Answer(then=api.process.request_restart)
    return Answer(then=api.process.request_stop)


async def get_config(api: Api, call: Call) -> Answer:
    """req 11: the configuration that was accepted last."""
    config = api.configurator.config
    masked = is_masked(config.http_server, call.caller, is_private=call.private)
    data = await asyncio.to_thread(to_json, config, masked=masked)
    audit.info("%s: read, its secrets %s", call.who, "masked" if masked else "shown")
    return Answer(data)


async def set_config(api: Api, call: Call) -> Answer:
    """req 12: changes what ``data`` names, in force and in the file, or nothing."""
    if "data" not in call.fields:
        raise Refused(400, Code.MISSING_KEY_REQUEST_PARAMS, "data: missing")
    configurator = api.configurator
    pem = PemFiles(configurator.path)

    def edit(config: Config) -> Config:
        return from_json(config, call.fields["data"], pem)

    outcome = await _changed(configurator.change(edit, call.who, before=PemPart(pem)))
    await asyncio.to_thread(pem.remove_old)
    return Answer({**asdict(outcome), "saved": configurator.path is not None})


async def get_tree(api: Api, call: Call) -> Answer:
    """req 13: the Topic Filters of all clients, as a tree."""
    from nanomq_py.http.tree import tree_pieces  # loaded by the first one

    return Answer(pieces=lambda pages: tree_pieces(pages, "client_id"), is_held=True)


T = TypeVar("T")


async def _changed(act: Awaitable[T]) -> T:
    """Return its result. Raises Refused for a configuration that cannot be used."""
    try:
        return await act
    except ConfigError as fault:
        raise Refused(400, Code.REQ_PARAM_ERROR, str(fault)) from None


CHANGES = {10, 12}  # requests that a viewer may not send

HANDLERS: Mapping[int, Callable[[Api, Call], Awaitable[Answer]]] = {
    2: get_brokers,
    4: get_subscriptions,
    5: get_clients,
    10: control,
    11: get_config,
    12: set_config,
    13: get_tree,
}


@dataclass(slots=True)
class Envelope:
    """What is known of a request so far, for its answer."""

    seq: int = 0
    req: int | None = None

    def error(self, code: Code, message: str = "") -> dict[str, Any]:
        content: dict[str, Any] = {"code": int(code), "seq": self.seq}
        if self.req is not None:
            content["rep"] = self.req
        if message:
            content["message"] = message
        return content


def _is_whole(value: object, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= high


def _fill(envelope: Envelope, fields: dict[str, Any]) -> None:
    """Take what can be read of seq and req, so that an error can echo it."""
    if _is_whole(fields.get("seq"), U64_MAX):
        envelope.seq = fields["seq"]
    if _is_whole(fields.get("req"), (1 << 31) - 1):
        envelope.req = fields["req"]


def parse(body: bytes, envelope: Envelope, caller: Caller) -> Call:
    """Return the call in a body of that caller.

    Raises   Refused; never anything else, for any bytes
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        raise Refused(400, Code.REQ_PARAMS_JSON_FORMAT_ILLEGAL, "expected a JSON object")
    _fill(envelope, fields)
    for name in ("req", "seq"):
        if name not in fields:
            raise Refused(400, Code.MISSING_KEY_REQUEST_PARAMS, f"{name}: missing")
    if not _is_whole(fields["seq"], U64_MAX):
        raise Refused(400, Code.REQ_PARAM_ERROR, "seq: expected a whole number of 64 bits")
    if isinstance(fields["req"], bool) or not isinstance(fields["req"], int):
        raise Refused(400, Code.REQ_PARAM_ERROR, "req: expected a whole number")
    if fields["req"] not in HANDLERS:
        raise Refused(404, Code.REQ_PARAM_ERROR, f"req: {fields['req']} is not known")
    return Call(fields["req"], fields["seq"], fields, caller)


class V1:
    """The dialect: one path, whose body says what is asked for."""

    prefix = "/api/v1"

    def __init__(self, api: Api, gate: Gate) -> None:
        self._api = api
        self._gate = gate
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._held_turns = asyncio.Semaphore(AT_ONCE)

    def routes(self) -> list[BaseRoute]:
        return [
            Route(path, self._endpoint, methods=["GET", "POST"])
            for path in (self.prefix, f"{self.prefix}/")
        ]

    def render(self, error: HttpError) -> Response:
        return _rendered(Envelope(), error)

    async def _endpoint(self, request: Request) -> Response | Streamed:
        envelope = Envelope()
        try:
            caller = await log_in(request, self._gate)
            call = parse(await read_body(request), envelope, caller)
            if call.req in CHANGES:
                check_may_change(caller)
            call = replace(call, private=is_private(request))
            answer = await HANDLERS[call.req](self._api, call)
        except HttpError as error:
            return _rendered(envelope, error)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception:
            log.exception("req %s failed", envelope.req)
            return json_response(envelope.error(Code.UNKNOWN_MISTAKE), 500)
        return self._answered(call, answer)

    def _answered(self, call: Call, answer: Answer) -> Response | Streamed:
        content = {"code": Code.SUCCEED, "seq": call.seq, "rep": call.req}
        if answer.pieces is not None:
            return self._list_of(content, answer.pieces, is_held=answer.is_held)
        if answer.data is not None:
            content["data"] = answer.data
        response = json_response(content)
        if answer.then is not None:
            response.background = BackgroundTask(answer.then)
        return response

    def _list_of(
        self, content: dict[str, Any], pieces: Pieces, *, is_held: bool
    ) -> Streamed:
        head = orjson.dumps({**content, "data": []})[:-2]
        envelope = Envelope(content["seq"], content["rep"])
        made = pieces(self._api.broker)
        return Streamed(
            head,
            made,
            b"]}",
            self._held_turns if is_held else self._turns,
            lambda error: _rendered(envelope, error),
            is_held=is_held,
        )


def _rendered(envelope: Envelope, error: HttpError) -> Response:
    content = envelope.error(code_of(error), error.message)
    return json_response(content, error.status, error.headers)
