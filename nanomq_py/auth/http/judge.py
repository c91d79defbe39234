"""What the HTTP servers of a configuration say, as decisions about clients and topics.

::

    CONNECT            auth_req, then super_req      Decision, or None: another one decides
    topics, will       acl_req for each              Access for each, and how long it counts
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence

from nanomq_py.auth.chain import Answer, Decision, Login
from nanomq_py.auth.http.server import Ruling, Servers, Verdict
from nanomq_py.auth.http.template import Template, Values
from nanomq_py.config import Config
from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.records import AccessNote
from nanomq_py.core.rules import Access
from nanomq_py.fetch.message import Origin

AT_ONCE = 8  # topics of one packet: others have their turn

_DENIED = Decision(ReasonCode.NOT_AUTHORIZED)
_NO_SERVER = Decision(ReasonCode.SERVER_UNAVAILABLE)
_ON_FAILURE = {"deny": Verdict.DENY, "allow": Verdict.ALLOW, "pass": Verdict.IGNORE}
_ACCESS = {
    Verdict.ALLOW: Access.ALLOW,
    Verdict.DENY: Access.DENY,
    Verdict.IGNORE: Access.PASS,
}
SUBSCRIBES, PUBLISHES = b"1", b"2"


def _values(client_id: str, user_name: str | None, address: str) -> dict[str, bytes]:
    said = {"%c": client_id, "%u": user_name, "%a": address}
    return {name: text.encode() for name, text in said.items() if text}


class Judge:
    """Judges clients by what the servers of one configuration say.

    Threads  made in any thread; then it belongs to the event loop
    """

    def __init__(self, config: Config) -> None:
        """Make it; blocks while it reads certificates. Raises ConfigError."""
        http = config.auth_http
        # The core answers by itself after answer_timeout: on_failure has to come before.
        most_s = config.answer_timeout * 0.9 / 1000
        self._servers = Servers(http, most_s)
        self._on_failure = _ON_FAILURE[http.on_failure]

    def gone(self) -> Mapping[Origin, str]:
        """Return the servers that cannot be asked, and why."""
        return self._servers.gone()

    def decide(self, login: Login) -> Answer | Awaitable[Answer]:
        """Say what is to become of a client; at once where that is remembered."""
        auth = self._servers.auth
        if auth is None:
            return None
        values = _values(login.client_id, login.user_name, login.address)
        if login.password is not None:
            values["%P"] = login.password
        said = self._servers.ask(auth, values)
        if isinstance(said, Ruling) and (
            self._servers.super is None or said.verdict is not Verdict.ALLOW
        ):
            return self._answer(said.verdict)
        return asyncio.ensure_future(self._login(said, values))

    async def _login(self, said: Ruling | Awaitable[Ruling], values: Values) -> Answer:
        loop = asyncio.get_running_loop()
        until = loop.time() + self._servers.timeout_s
        verdict = (said if isinstance(said, Ruling) else await said).verdict
        asked = self._servers.super
        if verdict is not Verdict.ALLOW or asked is None:
            return self._answer(verdict)
        within_s = until - loop.time()
        return Decision(
            ReasonCode.SUCCESS,
            is_superuser=await self._is_superuser(asked, values, within_s),
        )

    async def _is_superuser(self, asked: Template, values: Values, within_s: float) -> bool:
        """Ask; who is not known to be a superuser in time is none."""
        said = self._servers.ask(asked, values)
        if not isinstance(said, Ruling):
            try:
                said = await asyncio.wait_for(said, within_s)
            except asyncio.TimeoutError:
                return False
        return said.verdict is Verdict.ALLOW

    def _answer(self, verdict: Verdict) -> Answer:
        if verdict is Verdict.FAILED:
            verdict = self._on_failure
            if verdict is Verdict.DENY:
                return _NO_SERVER
        if verdict is Verdict.IGNORE:
            return None
        return Decision(ReasonCode.SUCCESS) if verdict is Verdict.ALLOW else _DENIED

    async def access(self, note: AccessNote) -> tuple[list[Access], float]:
        """Return what a client may do with each topic, and for how many seconds that counts."""
        asked = self._servers.access
        if asked is None:
            return [Access.PASS] * len(note.topics), 0.0
        loop = asyncio.get_running_loop()
        until = loop.time() + self._servers.timeout_s
        values = _values(note.client_id, note.user_name, note.address)
        values["%A"] = PUBLISHES if note.publish else SUBSCRIBES
        heard: list[Ruling] = []
        for first in range(0, len(note.topics), AT_ONCE):
            some = note.topics[first : first + AT_ONCE]
            heard += await self._topics(asked, values, some, until - loop.time())
        counts_s = min((said.counts_s for said in heard), default=0.0)
        return [self._access(said.verdict) for said in heard], counts_s

    async def _topics(
        self, asked: Template, values: Values, topics: Sequence[str], within_s: float
    ) -> list[Ruling]:
        said = [self._servers.ask(asked, {**values, "%t": t.encode()}) for t in topics]
        waiting = [one for one in said if not isinstance(one, Ruling)]
        if waiting:
            await asyncio.wait(waiting, timeout=max(within_s, 0))
        return [one if isinstance(one, Ruling) else _in_time(one) for one in said]

    def _access(self, verdict: Verdict) -> Access:
        return _ACCESS[self._on_failure if verdict is Verdict.FAILED else verdict]

    def forget_topics(self) -> None:
        """Forget what was said about topics: the servers are asked again."""
        self._servers.forget_topics()

    def retire(self) -> None:
        """Begin nothing new; questions under way get their answers."""
        self._servers.close()

    def cancel(self) -> None:
        """End questions under way, too."""
        self._servers.cancel()


def _in_time(asked: asyncio.Future[Ruling]) -> Ruling:
    return asked.result() if asked.done() else Ruling(Verdict.FAILED, 0.0)
