"""The configuration as the JSON of requests 11 and 12 of NanoMQ's HTTP API V1.

The document's fields come first; ``bridge`` is the first bridge. Behind them are ``plugins``,
where any is loaded, and each section that a part of the process brings, by its prefix.

Source  nanomq-http-api-v1.txt; http-dialects.md for key_password, qos_duration and PEM texts
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from nanomq_py.config import Config
from nanomq_py.config.declare.section import Brought
from nanomq_py.config.keys.bridges import Bridge, BridgeSubscription
from nanomq_py.core.options import WINDOW
from nanomq_py.http.pem import PEM, PemFiles, pem_json, pem_paths
from nanomq_py.http.values import (
    changed,
    keys_json,
    object_of,
    values_json,
)

# The document's fields, in its order: a configuration has more keys than these. But for those
# of PEM each is a key, and has its name.
KEYS = (
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
SECTIONS = {
    "tls": (
        "enable",
        "url",
        "key_password",
        "key",
        "cert",
        "cacert",
        "verify_peer",
        "fail_if_no_peer_cert",
    ),
    "websocket": ("enable", "url", "tls_url"),
    "http_server": ("enable", "port", "username", "password", "auth_type"),
}
# Sections that the document does not have; they are shown where they say something.
_OWN_SECTIONS = {"plugins": ("load",)}
_NEW_BRIDGE = "main"
# Those of the bridge; what else it has is shown where it is not the default.
_BRIDGE = (
    *("bridge_mode", "address", "proto_ver", "clientid", "clean_start", "username"),
    *("password", "keepalive", "parallel", "forwards", "subscription"),
)
_SUBSCRIPTION = ("topic", "qos")


def _first_bridge(config: Config) -> Bridge:
    return config.bridges[0] if config.bridges else Bridge(name=_NEW_BRIDGE)


# --- req 11


def _told(data: dict[str, Any], usual: dict[str, Any], always: Sequence[str]) -> Any:
    return {k: v for k, v in data.items() if k in always or v != usual.get(k)}


def bridge_json(bridge: Bridge, *, masked: bool) -> dict[str, Any]:
    """Return a bridge as the document has it, and what else is not the default."""
    usual = values_json(Bridge(), masked=masked)
    of_one = values_json(BridgeSubscription(), masked=masked)
    data: dict[str, Any] = _told(values_json(bridge, masked=masked), usual, _BRIDGE)
    data["subscription"] = [
        _told(each, of_one, _SUBSCRIPTION) for each in data["subscription"]
    ]
    return data


def to_json(config: Config, *, masked: bool = False) -> dict[str, Any]:
    """Return the ``data`` of req 11. Blocks: it reads PEM files.

    masked  passwords and the private key are MASK
    """
    keys = keys_json(config, masked=masked)
    data = {name: keys[name] for name in KEYS}
    data["url"] = config.url or ""
    data["msq_len"] = config.msq_len or WINDOW
    for name, fields in SECTIONS.items():
        values = keys_json(getattr(config, name), masked=masked)
        if name == "tls":
            values |= pem_json(config.tls, masked=masked)
        data[name] = {field: values[field] for field in fields}
    data["bridge"] = bridge_json(_first_bridge(config), masked=masked)
    if config.plugins.load:
        data["plugins"] = keys_json(config.plugins, masked=masked)
    for section, values in config.brought:
        data[section.prefix] = values_json(values, masked=masked)
    return data


# --- req 12


def from_json(config: Config, data: object, pem: PemFiles) -> Config:
    """Return the configuration with the values of a req 12. Blocks: it reads PEM files.

    pem     gets the PEM texts that are to be written
    Raises  BadParameter naming the key
    """
    rest = {name: v for name, v in object_of("data", data).items() if v is not None}
    if config.msq_len is None and rest.get("msq_len") == WINDOW:
        del rest["msq_len"]  # as req 11 shows it: not set
    made: dict[str, Any] = {}
    for name, fields in (SECTIONS | _OWN_SECTIONS).items():
        if name in rest:
            part = dict(object_of(name, rest.pop(name)))
            paths = pem_paths(config.tls, part, pem) if name == "tls" else {}
            keys = set(fields) - PEM.keys()
            section = changed(getattr(config, name), f"{name}.", part, keys)
            made[name] = replace(section, **paths)
    if "bridge" in rest:
        made["bridges"] = _bridges(config, object_of("bridge", rest.pop("bridge")))
    made["brought"] = tuple(
        Brought(section, _brought(section.prefix, values, rest))
        for section, values in config.brought
    )
    return replace(changed(config, "", rest, KEYS), **made)


def _brought(name: str, values: Any, rest: dict[str, Any]) -> Any:
    """Return the values of a part's section with those of a request, which are taken."""
    if name not in rest:
        return values
    return changed(values, f"{name}.", object_of(name, rest.pop(name)))


def _bridges(config: Config, data: dict[str, Any]) -> tuple[Bridge, ...]:
    if isinstance(version := data.get("proto_ver"), str) and version.isdigit():
        # A text, as the document's table has it.
        data = {**data, "proto_ver": int(version[:3])}
    old = _first_bridge(config)
    bridge = changed(old, "bridge.", data)
    if bridge == old:
        return config.bridges
    return (bridge, *config.bridges[1:])
