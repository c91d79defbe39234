"""The action that sends rows to an HTTP server, by the queue in the store that delivery has.

::

    resource {"type": "web_hook", "config": {"url": "https://example.com/in"}}
    action   {"name": "data_to_webserver", "params": {"$resource": ID, "path": "/rows"}}

A row is acknowledged once it is on the disk; while the queue is full the rule waits. Rows of
one topic arrive in their order.

Source  EMQX 4.4, emqx_web_hook_actions: names of parameters
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nanomq_py.delivery.target import Counts, Post, Target, check_target
from nanomq_py.plugins.rules.action import (
    NO_FAULTS,
    Action,
    Faults,
    Row,
    Selected,
    Tools,
    check_names,
    json_row,
    text,
    whole,
)
from nanomq_py.plugins.rules.faults import NotHereError, RowError, RuleFault
from nanomq_py.plugins.rules.model import Params, ResourceSpec, checked_id

if TYPE_CHECKING:
    from nanomq_py.broker import Broker

WEB_HOOK = "web_hook"
PARAMS = ("$resource", "method", "path", "headers", "body", "payload_tmpl")
CONFIG = (
    *("url", "headers", "method", "request_timeout", "connect_timeout", "pool_size"),
    *("enable_pipelining", "cacertfile", "certfile", "keyfile", "verify", "secret"),
    "server_name_indication",
)
MOST_KEY = 16_000  # letters of a topic: 64 KiB in bytes at most
_DURATION = re.compile(r"(\d{1,6})(ms|s|m)?")
_MS = {"ms": 1, "s": 1000, "m": 60_000, None: 1000}


class PostRows(Action):
    """Sends each row."""

    def __init__(
        self,
        broker: Broker,
        target: Target,
        body: Callable[[Row], bytes],
        content_type: str,
    ) -> None:
        super().__init__()
        self._broker = broker
        self._target = target
        self._body = body
        self._content_type = content_type
        self._before = (0, 0)  # that do not count any more

    async def open(self) -> None:
        try:
            await self._broker.deliveries.set_target(self._target)
        except ValueError as fault:
            raise RuleFault(str(fault)) from None

    async def act(self, selected: Sequence[Selected]) -> Faults:
        from nanomq_py.plugins.rules.sql import RuleError

        faults: dict[int, str] = {}
        posts = []
        for at, each in enumerate(selected):
            try:
                posts.append(Post(_key(each), self._body(each.row), self._content_type))
            except (RowError, RuleError, ValueError) as fault:
                faults[at] = f"data_to_webserver: {fault}"
        if posts:
            await self._broker.deliveries.put(self._target.name, posts, patient=True)
        return faults or NO_FAULTS

    def _delivered(self) -> Counts | None:
        try:
            return self._broker.deliveries.counts(self._target.name)
        except KeyError:  # it is not set now
            return None

    def _sums(self) -> tuple[int, int]:
        told = self._delivered()
        if told is None:
            return 0, self.counts.failed
        return told.succeeded, self.counts.failed + told.dead + told.dropped

    def told(self) -> tuple[int, int]:
        """Return what the server took, and what it did not in the end."""
        success, failed = self._sums()
        return max(0, success - self._before[0]), max(0, failed - self._before[1])

    def reset(self) -> None:
        self._before = self._sums()

    def count_on(self, before: Action) -> None:
        super().count_on(before)
        if isinstance(before, PostRows):
            self._before = before._before

    @property
    def trouble(self) -> str:
        told = self._delivered()
        return "" if told is None else told.last_error

    async def close(self) -> None:
        await self._broker.deliveries.release(self._target.name)

    async def forget(self) -> None:
        await self._broker.deliveries.remove_target(self._target.name)


def _key(selected: Selected) -> str:
    """Return what keeps rows in order: the topic, or else the client."""
    columns = selected.columns
    return str(columns.get("topic") or columns.get("clientid") or "")[:MOST_KEY]


def _headers(params: Params) -> dict[str, str]:
    """Return header lines that are given. Raises RuleFault."""
    given = params.get("headers") or {}
    if not isinstance(given, dict) or not all(
        isinstance(value, str | int) for value in given.values()
    ):
        raise RuleFault("headers: expected an object of texts")
    return {name: str(value) for name, value in given.items()}


def _seconds(config: Params, name: str, default: str) -> float:
    """Return a time such as ``5s``. Raises RuleFault."""
    given = str(config.get(name) or default)
    found = _DURATION.fullmatch(given)
    made = int(found[1]) * _MS[found[2]] / 1000 if found else 0.0
    if not 0 < made <= 3600:
        raise RuleFault(f"{name}: expected a time such as 5s, of an hour at most")
    return made


def target_of(config: Params, name: str, allow: tuple[str, ...], path: str = "") -> Target:
    """Return the target that a resource is. Raises RuleFault."""
    check_names(config, CONFIG)
    url = text(config, "url")
    if path:
        url = f"{url.rstrip('/')}/{path.lstrip('/')}"
    headers = _headers(config)
    content_types = [name for name in headers if name.lower() == "content-type"]
    content_type = [headers.pop(name) for name in content_types]
    target = Target(
        name=name,
        url=url,
        headers=tuple(headers.items()),
        content_type=content_type[-1] if content_type else "",
        secret=text(config, "secret", ""),
        allow=allow,
        connections=whole(config, "pool_size", 1, 64, 8),
        timeout_s=_seconds(config, "request_timeout", "5s"),
        connect_timeout_s=_seconds(config, "connect_timeout", "5s"),
        cacertfile=text(config, "cacertfile", "") or None,
        certfile=text(config, "certfile", "") or None,
        keyfile=text(config, "keyfile", "") or None,
    )
    try:
        check_target(target)
    except ValueError as fault:
        raise RuleFault(str(fault)) from None
    if "@" in urlsplit(url).netloc:
        raise RuleFault("url: expected no user in it: a header says who asks")
    return target


def check_web_hook(config: Params, allow: tuple[str, ...]) -> None:
    """Raise RuleFault for a web hook that could not be told."""
    _check_method(config)
    target_of(config, "check", allow)


def _check_method(params: Params) -> None:
    method = text(params, "method", "POST")
    if method.upper() != "POST":
        raise NotHereError(f"method: {method[:16]!r}: web hooks are sent by POST")


def _resource(params: Params, tools: Tools) -> ResourceSpec:
    resource = tools.resource(text(params, "$resource"))
    if resource.type != WEB_HOOK:
        raise RuleFault(f"$resource: {resource.id}: expected one of type {WEB_HOOK}")
    return resource


def _body_of(given: str) -> Callable[[Row], bytes]:
    if not given:
        return json_row
    from nanomq_py.plugins.rules.sql import template

    return template(given).encoded


def post(params: Params, tools: Tools) -> PostRows:
    """Make the action. Raises RuleFault."""
    check_names(params, PARAMS)
    _check_method(params)
    resource = _resource(params, tools)
    path = text(params, "path", "")
    if "${" in path:
        raise NotHereError("path: a placeholder in it: one action tells one URL")
    config = dict(resource.config)
    headers = {**_headers(config), **_headers(params)}
    config["headers"] = headers
    name = f"rules/{tools.rule_id}/{checked_id(tools.action_id)}"
    target = target_of(config, name, tools.allow, path)
    body = _body_of(text(params, "body", "") or text(params, "payload_tmpl", ""))
    return PostRows(tools.broker, target, body, target.content_type or "application/json")
