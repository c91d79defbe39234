"""``auth.http`` as a part of the broker: it hands logins and topics to the HTTP servers' judge.

::

    login ──────────────────────────────┐
    topic that no access rule decides ──┴──> Judge (auth/http/judge.py) ──> HTTP server

Nothing of ``auth/http/`` is imported while the configuration does not enable it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING

from nanomq_py.auth.chain import Answer, Login
from nanomq_py.config import Config
from nanomq_py.core.binding import Core
from nanomq_py.core.records import AccessNote
from nanomq_py.core.rules import Access
from nanomq_py.kernel.part import Change, Hears, Part, Trouble

if TYPE_CHECKING:
    from nanomq_py.auth.http.judge import Judge

log = logging.getLogger("nanomq")


class HttpJudgeChange(Change):
    """Other servers, or none."""

    def __init__(self, part: HttpJudge, judge: Judge | None) -> None:
        self._part = part
        self._before = part.judge
        self._after = judge

    def commit(self) -> None:
        self._part.judge = self._after

    async def undo(self) -> None:
        self._part.judge = self._before

    async def settle(self) -> None:
        if self._before is not None:
            self._before.retire()


class HttpJudge(Part):
    """The member ``http`` of the chain. It also answers the core's questions about topics."""

    name = "http"  # in the chain

    def __init__(self, core: Core) -> None:
        self._core = core
        self.judge: Judge | None = None
        self._asking: set[asyncio.Task[None]] = set()

    @property
    def hears(self) -> Hears:
        return {AccessNote: self._access}

    def troubles(self) -> Iterable[Trouble]:
        for origin, why in () if self.judge is None else self.judge.gone().items():
            yield Trouble(
                f"auth_http_unreachable/{origin}",
                f"auth.http: {origin} cannot be asked about clients: {why}",
                {"server": str(origin)},
            )

    async def prepare(self, config: Config) -> Change | None:
        http = config.auth_http
        if not http.enable:
            return None if self.judge is None else HttpJudgeChange(self, None)
        # Files of certificates may have changed: servers are made anew at each reload.
        return HttpJudgeChange(self, await asyncio.to_thread(_judge_of, config))

    def decide(self, login: Login) -> Answer | Awaitable[Answer]:
        """Ask a server about a client that comes in."""
        return None if self.judge is None else self.judge.decide(login)

    def _access(self, note: AccessNote) -> None:
        """Ask a server about topics that no rule decides."""
        if self.judge is None:
            passes = [Access.PASS] * len(note.topics)
            self._core.decide(note.number, note.question, passes)
            return
        task = asyncio.ensure_future(self._ask(self.judge, note))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, judge: Judge, note: AccessNote) -> None:
        try:
            verdicts, counts_s = await judge.access(note)
        except Exception:
            log.exception("auth.http failed; what it was asked about is denied")
            verdicts, counts_s = [Access.DENY] * len(note.topics), 0.0
        self._core.decide(note.number, note.question, verdicts, keep_s=counts_s)

    async def opinion(self, note: AccessNote) -> list[Access]:
        """Return what a server says of topics that a program asks about."""
        if self.judge is None:
            return [Access.PASS] * len(note.topics)
        verdicts, _ = await self.judge.access(note)
        return verdicts

    def leave(self) -> None:
        for task in self._asking:
            task.cancel()
        if self.judge is not None:
            self.judge.cancel()

    async def stop(self) -> None:
        self.leave()  # to notes that came meanwhile


def check_servers(config: Config) -> None:
    """Read the files that ``auth.http`` names. Blocks. Raises ConfigError."""
    if config.auth_http.enable:
        _judge_of(config)


def _judge_of(config: Config) -> Judge:
    from nanomq_py.auth.http.judge import Judge
    from nanomq_py.auth.http.template import check_requests

    check_requests(config.auth_http)
    return Judge(config)
