"""The nested form's names, which newer NanoMQ gave its keys, as those of the flat form.

Both spellings are read in a nested file; the later one counts. Where NanoMQ switches a feature
on by its section being there, so does this.

Source  etc/nanomq_example.conf of NanoMQ 0.19
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from nanomq_py.config.entries import Entry
from nanomq_py.config.nested import Items, Node, Scalar, Section

_IMPLIED = -1  # comes before everything that is written
# NanoMQ's dotted path -> the flat name; the first that matches counts, None: no such thing
# here, and nothing that a client could notice.
_BRIDGE = r"bridges\.mqtt\.([^.]+)\."
_NAMES: list[tuple[re.Pattern[str], str | None]] = [
    (re.compile(pattern), name)
    for pattern, name in [
        (r"mqtt\.(max_inflight_window|max_awaiting_rel|await_rel_timeout)", None),
        (r"mqtt\.max_mqueue_len", "msq_len"),
        (r"mqtt\.retry_interval", "qos_duration"),
        (r"mqtt\.keepalive_multiplier", "keepalive_backoff"),
        (r"(?:system|mqtt)\.(.+)", r"\1"),
        (r"listeners\.(?:tcp|ssl|ws|wss)\.enable", None),
        (r"listeners\.tcp\.(?:bind|url)", "url"),
        (r"listeners\.ssl\.(?:bind|url)", "tls.url"),
        (r"listeners\.ws\.(?:bind|url)", "websocket.url"),
        (r"listeners\.wss\.(?:bind|url)", "websocket.tls_url"),
        (r"listeners\.ssl\.(key.*|cert.*|cacert.*|verify.*|fail.*|min.*)", r"tls.\1"),
        (r"listeners\.ssl\.(.+)", r"listener.tls.\1"),
        (
            r"listeners\.wss\.(key.*|cert.*|cacert.*|verify.*|fail.*)",
            r"listener.wss.tls.\1",
        ),
        (r"listeners\.(.+)", r"listener.\1"),
        (r"http_server\.limit_conn", None),
        (r"auth\.allow_anonymous", "allow_anonymous"),
        (r"auth\.no_match", "acl_nomatch"),
        (r"auth\.deny_action", "acl_deny_action"),
        (r"auth\.cache\..+", None),
        (r"auth\.http_auth\.(.+)", r"auth.http.\1"),
        (_BRIDGE + r"server", r"bridge.mqtt.\1.address"),
        (_BRIDGE + r"enable", r"bridge.mqtt.\1.bridge_mode"),
        (_BRIDGE + r"max_parallel_processes", r"bridge.mqtt.\1.parallel"),
        (
            _BRIDGE + r"(?:(?:conn_properties|sub_properties|will|ssl|tls|tcp)\..+|quic_.+"
            r"|hybrid_.+|backoff_max|max_(?:send|recv)_queue_len|resend_.+|cancel_timeout"
            r"|transparent)",
            None,
        ),
        (r"bridges\.mqtt\.cache\..+|(?:bridges\.aws|rules|parquet|exchange)\..+", None),
        (r"bridges\.(.+)", r"bridge.\1"),
        (r"webhook\.body\.encoding", "web.hook.body.encoding_of_payload_field"),
        (r"webhook\.(.+)", r"web.hook.\1"),
    ]
]
_SCHEMES = {
    "url": "nmq-tcp",
    "tls.url": "tls+nmq-tcp",
    "websocket.url": "nmq-ws",
    "websocket.tls_url": "nmq-wss",
}
# A section that is there -> what that switches on.
_SWITCHES = {
    "listeners.ssl": "tls.enable",
    "webhook": "web.hook.enable",
    "auth.http_auth": "auth.http.enable",
    "sqlite": "sqlite.enable",
}


@dataclass(frozen=True)
class _Named:
    """One entry with its turn, or a list that begins a family of entries anew."""

    order: int
    entry: Entry | None
    family: str = ""


def _flat_name(path: tuple[str, ...]) -> str | None:
    dotted = ".".join(path)
    for pattern, name in _NAMES:
        if (found := pattern.fullmatch(dotted)) is not None:
            return None if name is None else found.expand(name)
    return dotted


def _plain(node: Node) -> object:
    """Return the node as what JSON has; texts that look like numbers stay texts."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Items):
        return [_plain(item) for item in node.items]
    return {name: _plain(part) for name, part in node.parts.items()}


def _first(node: Node) -> int:
    """Return the turn of the first value in it."""
    if isinstance(node, Section):
        return min((_first(part) for part in node.parts.values()), default=_IMPLIED)
    return node.order


def _scalar(path: tuple[str, ...], node: Scalar) -> Iterator[_Named]:
    if path[:2] == ("auth", "password") and len(path) == 3:
        # auth.password.USER = PASSWORD; 900,000,000 and on are nobody's in the flat form
        number = 900_000_000 + node.order
        for part, value in (("login", path[2]), ("password", node.text)):
            flat = f"auth.{number}.{part}"
            yield _Named(node.order, Entry(flat, value, node.where))
        return
    name = _flat_name(path)
    if name is None:
        return
    text = node.text
    if name in _SCHEMES and "://" not in text and text:
        yield _Named(node.order, Entry(name, f"{_SCHEMES[name]}://{text}", node.where))
    else:
        yield _Named(node.order, Entry(name, text, node.where, node.at))


def _members(
    family: str, node: Items, names: dict[str, tuple[str, ...]]
) -> Iterator[_Named]:
    """Yield ``FAMILY.N.NAME`` for the sections of a list; each NAME has spellings."""
    yield _Named(node.order, None, family)
    for number, item in enumerate(node.items, start=1):
        parts = item.parts if isinstance(item, Section) else {"topic": item}
        for name, spellings in names.items():
            found = next((parts[s] for s in spellings if s in parts), None)
            if isinstance(found, Scalar):
                flat = f"{family}.{number}.{name}"
                yield _Named(found.order, Entry(flat, found.text, found.where))


def _webhook_events(node: Items) -> Iterator[_Named]:
    for number, item in enumerate(node.items, start=1):
        parts = item.parts if isinstance(item, Section) else {}
        event = parts.get("event")
        if isinstance(event, Scalar):
            kind = event.text.removeprefix("on_").replace("_", ".", 1)
            rule = {"action": event.text}
            if isinstance(topic := parts.get("topic"), Scalar):
                rule["topic"] = topic.text
            name = f"web.hook.rule.{kind}.{number}"
            yield _Named(event.order, Entry(name, json.dumps(rule), event.where))


def _items(path: tuple[str, ...], node: Items) -> Iterator[_Named]:
    dotted = ".".join(path)
    if dotted in ("auth.acl.rules", "acl.rules"):
        yield _Named(node.order, None, "acl.rule")
        for number, item in enumerate(node.items, start=1):
            text = json.dumps(_plain(item), ensure_ascii=False)
            yield _Named(node.order, Entry(f"acl.rule.{number}", text, item.where))
    elif dotted == "webhook.events":
        yield from _webhook_events(node)
    elif found := re.fullmatch(r"bridges?\.mqtt\.([^.]+)\.subscription", dotted):
        names = {"topic": ("remote_topic", "topic"), "qos": ("qos",)}
        yield from _members(f"bridge.mqtt.{found[1]}.subscription", node, names)
    elif (name := _flat_name(path)) is not None:
        texts = [_text_of(item) for item in node.items]
        yield _Named(node.order, Entry(name, ",".join(texts), node.where))


def _text_of(item: Node) -> str:
    """Return one item of a list of texts; a forwarded topic may be a section."""
    if isinstance(item, Section) and isinstance(item.parts.get("local_topic"), Scalar):
        item = item.parts["local_topic"]
    return item.text if isinstance(item, Scalar) else json.dumps(_plain(item))


def _leaves(section: Section, path: tuple[str, ...] = ()) -> Iterator[_Named]:
    for part, node in section.parts.items():
        below = (*path, part)
        dotted = ".".join(below)
        if isinstance(node, Scalar):
            yield from _scalar(below, node)
        elif isinstance(node, Items):
            yield from _items(below, node)
        elif re.fullmatch(r"acl\.rule\.\d+|web\.hook\.rule\..+\.\d+", dotted):
            text = json.dumps(_plain(node), ensure_ascii=False)
            yield _Named(_first(node), Entry(dotted, text, node.where))
        elif part == "params" and (name := _flat_name(below)) is not None:
            text = ",".join(f"{k}={_text_of(v)}" for k, v in node.parts.items())
            yield _Named(_first(node), Entry(name, text, node.where))
        else:
            yield from _leaves(node, below)


def _find(root: Section, dotted: str) -> Node | None:
    node: Node | None = root
    for name in dotted.split("."):
        node = node.parts.get(name) if isinstance(node, Section) else None
    return node


def _is_off(root: Section, dotted: str) -> bool:
    switch = _find(root, f"{dotted}.enable")
    return isinstance(switch, Scalar) and switch.text.lower() == "false"


def _say(name: str, value: str, where: str) -> _Named:
    return _Named(_IMPLIED, Entry(name, value, where))


def _switched_on(root: Section) -> Iterator[_Named]:
    """Yield what the sections that are there switch on."""
    for dotted, name in _SWITCHES.items():
        if isinstance(node := _find(root, dotted), Section):
            yield _say(name, "false" if _is_off(root, dotted) else "true", node.where)
    bridges = _find(root, "bridges.mqtt")
    for bridge, node in bridges.parts.items() if isinstance(bridges, Section) else ():
        if bridge != "cache":
            yield _say(f"bridge.mqtt.{bridge}.bridge_mode", "true", node.where)


def _left_out(root: Section) -> Iterator[_Named]:
    """Yield that what ``listeners`` does not name does not listen."""
    listeners = root.parts.get("listeners")
    if isinstance(listeners, Section):
        for dotted, name in (("tcp", "url"), ("ws", "websocket.url")):
            if dotted not in listeners.parts:
                yield _say(name, "", listeners.where)


def _off(root: Section) -> Iterator[_Named]:
    """Yield what ``listeners.NAME.enable = false`` takes away, whatever else is said."""
    for dotted, name in (
        ("tcp", "url"),
        ("ws", "websocket.url"),
        ("wss", "websocket.tls_url"),
    ):
        if _is_off(root, f"listeners.{dotted}"):
            yield _Named(_IMPLIED, Entry(name, "", root.where))


def entries_of(root: Section) -> dict[str, Entry]:
    """Return what a tree says, by flat names."""
    said = sorted(_leaves(root), key=lambda named: named.order)
    by_name: dict[str, Entry] = {}
    for named in [*_switched_on(root), *_left_out(root), *said, *_off(root)]:
        if named.entry is not None:
            by_name[named.entry.name] = named.entry
            continue
        for name in [name for name in by_name if name.startswith(f"{named.family}.")]:
            del by_name[name]
    return by_name
