"""Makes our bridges of the connections of a ``mosquitto.conf``.

Source  mosquitto.conf(5) of mosquitto 2.0 and 2.1, "Configuring Bridges"
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from nanomq_py.importing.draft import Draft, Option
from nanomq_py.importing.options import (
    Take,
    as_it_is,
    lost,
    needless,
    number,
    unless,
    word,
)

_OF_BRIDGES = re.compile(
    r"bridge_.+|(?:local|remote)_(?:cleansession|clientid|password|username)"
    r"|notifications?(?:_topic|_local_only)?|address(?:es)?|connection|topic"
    r"|cleansession|clientid|username|password|start_type|threshold|try_private"
    r"|idle_timeout|keepalive_interval|restart_timeout|round_robin"
)
_DIRECTIONS = ("out", "in", "both")
_BOOL = {"true": "true", "false": "false"}
_NO_LOCAL = "a bridge is no client here: rules of access do not judge it"
_SECRET = ("password", "psk")


def is_of_bridge(option: Option) -> bool:
    """Return whether a line belongs to a connection to another broker."""
    return _OF_BRIDGES.fullmatch(option.name) is not None


def _version(at: str) -> Take:
    words = {"mqttv311": "4", "mqttv50": "5", "mqttv31": "4"}
    return word(f"{at}proto_ver", words, "expected mqttv311 or mqttv50")


def _restart(at: str) -> Take:
    """Take ``restart_timeout BASE [CAP]``, or one constant."""

    def take(draft: Draft, option: Option) -> None:
        base, _, cap = option.value.partition(" ")
        draft.put(f"{at}backoff_min", f"{base}s", option)
        draft.put(f"{at}backoff_max", f"{cap.strip() or base}s", option)

    return take


def _start(at: str) -> Take:
    def take(draft: Draft, option: Option) -> None:
        if option.value in ("lazy", "once"):
            draft.lose(option, "a bridge always connects, and again")
        elif option.value == "manual":
            draft.put(f"{at}paused", "true", option)

    return take


def _of_one(at: str) -> Mapping[str, Take]:
    """Return what becomes of the options of the connection whose keys begin with that."""
    return {
        "remote_clientid": as_it_is(f"{at}clientid"),
        "clientid": as_it_is(f"{at}clientid"),
        "remote_username": as_it_is(f"{at}username"),
        "username": as_it_is(f"{at}username"),
        "remote_password": as_it_is(f"{at}password"),
        "password": as_it_is(f"{at}password"),
        "cleansession": word(f"{at}clean_start", _BOOL, "expected true or false"),
        "keepalive_interval": as_it_is(f"{at}keepalive"),
        "restart_timeout": _restart(at),
        "start_type": _start(at),
        "try_private": word(f"{at}try_private", _BOOL, "expected true or false"),
        "bridge_protocol_version": _version(at),
        "bridge_cafile": as_it_is(f"{at}ssl.cacertfile"),
        "bridge_capath": lost("expected one file of CAs here: ssl.cacertfile"),
        "bridge_certfile": as_it_is(f"{at}ssl.certfile"),
        "bridge_keyfile": as_it_is(f"{at}ssl.keyfile"),
        "bridge_insecure": unless(
            "false",
            word(f"{at}ssl.verify_peer", {"true": "false"}, "expected true or false"),
        ),
        "bridge_tls_version": needless("TLS 1.2 and 1.3 are spoken"),
        "bridge_tls_use_os_certs": needless("the system's CAs hold without ssl.cacertfile"),
        "bridge_alpn": lost("ALPN is not asked for"),
        "bridge_identity": lost("a bridge has a certificate, and no pre-shared key"),
        "bridge_psk": lost(
            "a bridge has a certificate, and no pre-shared key", secret=True
        ),
        "bridge_max_packet_size": lost("the other broker says how large packets may be"),
        "bridge_outgoing_retain": unless(
            "true", lost("forward.N.retain=0 is the key for it here")
        ),
        "bridge_attempt_unsubscribe": needless("what is unsubscribed is told once"),
        "bridge_receive_maximum": number(f"{at}max_inflight", instead={"0": "65535"}),
        "bridge_session_expiry_interval": as_it_is(
            f"{at}conn_properties.session_expiry_interval"
        ),
        "bridge_bind_address": lost("the system chooses the address"),
        "round_robin": unless("false", lost("the first address is used again: failback")),
        "notifications": needless("$SYS/brokers/NODE/bridge/NAME/state tells it here"),
        "notifications_local_only": needless("it is told here alone"),
        "notification_topic": lost("$SYS/brokers/NODE/bridge/NAME/state tells it here"),
        "local_clientid": needless("a bridge is no client here"),
        "local_username": lost(_NO_LOCAL),
        "local_password": lost(_NO_LOCAL, secret=True),
        "local_cleansession": needless("what waits is kept"),
        "idle_timeout": needless("a bridge is never lazy"),
        "threshold": needless("a bridge is never lazy"),
    }


@dataclass
class _Connection:
    begins: Option
    name: str
    lines: list[Option] = field(default_factory=list)


def _connections(draft: Draft, lines: list[Option]) -> Iterator[_Connection]:
    """Yield the connections, each with a name of its own that is one here."""
    current: _Connection | None = None
    names: set[str] = set()
    for option in lines:
        if option.name == "connection":
            if current is not None:
                yield current
            plain = re.sub(r"[^A-Za-z0-9_-]", "-", option.value)[:56] or "bridge"
            name, count = plain, 1
            while name in names:
                count += 1
                name = f"{plain}-{count}"
            names.add(name)
            current = _Connection(option, name)
        elif current is not None:
            current.lines.append(option)
        else:
            secret = option.name.endswith(_SECRET)
            draft.lose(option, "expected a connection before it", secret=secret)
    if current is not None:
        yield current


def _addresses(connection: _Connection) -> list[str]:
    given = [o.value for o in connection.lines if o.name in ("address", "addresses")]
    has_tls = any(
        o.name in ("bridge_cafile", "bridge_capath", "bridge_tls_use_os_certs")
        and o.value != "false"
        for o in connection.lines
    )
    scheme = "tls+mqtt-tcp" if has_tls else "mqtt-tcp"
    made = []
    for text in " ".join(given).split():
        host, sign, port = text.rpartition(":")
        if not sign or text.endswith("]"):
            host, port = text, "8883" if has_tls else "1883"
        made.append(f"{scheme}://{host}:{port}")
    return made


@dataclass(frozen=True)
class _Topic:
    """A ``topic`` line: PATTERN DIRECTION QOS LOCAL-PREFIX REMOTE-PREFIX."""

    here: str
    there: str
    direction: str
    qos: str


def _topic(option: Option) -> _Topic | None:
    """Return what the line says; None: it cannot be read."""
    try:
        pattern, *rest = shlex.split(option.value)
    except ValueError:
        return None
    direction = rest.pop(0) if rest else "out"
    qos = rest.pop(0) if rest else "0"
    here, there = (*rest, "", "")[:2]
    if direction not in _DIRECTIONS or len(rest) > 2:
        return None
    return _Topic(f"{here}{pattern}", f"{there}{pattern}", direction, qos)


def _take_topics(draft: Draft, at: str, lines: list[Option]) -> None:
    counts = {"forward": 0, "subscription": 0}

    def put(family: str, option: Option, **keys: str) -> None:
        counts[family] += 1
        for name, value in keys.items():
            draft.put(f"{at}{family}.{counts[family]}.{name}", value, option)

    for option in lines:
        topic = _topic(option)
        if topic is None:
            draft.lose(
                option, "expected PATTERN out|in|both QOS LOCAL-PREFIX REMOTE-PREFIX"
            )
            continue
        if topic.direction != "in":
            more = {} if topic.there == topic.here else {"remote_topic": topic.there}
            put("forward", option, local_topic=topic.here, qos=topic.qos, **more)
        if topic.direction != "out":
            more = {} if topic.there == topic.here else {"local_topic": topic.here}
            put("subscription", option, topic=topic.there, qos=topic.qos, **more)


def take_bridges(draft: Draft, lines: list[Option]) -> None:
    """Put the connections into the draft."""
    for connection in _connections(draft, lines):
        at = f"bridge.mqtt.{connection.name}."
        addresses = _addresses(connection)
        if not addresses:
            draft.lose(connection.begins, "expected an address")
            continue
        draft.put(f"{at}bridge_mode", "true", connection.begins)
        draft.put(f"{at}address", addresses[0], connection.begins)
        if addresses[1:]:
            draft.put(f"{at}hybrid_servers", ",".join(addresses[1:]), connection.begins)
        draft.put(f"{at}clean_start", "false", connection.begins)
        _take_topics(draft, at, [o for o in connection.lines if o.name == "topic"])
        table = _of_one(at)
        for option in connection.lines:
            if option.name in table:
                table[option.name](draft, option)
            elif option.name not in ("topic", "address", "addresses"):
                secret = option.name.endswith(_SECRET)
                draft.lose(option, "an option that is not known here", secret=secret)
