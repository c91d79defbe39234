"""The action that publishes a row as a message of this broker.

A message that a rule publishes says so by its client identifier, ``republish:RULE``, and so
does one that another rule makes of it: ``republish:RULE,OTHER``. A rule whose name is in it
publishes nothing: it would go on for ever.

Source  EMQX 4.4, emqx_rule_actions: its parameters, and "recursively republish"
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nanomq_py.broker import Broker
from nanomq_py.plugins.rules.action import (
    NO_FAULTS,
    Action,
    Faults,
    Row,
    Selected,
    Tools,
    check_names,
    json_row,
    not_here,
    text,
)
from nanomq_py.plugins.rules.columns import MessageColumns
from nanomq_py.plugins.rules.faults import RowError, RuleFault
from nanomq_py.plugins.rules.model import Params

if TYPE_CHECKING:
    from nanomq_py.plugins.rules.sql import Template

BY = "republish:"
_HERE = ("local", None)  # where a message comes from that no client has published
MOST_HOPS = 8
PARAMS = ("target_topic", "target_qos", "target_retain", "payload_tmpl")
NANOMQ_PARAMS = (
    *("topic", "address", "proto_ver", "keepalive", "clientid", "username", "password"),
    *("clean_start", "server"),
)
_AS_GIVEN = (-1, "-1")
_QOS = {0: 0, 1: 1, 2: 2, "0": 0, "1": 1, "2": 2}
_RETAIN = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}

Pick = Callable[[Selected], Any]


def _is_placeholder(value: object) -> bool:
    return isinstance(value, str) and value.startswith("${") and value.endswith("}")


def _picked(name: str, value: object, known: dict[Any, Any], expected: str) -> Pick:
    """Return what tells a parameter of a row: it is given, or a placeholder of a column."""
    if isinstance(value, int | str) and value in known:
        fixed = known[value]
        return lambda selected: fixed
    if not _is_placeholder(value):
        raise RuleFault(f"{name}: expected {expected}")
    made = _template(str(value))

    def pick(selected: Selected) -> Any:
        told = made(selected.row)
        if told not in known:
            raise RowError(f"{name}: {str(told)[:64]!r}: expected {expected}")
        return known[told]

    return pick


def _template(given: str) -> Template:
    from nanomq_py.plugins.rules.sql import template

    return template(given)


class Republish(Action):
    """Publishes each row."""

    def __init__(
        self,
        broker: Broker,
        rule_id: str,
        topic: str,
        qos: Pick,
        retain: Pick,
        payload: str,
    ) -> None:
        super().__init__()
        self._broker = broker
        self._rule_id = rule_id
        self._by = BY + rule_id
        self._topic = _template(topic)
        self._qos = qos
        self._retain = retain
        self._payload = _payload_of(payload)

    async def act(self, selected: Sequence[Selected]) -> Faults:
        from nanomq_py.plugins.rules.sql import RuleError

        faults: dict[int, str] = {}
        for at, each in enumerate(selected):
            try:
                await self._publish(each)
            except (RowError, RuleError, ValueError, RuntimeError) as fault:
                faults[at] = f"republish: {fault}"
        return faults or NO_FAULTS

    async def _publish(self, selected: Selected) -> None:
        topic = self._topic(selected.row)
        if topic[:1] == "$" and self._topic.text.startswith("${"):
            raise RowError("target_topic: a column makes it one of the broker's own")
        await self._broker.publish_as(
            self._author(_publisher(selected)),
            topic,
            self._payload(selected.row),
            qos=self._qos(selected),
            retain=self._retain(selected),
        )

    def _author(self, client_id: object) -> str:
        """Return who publishes it. Raises RowError where this rule has published it before."""
        if not isinstance(client_id, str) or not client_id.startswith(BY):
            return self._by
        rules = client_id.removeprefix(BY).split(",")
        if self._rule_id in rules:
            raise RowError("recursively republish: this rule has published the message")
        if len(rules) >= MOST_HOPS:
            raise RowError(
                f"republish: {MOST_HOPS} rules have published it one after another"
            )
        return f"{client_id},{self._rule_id}"


def _publisher(selected: Selected) -> object:
    """Return who published the message that the row is of, not who got it.

    None: a client did that calls itself as a rule does. Of an event the address of who
    published is not known where somebody else got it.
    """
    columns = selected.columns
    if isinstance(columns, MessageColumns):
        client_id = columns.message.client_id
    elif "from_clientid" in columns:
        return columns["from_clientid"]
    else:
        client_id = columns.get("clientid")
    is_of_rule = isinstance(client_id, str) and client_id.startswith(BY)
    if is_of_rule and columns.get("peerhost") not in _HERE:
        return None
    return client_id


def _payload_of(given: str) -> Callable[[Row], bytes]:
    """Return what makes the payload of a row; an empty template: the row as JSON."""
    return _template(given).encoded if given else json_row


def republish(params: Params, tools: Tools) -> Republish:
    """Make the action of EMQX's parameters. Raises RuleFault."""
    check_names(params, PARAMS)
    topic = text(params, "target_topic")
    _check_topic(topic)
    qos = params.get("target_qos", 0)
    if qos in _AS_GIVEN:
        pick: Pick = _original_qos
    else:
        pick = _picked("target_qos", qos, _QOS, "0, 1, 2, -1 or a placeholder")
    expected = "true, false or a placeholder"
    retain = _picked("target_retain", params.get("target_retain", False), _RETAIN, expected)
    payload = text(params, "payload_tmpl", "${payload}")
    return Republish(tools.broker, tools.rule_id, topic, pick, retain, payload)


def _original_qos(selected: Selected) -> int:
    qos = selected.columns.get("qos", 0)
    return qos if qos in (0, 1, 2) else 0


def _check_topic(topic: str) -> None:
    if not topic or set("+#\0") & set(topic):
        raise RuleFault(
            f"target_topic: {topic[:100]!r}: expected a topic without wildcards"
        )


def nanomq_republish(params: Params, tools: Tools) -> Republish:
    """Make NanoMQ's ``repub``, which publishes rows as JSON. Raises RuleFault.

    Its address may be this broker's; another one is a bridge.
    """
    check_names(params, NANOMQ_PARAMS)
    topic = text(params, "topic")
    _check_topic(topic)
    address = text(params, "address", text(params, "server", ""))
    if address and not _is_ours(address, tools.broker):
        raise not_here(f"address {address[:100]}")
    return Republish(
        tools.broker, tools.rule_id, topic, lambda s: 0, lambda s: False, payload=""
    )


def _is_ours(address: str, broker: Broker) -> bool:
    try:
        split = urlsplit(address)
        host, port = split.hostname, split.port or 1883
    except ValueError:
        raise RuleFault(
            f"address: {address[:100]!r}: expected mqtt-tcp://HOST:PORT"
        ) from None
    return host in ("localhost", "127.0.0.1", "::1") and port in broker.ports.values()
