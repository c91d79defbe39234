"""The configuration, as NanoMQ's v4 shows it: part by part.

What this broker has no such key for is left out. Times of ``auth_http`` are seconds; of its
parameters the names are shown, since a value may be a secret.

Source  NanoMQ 0.8.3 to 0.24, conf_api.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from nanomq_py.config import Config
from nanomq_py.config.declare.family import families_of
from nanomq_py.config.keys.bridges import KEEP_RETAIN, Bridge, BridgeSubscription
from nanomq_py.config.keys.http_client import HttpAuthRequest
from nanomq_py.core.options import WINDOW
from nanomq_py.http.pem import pem_json
from nanomq_py.http.values import MASK, keys_json, members_json
from nanomq_py.kernel.node import node_name

S = TypeVar("S", bound=msgspec.Struct)

_FAMILIES = {declared.name: family for declared, family in families_of(Config)}
USERS, BRIDGES = _FAMILIES["users"], _FAMILIES["bridges"]


class Hot(msgspec.Struct, frozen=True):
    """What NanoMQ changes without a restart; the sizes are KiB."""

    property_size: int
    max_packet_size: int
    client_max_packet_size: int
    msq_len: int
    qos_duration: int
    keepalive_backoff: int
    allow_anonymous: bool


class Basic(msgspec.Struct, frozen=True):
    url: str | None
    num_taskq_thread: int
    max_taskq_thread: int
    parallel: int
    property_size: int
    daemon: bool
    max_packet_size: int
    client_max_packet_size: int
    msq_len: int
    qos_duration: int
    keepalive_backoff: int
    allow_anonymous: bool


class Tls(msgspec.Struct, frozen=True):
    """``key``, ``cert`` and ``cacert`` are the texts of the files."""

    enable: bool
    url: str | None
    key_password: str | None
    key: str | None
    cert: str | None
    cacert: str | None
    verify_peer: bool
    fail_if_no_peer_cert: bool


class Login(msgspec.Struct, frozen=True):
    login: str
    password: str


class Asked(msgspec.Struct, frozen=True):
    """A request to the server that judges clients."""

    url: str | None
    method: str
    headers: dict[str, str]
    params: list[str]


class AuthHttp(msgspec.Struct, frozen=True):
    enable: bool
    timeout: float
    connect_timeout: float
    pool_size: int
    auth_req: Asked
    acl_req: Asked
    super_req: Asked


class WebSocket(msgspec.Struct, frozen=True):
    enable: bool
    url: str | None
    tls_url: str | None


class HttpServer(msgspec.Struct, frozen=True):
    enable: bool
    port: int
    addr: str
    username: str
    password: str
    auth_type: str


class Sqlite(msgspec.Struct, frozen=True):
    enable: bool
    disk_cache_size: int
    flush_mem_threshold: int
    resend_interval: int
    mounted_file_path: str


class Connector(msgspec.Struct, frozen=True):
    """``clientid`` is what is used, given or not."""

    server: str
    proto_ver: int
    clientid: str
    clean_start: bool
    username: str | None
    password: str | None
    keepalive: int


class Forward(msgspec.Struct, frozen=True, omit_defaults=True):
    """One that changes its topic, or something else."""

    local_topic: str
    remote_topic: str = ""
    qos: int | None = None
    retain: int = KEEP_RETAIN
    prefix: str = ""
    suffix: str = ""


class Subscription(msgspec.Struct, frozen=True, omit_defaults=True):
    """NanoMQ has called the topic at the other broker by two names."""

    remote_topic: str
    local_topic: str
    topic: str
    qos: int
    retain: int = KEEP_RETAIN
    prefix: str = ""
    suffix: str = ""


class BridgeNow(msgspec.Struct, frozen=True):
    """What a bridge is like.

    state       paused, connecting, waiting (to connect again) or up
    address     the one in use, or the last that was tried
    attempts    dials since it was last up
    last_error  why it was not connected, or not any more
    refused     why the other broker has refused a subscription
    since       Unix time since when it is up, or is not
    waiting     messages that are to cross
    sent        PUBLISH packets, those sent again too
    """

    state: str
    address: str
    attempts: int
    last_error: str
    refused: str
    since: int
    waiting: int
    waiting_bytes: int
    in_flight: int
    sent: int
    acked: int
    received: int
    dropped: int


class BridgeNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """A bridge; ``others`` has what else is configured, by key, where it is no default."""

    name: str
    enable: bool
    parallel: int
    connector: Connector
    forwards: list[str | Forward]
    subscription: list[Subscription]
    others: dict[str, Any] = {}
    status: BridgeNow | None = None


class Bridges(msgspec.Struct, frozen=True):
    nodes: list[BridgeNode]


class Configuration(msgspec.Struct, frozen=True, omit_defaults=True):
    """All parts, or the one that was asked for."""

    basic: Basic | msgspec.UnsetType = msgspec.UNSET
    tls: Tls | msgspec.UnsetType = msgspec.UNSET
    auth: list[Login] | msgspec.UnsetType = msgspec.UNSET
    auth_http: AuthHttp | msgspec.UnsetType = msgspec.UNSET
    websocket: WebSocket | msgspec.UnsetType = msgspec.UNSET
    http_server: HttpServer | msgspec.UnsetType = msgspec.UNSET
    sqlite: Sqlite | msgspec.UnsetType = msgspec.UNSET
    bridge: Bridges | msgspec.UnsetType = msgspec.UNSET


PARTS = Configuration.__struct_fields__


def _made(shape: type[S], values: dict[str, Any]) -> S:
    return shape(**{name: values[name] for name in shape.__struct_fields__})


def _top(config: Config) -> dict[str, Any]:
    keys = keys_json(config, masked=False)
    return {**keys, "msq_len": config.msq_len or WINDOW}


def hot(config: Config) -> Hot:
    return _made(Hot, _top(config))


def _tls(config: Config, *, masked: bool) -> Tls:
    keys = keys_json(config.tls, masked=masked)
    return _made(Tls, keys | pem_json(config.tls, masked=masked))


def _auth(config: Config, *, masked: bool) -> list[Login]:
    return [_made(Login, each) for each in members_json(USERS, config.users, masked=masked)]


def name_of(parameter: str) -> str:
    """Return the name in ``NAME=VALUE``."""
    return parameter.partition("=")[0]


def _asked(request: HttpAuthRequest, *, masked: bool) -> Asked:
    return Asked(
        request.url,
        request.method,
        {each.name: MASK if masked else each.value for each in request.headers},
        [name_of(each) for each in request.params],
    )


def _auth_http(config: Config, *, masked: bool) -> AuthHttp:
    http = config.auth_http
    return AuthHttp(
        enable=http.enable,
        timeout=http.timeout / 1000,
        connect_timeout=http.connect_timeout / 1000,
        pool_size=http.pool_size,
        auth_req=_asked(http.auth_req, masked=masked),
        acl_req=_asked(http.acl_req, masked=masked),
        super_req=_asked(http.super_req, masked=masked),
    )


def _http_server(config: Config, *, masked: bool) -> HttpServer:
    keys = keys_json(config.http_server, masked=masked)
    return _made(HttpServer, {**keys, "addr": keys["host"]})


_SHOWN = {"bridge_mode", "parallel", "address", "forwards", *Connector.__struct_fields__}


def _others(bridge: Bridge, *, masked: bool) -> dict[str, Any]:
    usual = keys_json(Bridge(), masked=masked)
    keys = keys_json(bridge, masked=masked)
    return {k: v for k, v in keys.items() if k not in _SHOWN and v != usual[k]}


def _subscription(each: BridgeSubscription) -> Subscription:
    here = each.local_topic or each.topic
    return Subscription(
        each.topic, here, each.topic, each.qos, each.retain, each.prefix, each.suffix
    )


def node(
    bridge: Bridge, here: str, now: BridgeNow | None = None, *, masked: bool
) -> BridgeNode:
    """Return a bridge as the API shows it.

    here  the name of this node
    now   what the bridge is like, if it runs
    """
    keys = keys_json(bridge, masked=masked)
    connector = {"server": bridge.address, "clientid": bridge.client_id(here)}
    forwards = [_made(Forward, keys_json(each, masked=masked)) for each in bridge.forward]
    return BridgeNode(
        name=bridge.name,
        enable=bridge.bridge_mode,
        parallel=bridge.parallel,
        connector=_made(Connector, keys | connector),
        forwards=[*bridge.forwards, *forwards],
        subscription=list(map(_subscription, bridge.subscription)),
        others=_others(bridge, masked=masked),
        status=now,
    )


def bridges(config: Config, *, masked: bool) -> Bridges:
    here = node_name(config)
    return Bridges([node(each, here, masked=masked) for each in config.bridges])


def configuration(
    config: Config, part: str | None = None, *, masked: bool
) -> Configuration:
    """Return all parts, or one of PARTS. Blocks: it reads PEM files.

    masked  passwords, headers and the private key are MASK
    """
    made: dict[str, Callable[[], Any]] = {
        "basic": lambda: _made(Basic, _top(config)),
        "tls": lambda: _tls(config, masked=masked),
        "auth": lambda: _auth(config, masked=masked),
        "auth_http": lambda: _auth_http(config, masked=masked),
        "websocket": lambda: _made(WebSocket, keys_json(config.websocket, masked=masked)),
        "http_server": lambda: _http_server(config, masked=masked),
        "sqlite": lambda: _made(Sqlite, keys_json(config.sqlite, masked=masked)),
        "bridge": lambda: bridges(config, masked=masked),
    }
    return Configuration(
        **{name: make() for name, make in made.items() if part in (None, name)}
    )
