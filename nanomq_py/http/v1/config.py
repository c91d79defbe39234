"""The configuration as the JSON of requests 11 and 12 of NanoMQ's HTTP API V1.

Source  nanomq-http-api-v1.txt; http-dialects.md for key_password, qos_duration and PEM texts
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.declare.key import Key, keys_of
from nanomq_py.config.file import write_new
from nanomq_py.config.keys.bridges import Bridge, BridgeSubscription
from nanomq_py.config.values.kind import BadValue, UserInUrl
from nanomq_py.core.options import WINDOW
from nanomq_py.http.v1.reply import Code, Refused

log = logging.getLogger("nanomq.http")

_KEYS = (
    "url",
    "num_taskq_thread",
    "max_taskq_thread",
    "parallel",
    "property_size",
    "msq_len",
    "qos_duration",
    "allow_anonymous",
    "daemon",
)
_TLS = ("enable", "url", "key_password", "verify_peer", "fail_if_no_peer_cert")
_PEM = {"key": "keyfile", "cert": "certfile", "cacert": "cacertfile"}
_WEBSOCKET = ("enable", "url", "tls_url")
_HTTP_SERVER = ("enable", "port", "username", "password", "auth_type")
_BRIDGE = (
    "bridge_mode",
    "address",
    "proto_ver",
    "clientid",
    "clean_start",
    "username",
    "password",
    "keepalive",
    "parallel",
    "forwards",
)
_NEW_BRIDGE = "main"
MASK = "******"  # in place of a secret; request 12 does not change such a value


# --- req 11


def _read_pem(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, ValueError):
        log.warning("%s cannot be read; req 11 answers null for it", path)
        return None


def _texts(section: Any, names: tuple[str, ...], *, masked: bool = False) -> dict[str, Any]:
    values = {name: getattr(section, name) for name in names}
    if masked:
        secret = {declared.name for declared, key in keys_of(type(section)) if key.secret}
        values |= {name: MASK for name in secret & values.keys() if values[name]}
    return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}


def _bridge_json(bridge: Bridge, *, masked: bool) -> dict[str, Any]:
    return {
        **_texts(bridge, _BRIDGE, masked=masked),
        "subscription": [{"topic": s.topic, "qos": s.qos} for s in bridge.subscription],
    }


def _first_bridge(config: Config) -> Bridge:
    return config.bridges[0] if config.bridges else Bridge(name=_NEW_BRIDGE)


def to_json(config: Config, *, masked: bool = False) -> dict[str, Any]:
    """Return the ``data`` of req 11; ``bridge`` is the first bridge. Blocks: PEM files.

    masked  passwords and the private key are MASK
    """
    tls = config.tls
    pem = {name: _read_pem(getattr(tls, attribute)) for name, attribute in _PEM.items()}
    if masked and pem["key"] is not None:
        pem["key"] = MASK
    return {
        **_texts(config, _KEYS),
        "url": config.url or "",
        "msq_len": config.msq_len or WINDOW,
        "tls": {
            **_texts(tls, ("enable", "url", "key_password"), masked=masked),
            **pem,
            **_texts(tls, ("verify_peer", "fail_if_no_peer_cert")),
        },
        "websocket": _texts(config.websocket, _WEBSOCKET),
        "http_server": _texts(config.http_server, _HTTP_SERVER, masked=masked),
        "bridge": _bridge_json(_first_bridge(config), masked=masked),
    }


# --- req 12


def _refuse(name: str, expected: str) -> Refused:
    return Refused(400, Code.REQ_PARAM_ERROR, f"{name}: expected {expected}")


def _value(name: str, key: Key, value: object) -> Any:
    """Return the value of a key. Raises Refused."""
    kind = key.kind
    texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
    if type(value) is not kind.json or (kind.json is list and not texts):
        raise _refuse(name, kind.expected)
    try:
        parsed = kind.parse(kind.render(tuple(value) if isinstance(value, list) else value))
    except UserInUrl:
        raise _refuse(name, key.no_user) from None
    except BadValue as bad:
        raise _refuse(name, bad.expected(kind.expected)) from None
    if isinstance(value, list) and list(parsed) != value:
        raise _refuse(name, kind.expected)
    return parsed


S = TypeVar("S")


def _changed(section: S, prefix: str, data: Mapping[str, Any], names: tuple[str, ...]) -> S:
    """Return the section with the values of ``data``; null, or a MASK, leaves one alone."""
    keys = {declared.name: key for declared, key in keys_of(type(section))}
    values = {}
    for name, value in data.items():
        if name not in names:
            raise Refused(400, Code.REQ_PARAM_ERROR, f"{prefix}{name}: unknown key")
        if value is not None and not (keys[name].secret and value == MASK):
            values[name] = _value(f"{prefix}{name}", keys[name], value)
    changed: S = replace(section, **values)  # type: ignore[type-var]
    return changed


def _object(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refuse(name, "an object")
    return value


def _subscriptions(value: object) -> tuple[BridgeSubscription, ...]:
    name = "bridge.subscription"
    if not isinstance(value, list):
        raise _refuse(name, "a list of objects with topic and qos")
    made = []
    for number, item in enumerate(value):
        at = f"{name}[{number}]"
        subscription = _changed(
            BridgeSubscription(), f"{at}.", _object(at, item), ("topic", "qos")
        )
        if not subscription.topic:
            raise _refuse(f"{at}.topic", "a topic filter")
        made.append(subscription)
    return tuple(made)


def _bridges(config: Config, data: dict[str, Any]) -> tuple[Bridge, ...]:
    given = {name: value for name, value in data.items() if value is not None}
    if isinstance(version := given.get("proto_ver"), str) and version.isdigit():
        given["proto_ver"] = int(version[:3])  # a text, as the document's table has it
    subscription = given.pop("subscription", None)
    old = _first_bridge(config)
    bridge = _changed(old, "bridge.", given, _BRIDGE)
    if subscription is not None:
        bridge = replace(bridge, subscription=_subscriptions(subscription))
    if bridge == old:
        return config.bridges
    return (bridge, *config.bridges[1:])


@dataclass
class PemFiles:
    """PEM texts of a request, on their way to files beside the configuration file."""

    conf: Path | None
    texts: dict[Path, str] = field(default_factory=dict, repr=False)
    _made: list[Path] = field(default_factory=list)

    def path_for(self, name: str, text: str) -> str:
        """Return where the text will be. Raises Refused."""
        if "-----BEGIN " not in text or "\0" in text or not text.isascii():
            raise _refuse(f"tls.{name}", "the text of a PEM file")
        if self.conf is None:
            raise Refused(
                400,
                Code.REQ_PARAM_ERROR,
                f"tls.{name}: the broker was started without a file to keep it beside",
            )
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        path = self.conf.with_name(f"{self.conf.stem}-{name}-{digest}.pem")
        self.texts[path] = text
        return str(path)

    def write(self) -> None:
        """Write them, for the owner only. Raises ConfigError, and leaves none."""
        for path, text in self.texts.items():
            if path.exists():
                continue
            try:
                write_new(path, text.encode(), 0o600)
            except OSError as fault:
                self.remove()
                raise ConfigError(f"{path}: not written: {fault.strerror}") from None
            self._made.append(path)

    def remove(self) -> None:
        """Take back what :meth:`write` did."""
        for path in self._made:
            path.unlink(missing_ok=True)
        self._made.clear()

    def remove_old(self) -> None:
        """Remove those that neither the file nor its ``.bak`` names any more."""
        if self.conf is None or not self.texts:
            return
        backup = self.conf.with_name(f"{self.conf.name}.bak")
        said = "".join(
            path.read_text(encoding="utf-8", errors="replace")
            for path in (self.conf, backup)
            if path.exists()
        )
        pattern = re.escape(self.conf.stem) + r"-(key|cert|cacert)-[0-9a-f]{16}\.pem"
        for path in self.conf.parent.iterdir():
            if re.fullmatch(pattern, path.name) and path.name not in said:
                path.unlink(missing_ok=True)


def _tls(config: Config, data: dict[str, Any], pem: PemFiles) -> Any:
    rest = dict(data)
    if "keypass" in rest:  # the document's table calls it so
        rest.setdefault("key_password", rest.pop("keypass"))
    paths: dict[str, Any] = {}
    for name, attribute in _PEM.items():
        text = rest.pop(name, None)
        if text is None or (name == "key" and text == MASK):
            continue
        if not isinstance(text, str):
            raise _refuse(f"tls.{name}", "the text of a PEM file")
        if text != _read_pem(getattr(config.tls, attribute)):
            paths[attribute] = pem.path_for(name, text)
    return replace(_changed(config.tls, "tls.", rest, _TLS), **paths)


def from_json(config: Config, data: object, pem: PemFiles) -> Config:
    """Return the configuration with the values of a req 12. Blocks: it reads PEM files.

    pem     gets the PEM texts that are to be written
    Raises  Refused naming the key
    """
    rest = dict(_object("data", data))
    if config.msq_len is None and rest.get("msq_len") == WINDOW:
        del rest["msq_len"]  # as req 11 shows it: not set
    sections: Mapping[str, Callable[[dict[str, Any]], Any]] = {
        "tls": lambda part: _tls(config, part, pem),
        "websocket": lambda part: _changed(
            config.websocket, "websocket.", part, _WEBSOCKET
        ),
        "http_server": lambda part: _changed(
            config.http_server, "http_server.", part, _HTTP_SERVER
        ),
    }
    changed: dict[str, Any] = {}
    for name, read in sections.items():
        if (part := rest.pop(name, None)) is not None:
            changed[name] = read(_object(name, part))
    if (part := rest.pop("bridge", None)) is not None:
        changed["bridges"] = _bridges(config, _object("bridge", part))
    return replace(_changed(config, "", rest, _KEYS), **changed)
