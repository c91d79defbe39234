"""What a change by NanoMQ's v4 makes of the configuration.

What is absent or null stays as it is, and so does a secret for which a MASK stands. A list is
all that there will be. Anything that a key cannot have refuses the whole.

Source  NanoMQ 0.8.3 to 0.24, conf_api.c
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nanomq_py.config import Config
from nanomq_py.config.keys.bridges import Bridge, BridgeSubscription
from nanomq_py.config.keys.http_client import HttpAuthRequest
from nanomq_py.core.options import WINDOW
from nanomq_py.http.emqx_v4.configured import (
    BRIDGES,
    USERS,
    Basic,
    Hot,
    Sqlite,
    Tls,
    WebSocket,
    name_of,
)
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.pem import PEM, PemFiles, pem_paths
from nanomq_py.http.values import changed, changed_members, member_name, object_of, refuse
from nanomq_py.kernel.node import node_name


def top_changed(config: Config, at: str, data: object, names: tuple[str, ...]) -> Config:
    """Return it with those of its keys that have no section."""
    given = dict(object_of(at.rstrip(".") or "data", data))
    if config.msq_len is None and given.get("msq_len") == WINDOW:
        del given["msq_len"]  # as it is shown where it is not set
    return changed(config, at, given, names)


def _basic(config: Config, data: object, pem: PemFiles) -> Config:
    return top_changed(config, "basic.", data, Basic.__struct_fields__)


def _tls(config: Config, data: object, pem: PemFiles) -> Config:
    given = dict(object_of("tls", data))
    paths: dict[str, Any] = {**pem_paths(config.tls, given, pem)}
    tls = changed(config.tls, "tls.", given, set(Tls.__struct_fields__) - PEM.keys())
    return replace(config, tls=replace(tls, **paths))


def _auth(config: Config, data: object, pem: PemFiles) -> Config:
    return replace(config, users=changed_members(USERS, config.users, "auth", data))


def _milliseconds(at: str, seconds: object) -> int:
    if not isinstance(seconds, (int, float)) or isinstance(seconds, bool):
        raise refuse(at, "a number of seconds")
    if not 0 <= seconds <= 1_000_000:
        raise refuse(at, "a number of seconds from 0.001 to 3600")
    return round(seconds * 1000)


def _params(at: str, given: object, request: HttpAuthRequest) -> list[str]:
    """Return the parameters; a name alone stands for the one of that name."""
    before = {name_of(each): each for each in request.params}
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise refuse(at, "a list of NAME=VALUE")
    made = [str(before.get(each, each)) for each in given]
    for each in made:
        if "=" not in each:
            raise refuse(at, f"NAME=VALUE, or the name of one that there is, not {each!r}")
    return made


def _asked(at: str, data: object, request: HttpAuthRequest) -> dict[str, Any]:
    given = {name: v for name, v in object_of(at, data).items() if v is not None}
    if "headers" in given:
        headers = object_of(f"{at}.headers", given["headers"])
        given["headers"] = [{"name": n, "value": v} for n, v in headers.items()]
    if "params" in given:
        given["params"] = _params(f"{at}.params", given["params"], request)
    return given


def _auth_http(config: Config, data: object, pem: PemFiles) -> Config:
    given = {name: v for name, v in object_of("auth_http", data).items() if v is not None}
    for name in ("timeout", "connect_timeout"):
        if name in given:
            given[name] = _milliseconds(f"auth_http.{name}", given[name])
    for name in ("auth_req", "acl_req", "super_req"):
        if name in given:
            request = getattr(config.auth_http, name)
            given[name] = _asked(f"auth_http.{name}", given[name], request)
    return replace(config, auth_http=changed(config.auth_http, "auth_http.", given))


def _websocket(config: Config, data: object, pem: PemFiles) -> Config:
    given = object_of("websocket", data)
    names = WebSocket.__struct_fields__
    return replace(config, websocket=changed(config.websocket, "websocket.", given, names))


def _http_server(config: Config, data: object, pem: PemFiles) -> Config:
    given = dict(object_of("http_server", data))
    if "addr" in given:
        given["host"] = given.pop("addr")
    names = ("enable", "port", "host", "username", "password", "auth_type")
    server = changed(config.http_server, "http_server.", given, names)
    return replace(config, http_server=server)


def _sqlite(config: Config, data: object, pem: PemFiles) -> Config:
    given = object_of("sqlite", data)
    names = Sqlite.__struct_fields__
    return replace(config, sqlite=changed(config.sqlite, "sqlite.", given, names))


def _list(at: str, value: object) -> list[Any]:
    if not isinstance(value, list):
        raise refuse(at, "a list")
    return value


def _given(at: str, item: object) -> dict[str, Any]:
    """Return what is said of a forward or a subscription; a text is its topic."""
    given = {"topic": item} if isinstance(item, str) else object_of(at, item)
    return {name: v for name, v in given.items() if v is not None}


def _forwards(at: str, value: object) -> dict[str, Any]:
    """Return the two kinds of forwards: topics alone, and those of which more is said."""
    plain: list[Any] = []
    others: list[dict[str, Any]] = []
    for number, item in enumerate(_list(at, value)):
        given = _given(f"{at}[{number}]", item)
        topic = given.pop("topic", given.get("local_topic"))
        if topic is None:
            raise refuse(f"{at}[{number}]", "local_topic, or topic")
        if given.get("remote_topic") == topic:
            del given["remote_topic"]  # as it is here
        given["local_topic"] = given.get("local_topic", topic)
        if given.keys() - {"local_topic"} or others:
            others.append(given)
        else:
            plain.append(topic)
    return {"forwards": plain, "forward": others}


def _subscriptions(at: str, value: object) -> list[dict[str, Any]]:
    made = []
    for number, item in enumerate(_list(at, value)):
        given = _given(f"{at}[{number}]", item)
        topics = [given.pop(name) for name in ("remote_topic", "topic") if name in given]
        if not topics or any(topic != topics[0] for topic in topics):
            raise refuse(f"{at}[{number}]", "remote_topic, or topic")
        if given.get("local_topic") == topics[0]:
            del given["local_topic"]  # as it is there
        made.append({"topic": topics[0], **given})
    return made


def subscription_of(at: str, item: object) -> BridgeSubscription:
    """Return a subscription of a bridge, in any of NanoMQ's forms. Raises BadParameter."""
    (given,) = _subscriptions(at, [item])
    return changed(BridgeSubscription(), f"{at}.", given)


def _without_null(data: dict[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in data.items() if v is not None}


# Objects whose fields are keys that begin with that; the scheme says whether there is TLS.
_OBJECTS = {"ssl": "ssl", "tls": "ssl", "will": "will"}


def _flat(at: str, data: object) -> dict[str, Any]:
    """Return what is given of a bridge by our keys, whatever objects it stands in."""
    given = _without_null(object_of(at, data))
    given.pop("status", None)  # as it is shown
    for name in ("connector", "others"):
        given.update(_without_null(object_of(f"{at}.{name}", given.pop(name, {}))))
    for name, prefix in _OBJECTS.items():
        its = _without_null(object_of(f"{at}.{name}", given.pop(name, {})))
        if prefix == "ssl":
            its.pop("enable", None)
        given.update({f"{prefix}.{key}": value for key, value in its.items()})
    for name, ours in (("enable", "bridge_mode"), ("server", "address")):
        if name in given:
            given[ours] = given.pop(name)
    return given


def bridge_changed(old: Bridge, at: str, data: object, here: str) -> Bridge:
    """Return a bridge with what is given; ``connector`` may be there, or its fields.

    here  the name of this node
    """
    given = _flat(at, data)
    if old.clientid is None and given.get("clientid") == old.client_id(here):
        del given["clientid"]  # as it is shown where it is not set
    if given.pop("name", old.name) != old.name:
        raise refuse(f"{at}.name", f"{old.name!r}")
    if "forwards" in given:
        given.update(_forwards(f"{at}.forwards", given["forwards"]))
    if "subscription" in given:
        given["subscription"] = _subscriptions(f"{at}.subscription", given["subscription"])
    return changed(old, f"{at}.", given)


def _bridge(config: Config, data: object, pem: PemFiles) -> Config:
    given = object_of("bridge", data)
    for name in given.keys() - {"nodes"}:
        raise BadParameter(f"bridge.{name}: unknown key")
    here = node_name(config)
    old = {each.name: each for each in config.bridges}
    made: dict[str, Bridge] = {}
    for number, node in enumerate(_list("bridge.nodes", given.get("nodes", []))):
        at = f"bridge.nodes[{number}]"
        name = member_name(BRIDGES, f"{at}.name", object_of(at, node).get("name"))
        if name in made:
            raise refuse(f"{at}.name", "each name once")
        made[name] = bridge_changed(old.get(name, Bridge(name=name)), at, node, here)
    return replace(config, bridges=tuple(made.values())) if "nodes" in given else config


_CHANGES: Mapping[str, Callable[[Config, Any, PemFiles], Config]] = {
    "basic": _basic,
    "tls": _tls,
    "auth": _auth,
    "auth_http": _auth_http,
    "websocket": _websocket,
    "http_server": _http_server,
    "sqlite": _sqlite,
    "bridge": _bridge,
}


def configuration_changed(
    config: Config, data: Mapping[str, Any], pem: PemFiles, part: str | None = None
) -> Config:
    """Return the configuration with what ``data`` says. Blocks: it reads PEM files.

    pem     gets the PEM texts that are to be written
    part    the only one that may be given; None: all of them, and what ``/reload`` takes
    Raises  BadParameter naming the key
    """
    hot = {}
    for name, value in data.items():
        if part is None and name in Hot.__struct_fields__:
            hot[name] = value
        elif name not in _CHANGES or part not in (None, name):
            raise BadParameter(f"{name}: unknown key: expected {part or 'a part'}")
        elif value is not None:
            config = _CHANGES[name](config, value, pem)
    return top_changed(config, "", hot, Hot.__struct_fields__)
