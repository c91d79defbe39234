"""NanoMQ's web hooks: an HTTP server is told what happens, as ``web.hook.*`` says.

::

    publishers ──> consumer ──batch──> queue in the store ──> batch is acknowledged
    clients    ──> events ───────────> queue in the store
                                         └──> HTTP server, each topic, each client in order

Loaded while ``web.hook.enable`` is on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.keys.http_client import WebHook
from nanomq_py.delivery.target import Target, check_target
from nanomq_py.kernel.part import Change
from nanomq_py.plugins.plugin import Plugin
from nanomq_py.plugins.webhook.telling import Telling

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

NAME = "web.hook"  # of the target
CONSUMER = "plugins/webhook/messages"
CONNECT_S = 5.0
# Between attempts; each wait is twice as long as the one before.
FIRST_WAIT_S, MOST_WAIT_S = 5.0, 86_400.0
LAST_WORDS_S = 0.8  # for what is told while the broker stops


def target_of(hook: WebHook) -> Target:
    """Return whom the keys have told. Raises ConfigError naming the key that it cannot be."""
    if hook.url is None:
        raise ConfigError("web.hook.url: missing: web.hook.enable=true needs one")
    headers = {header.name: header.value for header in hook.headers}
    content_type = next(
        (headers.pop(name) for name in list(headers) if name.lower() == "content-type"), ""
    )
    target = Target(
        name=NAME,
        url=hook.url,
        headers=tuple(headers.items()),
        content_type=content_type,
        secret=hook.secret,
        allow=hook.allow,
        cacertfile=hook.cacertfile,
        certfile=hook.certfile,
        keyfile=hook.keyfile,
        connections=hook.pool_size,
        timeout_s=hook.timeout / 1000,
        connect_timeout_s=CONNECT_S,
        first_wait_s=FIRST_WAIT_S,
        most_wait_s=MOST_WAIT_S,
        most_attempts=hook.max_attempts,
        most_posts=hook.max_waiting,
        most_bytes=hook.max_waiting_size,
    )
    try:
        check_target(target)
    except ValueError as fault:
        raise ConfigError(f"web.hook.{fault}") from None
    return target


class HookChange(Change):
    """Other keys of web hooks."""

    def __init__(self, hooks: WebHooks, hook: WebHook) -> None:
        self._hooks = hooks
        self._before, self._after = hooks.hook, hook

    def commit(self) -> None:
        self._hooks.hook = self._after

    async def undo(self) -> None:
        self._hooks.hook = self._before

    async def settle(self) -> None:
        await self._hooks.follow(self._before)


class WebHooks(Plugin):
    """Tells one HTTP server.

    hook  the keys in force
    """

    hook = WebHook()
    _has_started = False
    _telling: Telling | None = None

    async def prepare(self, config: Config) -> Change | None:
        hook = config.web_hook
        if hook.enable:
            await asyncio.to_thread(check_files, target_of(hook))
        return HookChange(self, hook)

    async def start(self) -> None:
        self._has_started = True
        await self._begin()

    async def follow(self, before: WebHook) -> None:
        """Tell as the keys say now, which were others before."""
        hook = self.hook
        if not self._has_started:
            return
        is_same = (before.rules, before.encoding) == (hook.rules, hook.encoding)
        if before.enable and hook.enable and is_same:
            await self.broker.deliveries.set_target(target_of(hook))
            return
        await self._end(is_last=False)
        await self._begin()

    async def _begin(self) -> None:
        if not self.hook.enable:
            return
        await self.broker.deliveries.set_target(target_of(self.hook))
        self._telling = Telling(self.broker, NAME, CONSUMER, self.hook, self.log)
        self._telling.start(self.work)
        self.end_orphans()  # no rule may be of messages any more

    async def _end(self, *, is_last: bool) -> None:
        telling, self._telling = self._telling, None
        if telling is not None:
            await telling.stop(LAST_WORDS_S, is_last=is_last)

    def counters(self) -> Mapping[str, int]:
        if self._telling is None:
            return {}
        counts = self.broker.deliveries.counts(NAME)
        return {"succeeded": counts.succeeded, "failed": counts.failed, "dead": counts.dead}

    def routes(self) -> Sequence[BaseRoute]:
        from nanomq_py.plugins.webhook.pages import routes  # few ask

        return routes(self.broker.deliveries)

    def leave(self) -> None:
        if self._telling is not None:
            self._telling.leave()

    async def stop(self) -> None:
        is_off = not self.broker.config.web_hook.enable
        await self._end(is_last=not is_off)
        if is_off:  # else the broker stops, and what is kept goes on with the next process
            with contextlib.suppress(KeyError):
                self.broker.end_consumer(CONSUMER)
            await self.broker.deliveries.release(NAME)


def check_files(target: Target) -> None:
    """Read the files of certificates. Blocks. Raises ConfigError."""
    from nanomq_py.fetch.tls import CertificateError, client_tls

    if not target.url.startswith("https:"):
        return
    try:
        client_tls(target.cacertfile, target.certfile, target.keyfile)
    except CertificateError as fault:
        raise ConfigError(f"web.hook.ssl.{fault.key}={fault}") from None
