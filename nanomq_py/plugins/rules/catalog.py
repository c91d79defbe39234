"""The kinds of actions and of resources that there are, and what may be said of each.

Source  EMQX 4.4, emqx_rule_actions and emqx_web_hook_actions; NanoMQ 0.13, rest_api.c: its
        ``repub`` and ``sqlite``
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nanomq_py.plugins.rules.action import Action, Tools, not_here
from nanomq_py.plugins.rules.faults import UnknownError
from nanomq_py.plugins.rules.lines import write_lines
from nanomq_py.plugins.rules.model import ActionSpec, Params, ResourceSpec
from nanomq_py.plugins.rules.nothing import do_nothing, inspect
from nanomq_py.plugins.rules.republish import nanomq_republish, republish
from nanomq_py.plugins.rules.sqlite_table import put_in_table
from nanomq_py.plugins.rules.webhook import WEB_HOOK, check_web_hook, post

Make = Callable[[Params, Tools], Action]


@dataclass(frozen=True)
class Kind:
    """A kind of action, or of resource.

    category  EMQX's word for what it is for
    types     of resources that it needs
    params    of each parameter: its type, whether it must be there, its default, what it is
    """

    name: str
    title: str
    description: str
    category: str = "data_forward"
    types: tuple[str, ...] = ()
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def _spec(kind: str, about: str, default: Any = None, **more: Any) -> Mapping[str, Any]:
    spec: dict[str, Any] = {"required": False, "type": kind, "description": about, **more}
    if default is not None:
        spec["default"] = default
    return spec


_TOPIC = _spec("string", "The topic to publish to. ${name} is a column.", required=True)
_MADE: tuple[tuple[Kind, Make], ...] = (
    (Kind("inspect", "Inspect (debug)", "Write the row to the log", "debug"), inspect),
    (
        Kind("do_nothing", "Do nothing (debug)", "Succeed, and do nothing", "debug"),
        do_nothing,
    ),
    (
        Kind(
            "republish",
            "Republish",
            "Publish a message to another topic",
            params={
                "target_topic": _TOPIC,
                "target_qos": _spec(
                    "number", "0, 1, 2, -1 for that of the message, ${qos}", 0
                ),
                "target_retain": _spec("boolean", "true, false or ${flags.retain}", False),
                "payload_tmpl": _spec(
                    "string", "The payload. Empty: the row as JSON.", "${payload}"
                ),
            },
        ),
        republish,
    ),
    (
        Kind(
            "repub",
            "Republish, as NanoMQ",
            "Publish the row as JSON",
            params={"topic": _TOPIC, "address": _spec("string", "This broker, or nothing")},
        ),
        nanomq_republish,
    ),
    (
        Kind(
            "data_to_webserver",
            "Data to a web server",
            "Send the row to an HTTP server",
            types=(WEB_HOOK,),
            params={
                "$resource": _spec("string", "The id of a web_hook", required=True),
                "method": _spec("string", "POST", "POST"),
                "path": _spec("string", "Behind the URL of the resource"),
                "headers": _spec("object", "Header lines"),
                "body": _spec("string", "The body. Empty: the row as JSON."),
            },
        ),
        post,
    ),
    (
        Kind(
            "sqlite",
            "Data to SQLite",
            "Put the row into a table of a SQLite file",
            "data_persist",
            params={
                "table": _spec("string", "Its name", required=True),
                "path": _spec(
                    "string", "Name of the file, in the folder of rules", "rules.db"
                ),
                "max_rows": _spec(
                    "number", "The oldest rows go when there are more", 10**6
                ),
            },
        ),
        put_in_table,
    ),
    (
        Kind(
            "file",
            "Data to a file",
            "Write the row as a line, of JSON or CSV",
            "data_persist",
            params={
                "path": _spec(
                    "string", "Name of the file, in the folder of rules", required=True
                ),
                "format": _spec("string", "json or csv. By default as the name says."),
                "max_bytes": _spec("number", "A larger file is put away", 10 << 20),
                "count": _spec("number", "Files that there are at most", 5),
            },
        ),
        write_lines,
    ),
)

ACTIONS: Mapping[str, Kind] = {kind.name: kind for kind, _ in _MADE}
_MAKE: Mapping[str, Make] = {kind.name: make for kind, make in _MADE}
_BRIDGES = ("data_to_mqtt_broker", "data_bridge_mqtt", "bridge_mqtt")

RESOURCES: Mapping[str, Kind] = {
    WEB_HOOK: Kind(
        WEB_HOOK,
        "WebHook",
        "An HTTP server",
        params={
            "url": _spec("string", "http or https", required=True),
            "headers": _spec("object", "Header lines"),
            "request_timeout": _spec("string", "Longest wait for an answer", "5s"),
            "pool_size": _spec("number", "Connections at once", 8),
            "cacertfile": _spec("file", "PEM file of its CAs. Empty: the system's."),
        },
    )
}


def action_kind(name: str) -> Kind:
    """Return a kind of action. Raises NotHereError, UnknownError."""
    if name in _BRIDGES:
        raise not_here(f"action {name}")
    if name not in ACTIONS:
        raise UnknownError(
            f"action {name[:64]!r}: no such action: expected {', '.join(sorted(ACTIONS))}"
        )
    return ACTIONS[name]


def resource_kind(name: str) -> Kind:
    """Return a kind of resource. Raises NotHereError, UnknownError."""
    if name in _BRIDGES:
        raise not_here(f"resource type {name}")
    if name not in RESOURCES:
        raise UnknownError(
            f"type: {name[:64]!r}: no such type: expected {', '.join(sorted(RESOURCES))}"
        )
    return RESOURCES[name]


def make_action(spec: ActionSpec, tools: Tools) -> Action:
    """Return an action that can run. Raises RuleFault."""
    action_kind(spec.name)
    return _MAKE[spec.name](spec.params, tools)


def check_config(spec: ResourceSpec, allow: tuple[str, ...]) -> None:
    """Raise RuleFault for a resource that nothing could use. allow: as for Tools."""
    resource_kind(spec.type)
    check_web_hook(spec.config, allow)
