"""NanoMQ's HTTP API V1: one path, ``/api/v1``, that dispatches by request code.

Source  nanomq-http-api-v1.txt for fields and examples; http-dialects.md for what it leaves open
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import orjson
from starlette.requests import Request
from starlette.responses import Response

from nanomq_py.config.model import Bridge, Config
from nanomq_py.http.guard import Guard
from nanomq_py.http.reply import Code, Refused, json_response
from nanomq_py.records import Client, Stats

log = logging.getLogger("nanomq.http")

MAX_BODY_BYTES = 1 << 20
U64_MAX = (1 << 64) - 1
EXAMPLE_BRIDGE = Bridge()


class View(Protocol):
    """What the handlers call of a Broker."""

    @property
    def config(self) -> Config: ...

    def stats(self) -> Stats: ...

    def clients(self) -> list[Client]: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One request that was understood."""

    req: int
    seq: int
    fields: Mapping[str, Any]


def get_brokers(view: View, call: Call) -> dict[str, int]:
    """req 2: statistics. ``client_size`` counts connected clients with a subscription."""
    stats = view.stats()
    return {
        "client_size": stats.subscribers,
        "message_in": stats.messages_in,
        "message_out": stats.messages_out,
        "message_drop": stats.messages_dropped,
    }


def get_subscriptions(view: View, call: Call) -> list[dict[str, Any]]:
    """req 4: every client with subscriptions, once, with all of its filters."""
    return [
        {
            "client_id": client.client_id,
            "subscriptions": [
                {"topic": sub.topic_filter, "qos": sub.qos} for sub in client.subscriptions
            ],
        }
        for client in view.clients()
        if client.subscriptions
    ]


def get_clients(view: View, call: Call) -> list[dict[str, Any]]:
    """req 5: connected clients, and those whose session is kept (``connect_status`` 0)."""
    return [
        {
            "client_id": client.client_id,
            "username": client.user_name or "",
            "keepalive": client.keep_alive_s,
            "protocol": client.version,
            "connect_status": int(client.connected),
            "message_receive": client.messages_sent,
        }
        for client in view.clients()
    ]


def _pem(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        log.warning("%s cannot be read; req 11 answers null for it", path)
        return None


def _bridge(bridge: Bridge) -> dict[str, Any]:
    return {
        "bridge_mode": bridge.bridge_mode,
        "address": bridge.address,
        "proto_ver": bridge.proto_ver,
        "clientid": bridge.clientid,
        "clean_start": bridge.clean_start,
        "username": bridge.username,
        "password": bridge.password,
        "keepalive": bridge.keepalive,
        "parallel": bridge.parallel,
        "forwards": list(bridge.forwards),
        "subscription": [{"topic": s.topic, "qos": s.qos} for s in bridge.subscription],
    }


def get_config(view: View, call: Call) -> dict[str, Any]:
    """req 11: the configuration that runs; ``bridge`` is the first bridge."""
    config = view.config
    tls, web, http = config.tls, config.websocket, config.http_server
    return {
        "url": config.url or "",
        "num_taskq_thread": config.num_taskq_thread,
        "max_taskq_thread": config.max_taskq_thread,
        "parallel": config.parallel,
        "property_size": config.property_size,
        "msq_len": config.msq_len,
        "qos_duration": config.qos_duration,
        "allow_anonymous": config.allow_anonymous,
        "daemon": config.daemon,
        "tls": {
            "enable": tls.enable,
            "url": tls.url,
            "key_password": tls.key_password,
            "key": _pem(tls.keyfile),
            "cert": _pem(tls.certfile),
            "cacert": _pem(tls.cacertfile),
            "verify_peer": tls.verify_peer,
            "fail_if_no_peer_cert": tls.fail_if_no_peer_cert,
        },
        "websocket": {"enable": web.enable, "url": web.url, "tls_url": web.tls_url},
        "http_server": {
            "enable": http.enable,
            "port": http.port,
            "username": http.username,
            "password": http.password,
            "auth_type": http.auth_type,
        },
        "bridge": _bridge(config.bridges[0] if config.bridges else EXAMPLE_BRIDGE),
    }


HANDLERS: Mapping[int, Callable[[View, Call], Any]] = {
    2: get_brokers,
    4: get_subscriptions,
    5: get_clients,
    11: get_config,
}


@dataclass(slots=True)
class Envelope:
    """What is known of a request so far, for its answer."""

    seq: int = 0
    req: int | None = None

    def error(self, code: Code, message: str = "") -> dict[str, Any]:
        content: dict[str, Any] = {"code": int(code), "seq": self.seq}
        if self.req is not None:
            content["rep"] = self.req
        if message:
            content["message"] = message
        return content


def _is_whole(value: object, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= high


def _fill(envelope: Envelope, fields: dict[str, Any]) -> None:
    """Take what can be read of seq and req, so that an error can echo it."""
    if _is_whole(fields.get("seq"), U64_MAX):
        envelope.seq = fields["seq"]
    if _is_whole(fields.get("req"), (1 << 31) - 1):
        envelope.req = fields["req"]


def parse(body: bytes, envelope: Envelope) -> Call:
    """Return the call in a body. Raises Refused; never anything else, for any bytes."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        raise Refused(400, Code.REQ_PARAMS_JSON_FORMAT_ILLEGAL, "expected a JSON object")
    _fill(envelope, fields)
    for name in ("req", "seq"):
        if name not in fields:
            raise Refused(400, Code.MISSING_KEY_REQUEST_PARAMS, f"{name}: missing")
    if not _is_whole(fields["seq"], U64_MAX):
        raise Refused(400, Code.REQ_PARAM_ERROR, "seq: expected a whole number of 64 bits")
    if isinstance(fields["req"], bool) or not isinstance(fields["req"], int):
        raise Refused(400, Code.REQ_PARAM_ERROR, "req: expected a whole number")
    if fields["req"] not in HANDLERS:
        raise Refused(404, Code.REQ_PARAM_ERROR, f"req: {fields['req']} is not known")
    return Call(fields["req"], fields["seq"], fields)


async def _body(request: Request) -> bytes:
    """Return the body, of 1 MiB at most, whatever its Content-Type says."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Refused(400, Code.REQ_PARAM_ERROR, "the body is larger than 1 MiB")
    return bytes(body)


def make_endpoint(view: View, guard: Guard) -> Callable[[Request], Any]:
    """Return the handler of ``/api/v1``."""

    async def endpoint(request: Request) -> Response:
        envelope = Envelope()
        try:
            guard.check(request.headers.get("authorization"))
            call = parse(await _body(request), envelope)
            data = HANDLERS[call.req](view, call)
        except Refused as refused:
            content = envelope.error(refused.code, refused.message)
            return json_response(content, refused.status, refused.headers)
        except Exception:
            log.exception("req %s failed", envelope.req)
            return json_response(envelope.error(Code.UNKNOWN_MISTAKE), 500)
        return json_response(
            {"code": Code.SUCCEED, "seq": call.seq, "rep": call.req, "data": data}
        )

    return endpoint
