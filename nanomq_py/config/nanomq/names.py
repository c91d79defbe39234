"""Turns the names of the nested form, which newer versions of NanoMQ have, into flat names.

A nested file may have names of both forms; of two for one key the later one counts. NanoMQ
switches some features on where their section exists, and so does this.

Source  etc/nanomq.conf and etc/nanomq_example.conf of NanoMQ 0.12 to 0.24
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache

from nanomq_py.config.declare.family import Family, Line
from nanomq_py.config.declare.key import keys_of
from nanomq_py.config.declare.section import KINDS, Sections
from nanomq_py.config.declare.walk import all_families, all_keys
from nanomq_py.config.forms.entries import Entry
from nanomq_py.config.forms.nested import Items, Node, Scalar, Section
from nanomq_py.config.keys.config import Config
from nanomq_py.config.nanomq.lists import IMPLIED, Named, acl_rules, plain, webhook_events
from nanomq_py.config.nanomq.missing import FEATURES, OFF, ON
from nanomq_py.config.nanomq.shapes import find, modernise, starred

_BRIDGE = r"bridges?\.mqtt\.([^.]+)\."
_OF_TLS = r"(?:key|cert|cacert|verify|fail|min|ciphers)[^.]*"
# NanoMQ's dotted path -> the flat name. The first match counts. None: it is read elsewhere.
_NAMES: list[tuple[re.Pattern[str], str | None]] = [
    (re.compile(pattern), name)
    for pattern, name in [
        (r"mqtt\.session\.(.+)", r"\1"),
        (r"mqtt\.max_mqueue_len", "msq_len"),
        (r"mqtt\.retry_interval", "qos_duration"),
        (r"mqtt\.keepalive_multiplier", "keepalive_backoff"),
        (r"(?:system|mqtt)\.(.+)", r"\1"),
        (r"listeners\.(?:tcp|ssl|ws|wss)\.(?:[^.]+\.)?enable", None),
        (r"listeners\.tcp\.(?:bind|url)", "url"),
        (r"listeners\.ssl\.(?:bind|url)", "tls.url"),
        (r"listeners\.ws\.(?:bind|url)", "websocket.url"),
        (r"listeners\.wss\.(?:bind|url)", "websocket.tls_url"),
        (rf"listeners\.ssl\.(?:tls\.)?({_OF_TLS})", r"tls.\1"),
        (rf"listeners\.wss\.(?:tls\.)?({_OF_TLS})", r"listener.wss.tls.\1"),
        (r"listeners\.(tcp|ssl|ws|wss)\.([^.]+)\.(?:bind|url)", r"listener.\1-\2.url"),
        (rf"listeners\.(ssl|wss)\.([^.]+)\.({_OF_TLS})", r"listener.\1-\2.tls.\3"),
        (r"listeners\.(tcp|ssl|ws|wss)\.([^.]+)\.(.+)", r"listener.\1-\2.\3"),
        (r"listeners\.ssl\.(.+)", r"listener.tls.\1"),
        (r"listeners\.(.+)", r"listener.\1"),
        (r"auth\.allow_anonymous", "allow_anonymous"),
        (r"(?:auth|authorization)\.no_match", "acl_nomatch"),
        (r"(?:auth|authorization)\.deny_action", "acl_deny_action"),
        (r"auth\.(?:password|acl)\.enable", None),
        (r"(?:auth\.http_auth|auth_http)\.(?:auth|super|acl)_req\.enable", None),
        (r"(?:auth\.http_auth|auth_http)\.(.+)", r"auth.http.\1"),
        (r"bridges?\.mqtt\.(?:cache|sqlite)\.(.+)", r"bridge.sqlite.\1"),
        (_BRIDGE + r"server", r"bridge.mqtt.\1.address"),
        (_BRIDGE + r"enable", r"bridge.mqtt.\1.bridge_mode"),
        (_BRIDGE + r"max_parallel_processes", r"bridge.mqtt.\1.parallel"),
        (r"bridges\.(.+)", r"bridge.\1"),
        (r"webhook\.body\.encoding", "web.hook.body.encoding_of_payload_field"),
        (r"webhook\.web\.hook\.(.+)", r"web.hook.\1"),
        (r"webhook\.(.+)", r"web.hook.\1"),
        (r"rules?\.option", "rule_option"),
    ]
]
_HOOK_RULES = r"webhook\.rule\.[a-z]+\.[a-z]+"  # of NanoMQ 0.14: a list for each event
_SCHEMES = {"tcp": "nmq-tcp", "ssl": "tls+nmq-tcp", "ws": "nmq-ws", "wss": "nmq-wss"}
_URLS = {"url": "tcp", "tls.url": "ssl", "websocket.url": "ws", "websocket.tls_url": "wss"}
# A key of a list's members -> what NanoMQ also calls it there.
_SPELLINGS = {"topic": ("remote_topic",)}
# A list of topics -> where it is read from if it has members with more than a topic.
_FORWARDS = re.compile(r"(bridge\.mqtt\.[^.]+\.forward)s")


def _flat_name(path: tuple[str, ...]) -> str | None:
    dotted = ".".join(path)
    for pattern, name in _NAMES:
        if (found := pattern.fullmatch(dotted)) is not None:
            return None if name is None else found.expand(name)
    return dotted


def _first(node: Node) -> int:
    """Return the order of the first value in a node."""
    if isinstance(node, Section):
        return min((_first(part) for part in node.parts.values()), default=IMPLIED)
    return node.order


def _user(number: int, login: Scalar, password: Scalar, written: str) -> Iterator[Named]:
    """Yield a user, with a number from 900,000,000 on: the flat form has no such users."""
    for part, node in (("login", login), ("password", password)):
        name = f"auth.{900_000_000 + number}.{part}"
        yield Named(number, Entry(name, node.text, node.where, written=written))


def _url(kind: str, text: str) -> str:
    """Return the URL of a listener, given what NanoMQ's ``bind`` says: ADDRESS:PORT or PORT."""
    if "://" in text or not text:
        return text
    return f"{_SCHEMES[kind]}://{'0.0.0.0:' if text.isdigit() else ''}{text}"


def _kind_of_url(name: str) -> str | None:
    """Return the kind of listener whose URL has that flat name; None: it is no URL's."""
    found = re.fullmatch(r"listener\.(tcp|ssl|ws|wss)-.+\.url", name)
    return found[1] if found else _URLS.get(name)


def _scalar(path: tuple[str, ...], node: Scalar) -> Iterator[Named]:
    is_switch = path[-1] == "enable" and node.text.lower() in ON | OFF
    if path[:2] == ("auth", "password") and len(path) == 3 and not is_switch:
        # auth.password.USER = PASSWORD
        login = Scalar(path[2], node.where, node.order, None)
        yield from _user(node.order, login, node, ".".join(path))
        return
    name = _flat_name(path)
    if name is None:
        return
    written = ".".join(path)
    if written == "mqtt.max_packet_size":  # NanoMQ's one key for both directions
        entry = Entry("client_max_packet_size", node.text, node.where, written=written)
        yield Named(IMPLIED, entry)
    kind = _kind_of_url(name)
    if kind is not None and (url := _url(kind, node.text)) != node.text:
        yield Named(node.order, Entry(name, url, node.where, written=written))
    else:
        yield Named(node.order, Entry(name, node.text, node.where, node.at, written))


def _members(prefix: str, family: Family, node: Items) -> Iterator[Named]:
    """Yield ``PREFIX.N.NAME`` for the items of a list: sections, or values of the first key."""
    yield Named(node.order, None, prefix)
    names = [key.name for _, key in keys_of(family.member)]
    for number, item in enumerate(node.items, start=1):
        parts = item.parts if isinstance(item, Section) else {names[0]: item}
        for name in names:
            spellings = (*_SPELLINGS.get(name, ()), name)
            found = next((parts[s] for s in spellings if s in parts), None)
            if found is not None and not isinstance(found, Section):
                flat = f"{prefix}.{number}.{name}"
                yield Named(found.order, Entry(flat, _joined(found), found.where))


@lru_cache(KINDS)
def _lists(brought: Sections) -> tuple[tuple[re.Pattern[str], Family], ...]:
    """Return the families that are lists in the nested form, by a pattern of their prefix."""
    found = all_families(Config, brought)
    return tuple((re.compile(at.pattern), group) for at, group in found if group.is_list)


@lru_cache(KINDS)
def _lines(brought: Sections) -> re.Pattern[str]:
    """Match the flat names whose value is a line of JSON, or a section in the nested form."""
    keys = all_keys(Config, brought)
    return re.compile(
        "|".join(at.pattern for at, key in keys if isinstance(key.kind, Line))
    )


@lru_cache(KINDS)
def _has_both(brought: Sections) -> re.Pattern[str]:
    """Match the flat names of keys that have others below them."""
    places = [at for at, _ in all_keys(Config, brought)]
    names = {at.spelled for at in places}
    above = {name[: dot.start()] for name in names for dot in re.finditer(r"\.", name)}
    return re.compile("|".join(at.pattern for at in places if at.spelled in above))


def _users(node: Node | None, written: str) -> Iterator[Named]:
    for item in node.items if isinstance(node, Items) else ():
        parts = item.parts if isinstance(item, Section) else {}
        login = parts.get("username", parts.get("login"))
        password = parts.get("password")
        if isinstance(login, Scalar) and isinstance(password, Scalar):
            yield from _user(login.order, login, password, written)


def _sources(node: Items) -> Iterator[Named]:
    """Yield what NanoMQ 0.14 to 0.18 lists under ``authorization.sources``."""
    for item in node.items:
        parts = item.parts if isinstance(item, Section) else {}
        kind = parts.get("type")
        if isinstance(switch := parts.get("enable"), Scalar) and _is_off(switch):
            continue
        rules, users = parts.get("rules"), parts.get("users")
        if isinstance(kind, Scalar) and kind.text == "file" and isinstance(rules, Items):
            yield from acl_rules(rules, "authorization.sources.rules")
        elif isinstance(kind, Scalar) and kind.text == "simple" and users is not None:
            yield from _users(users, "authorization.sources.users")
        elif isinstance(kind, Scalar) and kind.text == "http":
            yield _say("auth.http.enable", "true", item.where, "authorization.sources")
        else:  # a source of users must not be ignored: it becomes an unknown key
            yield _say("authorization.sources", json.dumps(plain(item)), item.where)


def _items(path: tuple[str, ...], node: Items, brought: Sections) -> Iterator[Named]:
    dotted = ".".join(path)
    name = _flat_name(path)
    if name is not None and any(isinstance(item, Section) for item in node.items):
        name = _FORWARDS.sub(r"\1", name)
    lists = _lists(brought)
    if dotted in ("auth.acl.rules", "acl.rules"):
        yield from acl_rules(node, dotted)
    elif dotted == "authorization.sources":
        yield from _sources(node)
    elif dotted == "auth":
        yield from _users(node, dotted)
    elif dotted == "webhook.events" or re.fullmatch(_HOOK_RULES, dotted):
        yield from webhook_events(node)
    elif name is not None:
        family = next((group for at, group in lists if at.fullmatch(name)), None)
        if family is not None:
            yield from _members(name, family, node)
        else:
            yield Named(node.order, Entry(name, _joined(node), node.where, written=dotted))


def _joined(node: Scalar | Items) -> str:
    """Return a value as the flat form writes it: a list has commas between."""
    items = node.items if isinstance(node, Items) else (node,)
    return ",".join(_text_of(item) for item in items)


def _text_of(item: Node) -> str:
    """Return the text of an item of a list."""
    return item.text if isinstance(item, Scalar) else json.dumps(plain(item))


def _nodes(
    section: Section, brought: Sections, path: tuple[str, ...]
) -> Iterator[tuple[str, Node]]:
    """Yield the nodes that count; of a value and a section of one name it is the later one.

    Of a key that has others below it, both count.
    """
    for part, node in section.parts.items():
        own = node.own if isinstance(node, Section) else None
        if own is None:
            yield part, node
            continue
        has_both = _has_both(brought).fullmatch(".".join((*path, part))) is not None
        is_later = own.order > _first(node)
        if has_both or is_later:
            yield part, own
        if has_both or not is_later:
            yield part, node


def _leaves(
    section: Section, brought: Sections, path: tuple[str, ...] = ()
) -> Iterator[Named]:
    for part, node in _nodes(section, brought, path):
        below = (*path, part)
        dotted = ".".join(below)
        if isinstance(node, Scalar):
            yield from _scalar(below, node)
        elif isinstance(node, Items):
            yield from _items(below, node, brought)
        elif _lines(brought).fullmatch(dotted):
            text = json.dumps(plain(node), ensure_ascii=False)
            yield Named(_first(node), Entry(dotted, text, node.where))
        elif dotted in _switched_off(section, path):
            continue
        elif part == "params" and (name := _flat_name(below)) is not None:
            text = ",".join(f"{k}={_text_of(v)}" for k, v in node.parts.items())
            yield Named(_first(node), Entry(name, text, node.where, written=dotted))
        else:
            yield from _leaves(node, brought, below)


def _is_off(switch: Node | None) -> bool:
    return isinstance(switch, Scalar) and switch.text.lower() in OFF


def _has_switch_off(section: Section) -> bool:
    return any(_is_off(section.parts.get(name)) for name in ("enable", "enabled"))


def _switched_off(section: Section, path: tuple[str, ...]) -> set[str]:
    """Return which of ``auth.password`` and ``auth.acl`` in the section are off."""
    if path != ("auth",):
        return set()
    return {
        f"auth.{name}"
        for name in ("password", "acl")
        if isinstance(node := section.parts.get(name), Section) and _has_switch_off(node)
    }


def _say(name: str, value: str, where: str, written: str = "") -> Named:
    return Named(IMPLIED, Entry(name, value, where, written=written))


def _named_of(section: Section) -> dict[str, Section]:
    """Return the listeners with names of their own: ``listeners.tcp.NAME``."""
    return {
        name: node
        for name, node in section.parts.items()
        if isinstance(node, Section) and {"bind", "url"} & set(node.parts)
    }


def _is_only_named(section: Section) -> bool:
    """Return whether every listener in the section has a name."""
    return bool(section.parts) and set(section.parts) == set(_named_of(section))


def _kinds(root: Section) -> Iterator[tuple[str, Section]]:
    listeners = root.parts.get("listeners")
    for kind in _SCHEMES:
        node = listeners.parts.get(kind) if isinstance(listeners, Section) else None
        if isinstance(node, Section):
            yield kind, node


def _http_auth_is_off(section: Section) -> bool:
    """Return whether it is off, as a whole or each of its requests."""
    requests = [part for part in section.parts.values() if isinstance(part, Section)]
    none_is_on = all(map(_has_switch_off, requests)) and bool(requests)
    return _has_switch_off(section) or none_is_on


# A section -> the key that it switches on, and what says that it is off. FEATURES has others.
_HTTP_AUTH = ("auth.http_auth", "auth_http")
_SWITCHES = {
    **dict.fromkeys(_HTTP_AUTH, ("auth.http.enable", _http_auth_is_off)),
    "webhook": ("web.hook.enable", _has_switch_off),
    "sqlite": ("sqlite.enable", _has_switch_off),
}


def _bridges_on(root: Section) -> Iterator[Named]:
    for name, node in starred(root, "bridges.mqtt.*"):
        if name not in ("cache", "sqlite"):
            on = "false" if _has_switch_off(node) else "true"
            at = f"bridge.mqtt.{name}.bridge_mode"
            yield _say(at, on, node.where, f"bridges.mqtt.{name}")


def _switched_on(root: Section) -> Iterator[Named]:
    """Yield the keys that are on, or off, because a section exists."""
    for kind, node in _kinds(root):
        if kind == "ssl" and not _is_only_named(node):
            on = "false" if _has_switch_off(node) else "true"
            yield _say("tls.enable", on, node.where, "listeners.ssl")
    for dotted, (name, is_off) in _SWITCHES.items():
        if isinstance(found := find(root, dotted), Section):
            on = "false" if is_off(found) else "true"
            yield _say(name, on, found.where, dotted)
    yield from _bridges_on(root)
    for feature in FEATURES:
        for name, node in starred(root, feature.section):
            on = "false" if _has_switch_off(node) else "true"
            written = feature.section.replace("*", name)
            yield _say(feature.switch.replace("*", name), on, node.where, written)


def _left_out(root: Section) -> Iterator[Named]:
    """Yield an empty URL for listeners that the section ``listeners`` leaves out."""
    listeners = root.parts.get("listeners")
    if not isinstance(listeners, Section):
        return
    kinds = dict(_kinds(root))
    for kind, name in (("tcp", "url"), ("ws", "websocket.url")):
        node = kinds.get(kind)
        if kind not in listeners.parts or (node is not None and _is_only_named(node)):
            yield _say(name, "", listeners.where)


def _off(root: Section) -> Iterator[Named]:
    """Yield what removes listeners and requests with ``enable = false``, for good."""
    names = {kind: name for name, kind in _URLS.items() if kind != "ssl"}
    for kind, node in _kinds(root):
        if kind in names and _has_switch_off(node):
            yield _say(names[kind], "", node.where)
        for name, named in _named_of(node).items():
            if _has_switch_off(named):
                yield Named(IMPLIED, None, f"listener.{kind}-{name}")
    for dotted in _HTTP_AUTH:
        found = find(root, dotted)
        for name, request in found.parts.items() if isinstance(found, Section) else ():
            if isinstance(request, Section) and _has_switch_off(request):
                yield Named(IMPLIED, None, f"auth.http.{name}")


def entries_of(root: Section, brought: Sections = ()) -> dict[str, Entry]:
    """Return the entries of a tree, by flat names."""
    modernise(root)
    said = sorted(_leaves(root, brought), key=lambda named: named.order)
    by_name: dict[str, Entry] = {}
    for named in [*_switched_on(root), *_left_out(root), *said, *_off(root)]:
        if named.entry is not None:
            by_name[named.entry.name] = named.entry
            continue
        for name in [name for name in by_name if name.startswith(f"{named.family}.")]:
            del by_name[name]
    return by_name
