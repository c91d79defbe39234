"""What waits to be delivered by HTTP, below ``/plugins/webhook``: web hooks and others.

::

    GET    /plugins/webhook/targets
    GET    /plugins/webhook/dead?target=web.hook&after=0&limit=100
    POST   /plugins/webhook/dead/send     {"target": "web.hook", "numbers": [17]}
    DELETE /plugins/webhook/dead          {"target": "web.hook"}
    POST   /plugins/webhook/on            {"target": "web.hook"}
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from nanomq_py.delivery.deliveries import Deliveries
from nanomq_py.delivery.target import DeadLetter
from nanomq_py.plugins.texts import text_or_base64
from nanomq_py.store.faults import StoreError


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    """numbers: of dead letters; None: all of them."""

    target: str
    numbers: list[int] | None = None


def _shown(letter: DeadLetter) -> dict[str, Any]:
    shown = asdict(letter)
    shown["body"], is_base64 = text_or_base64(letter.body)
    if is_base64:
        shown["body_encoding"] = "base64"
    return shown


@contextmanager
def _store_faults() -> Iterator[None]:
    try:
        yield
    except StoreError as fault:
        raise HTTPException(503, str(fault)) from None


class _Pages:
    """The handlers. Errors: 400, 404 for a target that is not there, 503 of the store."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries

    def _known(self, name: str) -> str:
        if name not in self._deliveries.names:
            raise HTTPException(404, f"target={name[:64]!r}: there is none of that name")
        return name

    async def _asked(self, request: Request) -> _Asked:
        try:
            asked = msgspec.json.decode(await request.body(), type=_Asked)
        except (msgspec.DecodeError, RecursionError) as fault:
            raise HTTPException(400, f"the body: {fault}") from None
        self._known(asked.target)
        return asked

    async def targets(self, request: Request) -> JSONResponse:
        rows = [
            {"name": name, **asdict(self._deliveries.counts(name))}
            for name in self._deliveries.names
        ]
        return JSONResponse({"targets": rows})

    async def dead(self, request: Request) -> JSONResponse:
        query = request.query_params
        name = self._known(query.get("target", ""))
        try:
            after, limit = int(query.get("after", 0)), int(query.get("limit", 100))
            with _store_faults():
                letters = await self._deliveries.dead_letters(name, after, min(limit, 1000))
        except ValueError as fault:
            raise HTTPException(400, f"after, limit: {fault}") from None
        return JSONResponse({"dead": [_shown(letter) for letter in letters]})

    async def send(self, request: Request) -> JSONResponse:
        asked = await self._asked(request)
        with _store_faults():
            count = await self._deliveries.send_again(asked.target, asked.numbers)
        return JSONResponse({"sent": count})

    async def forget(self, request: Request) -> JSONResponse:
        asked = await self._asked(request)
        with _store_faults():
            count = await self._deliveries.forget_dead(asked.target, asked.numbers)
        return JSONResponse({"forgotten": count})

    async def switch_on(self, request: Request) -> JSONResponse:
        asked = await self._asked(request)
        await self._deliveries.switch_on(asked.target)
        return JSONResponse({"on": True})


def routes(deliveries: Deliveries) -> list[Route]:
    pages = _Pages(deliveries)
    return [
        Route("/targets", pages.targets),
        Route("/dead", pages.dead),
        Route("/dead", pages.forget, methods=["DELETE"]),
        Route("/dead/send", pages.send, methods=["POST"]),
        Route("/on", pages.switch_on, methods=["POST"]),
    ]
