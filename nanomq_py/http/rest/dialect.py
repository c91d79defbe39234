"""A dialect with an endpoint for each thing: from a request to its answer."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar, Generic, TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from nanomq_py.auth.callers import Caller
from nanomq_py.http.errors import HttpError, Unexpected, error_of
from nanomq_py.http.request import (
    Admits,
    check_may_change,
    is_private,
    log_in,
    read_body,
    read_stranger_s_body,
)
from nanomq_py.http.rest.endpoint import Call, Endpoint, Listing, Text, Whole
from nanomq_py.http.rest.families import Families
from nanomq_py.http.rest.parameters import NOTHING, Nothing, read_json, read_query
from nanomq_py.http.rest.router import Found
from nanomq_py.http.streamed import AT_ONCE, Streamed

log = logging.getLogger("nanomq.http")

Api = TypeVar("Api")


def json_answer(
    content: Any, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return the answer of JSON, in the order of its keys."""
    return Response(msgspec.json.encode(content), status, headers, "application/json")


class RestDialect(ABC, Generic[Api]):
    """The words of one API with an endpoint for each thing.

    title   its name, for people
    """

    title: ClassVar[str]

    def __init__(
        self,
        prefix: str,
        api: Api,
        gate: Admits,
        families: Families,
    ) -> None:
        """Make it; ``api`` is what the endpoints work on, ``gate`` lets callers in."""
        self.prefix = prefix
        self.families = families
        self._api = api
        self._gate = gate
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._held_turns = asyncio.Semaphore(AT_ONCE)

    # --- the dialect's words

    @abstractmethod
    def success(self, answer: Any) -> Response:
        """Return the answer of an endpoint in the dialect's envelope."""

    @abstractmethod
    def around(self, listing: Listing[Any]) -> tuple[bytes, bytes]:
        """Return what stands in front of the first row, and behind the last one."""

    @abstractmethod
    def render(self, error: HttpError) -> Response:
        """Return the answer that tells the error."""

    @abstractmethod
    def describe(self, gives: dict[str, Any] | None, *, is_listing: bool) -> dict[str, Any]:
        """Return the JSON Schema of what ``success`` or ``around`` makes.

        gives   schema of what the endpoint gives, of a row where it is a listing; None: nothing
        """

    def describe_error(self) -> dict[str, Any]:
        """Return the JSON Schema of what ``render`` makes."""
        return {
            "type": "object",
            "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
            "required": ["code", "message"],
        }

    def shown_by(self, request: Request) -> str | None:
        """Return what a caller shows to be let in, as the Authorization header has it."""
        return request.headers.get("authorization")

    # --- from a request to its answer

    def routes(self) -> list[BaseRoute]:
        return [_All(self._answer)]

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer: ASGIApp
        try:
            answer = await self._answered(request)
        except HttpError as error:
            answer = self.render(error)
        except HTTPException as fault:
            answer = self.render(error_of(fault.status_code, fault.headers))
        except ClientDisconnect:
            answer = Response(status_code=400)  # nobody reads it
        except Exception:
            log.exception("%s %s failed", request.method, request.url.path)
            answer = self.render(Unexpected())
        await answer(scope, receive, send)

    async def _answered(self, request: Request) -> ASGIApp:
        path: bytes = request.scope["raw_path"].partition(b"?")[0]
        try:
            below = path.removeprefix(self.prefix.encode())
            found = self.families.find(request.method, below)
        except HttpError:
            await self._log_in(request)  # strangers do not learn which paths there are
            raise
        call = await self._call(request, found)
        answer = await found.endpoint.act(self._api, call)
        if isinstance(answer, Listing):
            head, tail = self.around(answer)
            return Streamed(
                head,
                _encoded(answer.pieces),
                tail,
                self._held_turns if answer.is_held else self._turns,
                self.render,
                is_held=answer.is_held,
            )
        if isinstance(answer, Text):
            return Response(answer.text, media_type=answer.media_type)
        if isinstance(answer, Whole):
            return json_answer(answer)
        return answer if isinstance(answer, Response) else self.success(answer)

    async def _call(self, request: Request, found: Found[Endpoint]) -> Call[Any, Any]:
        endpoint = found.endpoint
        caller = None
        if not endpoint.is_open:
            caller = await self._log_in(request)
            if not endpoint.only_reads:
                check_may_change(caller)
        takes = endpoint.takes
        query: Any = NOTHING
        body: Any = NOTHING
        if takes.query is not Nothing:
            query = read_query(request.scope["query_string"], takes.query)
        read = read_stranger_s_body if endpoint.is_open else read_body
        if takes.body is bytes:
            body = await read(request)
        elif takes.body is not Nothing:
            body = read_json(await read(request), takes.body)
        who = "" if caller is None else str(caller)
        address = request.client.host if request.client else "nowhere"
        return Call(
            who, found.parameters, query, body, caller, address, is_private(request)
        )

    async def _log_in(self, request: Request) -> Caller:
        return await log_in(request, self._gate, self.shown_by(request))


class _All(BaseRoute):
    """All paths below the prefix: the dialect has a router of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return Match.FULL, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def _encoded(
    pieces: AsyncIterator[Sequence[Any]] | AsyncIterator[bytes],
) -> AsyncIterator[bytes]:
    """Yield rows as JSON without the brackets, commas between them."""
    comma = b""
    async for rows in pieces:
        if isinstance(rows, bytes):
            yield rows
        elif rows:
            yield comma + msgspec.json.encode(rows)[1:-1]
            comma = b","
