"""Read ``nanomq.conf``, in its flat or its nested form, to a :class:`Config`.

Every fault is one :class:`ConfigError` that names file, line, key, value and what was
expected.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from itertools import count
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from nanomq_py.config import flat, nested
from nanomq_py.config.entries import ConfigError, Entries, Entry
from nanomq_py.config.key import Key, keys_of
from nanomq_py.config.model import HTTP_AUTH_REQUESTS, SECTIONS, Config
from nanomq_py.config.names import entries_of
from nanomq_py.config.sections import (
    AclRule,
    Bridge,
    BridgeSubscription,
    HttpAuth,
    HttpAuthRequest,
    Listener,
    User,
    WebHook,
    WebHookRule,
)
from nanomq_py.config.units import BadValue

MAX_FILE_BYTES = 16 << 20
MOST_INCLUDES = 16  # one in another
# A line that only the nested form has.
_NESTED = re.compile(
    r"""^[^\S\n]*(?:
        [{}\]] | // | include[\s("] |
        [\w."-]+[^\S\n]*(?: :[^\S\n] | \{ ) |
        (?:mqtt|system|listeners|bridges|webhook)\.
    )""",
    re.MULTILINE | re.VERBOSE,
)
# One that only it has, unless the value is any text.
_OPENS = re.compile(r"""^[^\S\n]*([\w."-]+)[^\S\n]*=[^\S\n]*[\[{]""", re.MULTILINE)
_RULES = re.compile(r"(?:acl|web\.hook)\.rule\..+")


def _read(entry: Entry, key: Key) -> Any:
    try:
        return key.kind.parse(entry.value)
    except BadValue:
        raise entry.error(key.kind.expected, secret=key.secret) from None


S = TypeVar("S")


def _section(entries: Entries, prefix: str, section: type[S], **extra: Any) -> S:
    values: dict[str, Any] = dict(extra)
    for declared, key in keys_of(section):
        entry = entries.take(prefix + key.name)
        if entry is not None:
            values[declared.name] = _read(entry, key)
    return section(**values)


def _users(entries: Entries) -> tuple[User, ...]:
    pattern = r"auth\.(\d{1,9})\.(login|password)"
    numbers = {
        int(found[1]): entry
        for name, entry in entries.by_name.items()
        if (found := re.fullmatch(pattern, name))
    }
    users = []
    for number in sorted(numbers):
        user = _section(entries, f"auth.{number}.", User)
        for name, value in (("login", user.login), ("password", user.password)):
            if not value:
                where = numbers[number].where
                raise ConfigError(
                    f"{where}: auth.{number}.{name}: missing, auth.{number} needs one"
                )
        users.append(user)
    logins = [user.login for user in users]
    for login in logins:
        if logins.count(login) > 1:
            raise ConfigError(f"auth.N.login={login!r}: given to two users")
    return tuple(users)


class _AclJson(msgspec.Struct, forbid_unknown_fields=True):
    permit: Literal["allow", "deny"]
    username: str | None = None
    clientid: str | None = None
    ipaddr: str | None = None
    action: Literal["publish", "subscribe", "pubsub"] = "pubsub"
    topics: tuple[str, ...] = ("#",)


def _is_filter(text: str) -> bool:
    """Say whether the text is a Topic Filter (MQTT 5.0, 4.7)."""
    levels = text.split("/")
    return (
        bool(text)
        and all(level in ("+", "#") or not set(level) & set("+#") for level in levels)
        and "#" not in levels[:-1]
    )


def _checked(entry: Entry, rule: _AclJson) -> _AclJson:
    """Check what the shape of the JSON does not say."""
    for text in (rule.username or "", rule.clientid or "", *rule.topics):
        if not text.isprintable():
            raise entry.error("names and topics of printable characters")
    if rule.ipaddr is not None:
        try:
            ip_network(rule.ipaddr, strict=False)
        except ValueError:
            raise entry.error(
                "an ipaddr such as 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32"
            ) from None
    for topic in rule.topics:
        if not _is_filter(topic):
            raise entry.error(f"topics that are topic filters, not {topic!r}")
    return rule


class _HookJson(msgspec.Struct, forbid_unknown_fields=True):
    action: str
    topic: str | None = None


J = TypeVar("J", bound=msgspec.Struct)


def _json(entry: Entry, kind: type[J], shape: str) -> J:
    try:
        return msgspec.json.decode(entry.value.encode(), type=kind)
    except (msgspec.DecodeError, RecursionError) as fault:
        raise entry.error(f"{shape} ({fault})") from None


def _acl_rules(entries: Entries) -> tuple[AclRule, ...]:
    shape = (
        'JSON such as {"permit":"allow","username":"u","action":"publish","topics":["a/#"]}'
    )
    found = entries.take_matching(r"acl\.rule\.(\d{1,9})")
    rules = {}
    for match, entry in found:
        rule = _checked(entry, _json(entry, _AclJson, shape))
        rules[int(match[1])] = AclRule(
            **msgspec.structs.asdict(rule), where=f"{entry.where}: {entry.name}"
        )
    return tuple(rules[n] for n in sorted(rules))


def _http_auth(entries: Entries) -> HttpAuth:
    prefix = SECTIONS["auth_http"]
    requests = {}
    for name in HTTP_AUTH_REQUESTS:
        pattern = re.escape(f"{prefix}{name}.headers.") + r"([A-Za-z0-9-]{1,64})"
        headers = tuple((m[1], e.value) for m, e in entries.take_matching(pattern))
        requests[name] = _section(
            entries, f"{prefix}{name}.", HttpAuthRequest, headers=headers
        )
    return _section(entries, prefix, HttpAuth, **requests)


def _web_hook(entries: Entries) -> WebHook:
    prefix = SECTIONS["web_hook"]
    pattern = re.escape(prefix) + r"headers\.([A-Za-z0-9-]{1,64})"
    headers = tuple((m[1], e.value) for m, e in entries.take_matching(pattern))
    rules = []
    pattern = re.escape(prefix) + r"rule\.([a-z]{1,20}\.[a-z]{1,20})\.(\d{1,9})"
    for match, entry in entries.take_matching(pattern):
        rule = _json(entry, _HookJson, 'JSON such as {"action":"on_client_connect"}')
        rules.append(WebHookRule(event=match[1], action=rule.action, topic=rule.topic))
    return _section(entries, prefix, WebHook, headers=headers, rules=tuple(rules))


def _bridge(entries: Entries, name: str) -> Bridge:
    prefix = f"bridge.mqtt.{name}."
    pattern = re.escape(prefix) + r"subscription\.(\d{1,9})\.(topic|qos)"
    numbers = sorted(
        {int(m[1]) for key in entries.by_name if (m := re.fullmatch(pattern, key))}
    )
    subscriptions = tuple(
        _section(entries, f"{prefix}subscription.{n}.", BridgeSubscription) for n in numbers
    )
    return _section(entries, prefix, Bridge, name=name, subscription=subscriptions)


def _bridges(entries: Entries) -> tuple[Bridge, ...]:
    pattern = r"bridge\.mqtt\.([A-Za-z0-9_-]{1,64})\..+"
    return tuple(_bridge(entries, name) for name in entries.members(pattern))


_BUILT_IN = {
    "tcp": "url",
    "tls": "tls.url",
    "ws": "websocket.url",
    "wss": "websocket.tls_url",
}


def _listener(entries: Entries, name: str) -> Listener:
    prefix = f"listener.{name}."
    where = next(e.where for k, e in entries.by_name.items() if k.startswith(prefix))
    own_url = entries.by_name.get(f"{prefix}url")
    listener = _section(entries, prefix, Listener, name=name)
    if name in _BUILT_IN and own_url is not None:
        raise own_url.error(f"{_BUILT_IN[name]} to say where the listener {name} listens")
    if name not in _BUILT_IN and listener.url is None:
        raise ConfigError(f"{where}: {prefix}url: missing, listener.{name} needs one")
    return listener


def _listeners(entries: Entries) -> tuple[Listener, ...]:
    pattern = r"listener\.([A-Za-z0-9_-]{1,64})\..+"
    return tuple(_listener(entries, name) for name in entries.members(pattern))


def _known_names() -> list[str]:
    names = [key.name for _, key in keys_of(Config)]
    for section, prefix in SECTIONS.items():
        kind = type(getattr(Config(), section))
        names += [prefix + key.name for _, key in keys_of(kind)]
    return names


def _build(entries: Entries) -> Config:
    # Families first: their names would be unknown keys of a section.
    extra: dict[str, Any] = {
        "auth_http": _http_auth(entries),
        "web_hook": _web_hook(entries),
        "users": _users(entries),
        "acl_rules": _acl_rules(entries),
        "bridges": _bridges(entries),
        "listeners": _listeners(entries),
    }
    for section, prefix in SECTIONS.items():
        if section not in extra:
            kind = type(getattr(Config(), section))
            extra[section] = _section(entries, prefix, kind)
    config = _section(entries, "", Config, **extra)
    for entry in entries.by_name.values():
        near = difflib.get_close_matches(entry.name[:100], _known_names(), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(f"{entry.where}: {entry.name[:200]}: unknown key{hint}")
    return config


# --- the file and what it includes


def read_text(path: Path) -> str:
    """Return the text of a configuration file. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as fault:  # ValueError: a zero byte in the path
        why = fault.strerror if isinstance(fault, OSError) else str(fault)
        raise ConfigError(f"{path}: cannot be read: {why}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise ConfigError(f"{path}: not UTF-8 at byte {fault.start}") from None
    if "\x00" in text:
        raise ConfigError(f"{path}: holds a zero byte: expected a text file")
    return text


def _includer(folder: Path, above: tuple[Path, ...]) -> nested.Include:
    """Return what reads an included file; ``above`` are those that include it."""

    def include(name: str, where: str, order: count[int]) -> nested.Section:
        path = folder / name
        if len(above) > MOST_INCLUDES or path.resolve() in above:
            raise ConfigError(
                f"{where}: include {name!r}: includes itself, or too many others"
            )
        try:
            text = read_text(path)
        except ConfigError as fault:
            raise ConfigError(f"{where}: include {name!r}: {fault}") from None
        below = _includer(path.parent, (*above, path.resolve()))
        return nested.read(text, str(path), below, order)

    return include


def is_nested(text: str) -> bool:
    """Return whether the text has the nested form; one that could be either is flat."""
    if _NESTED.search(text) is not None:
        return True
    opened = {found[1] for found in _OPENS.finditer(text)}
    return any(not _RULES.fullmatch(name) and not _takes_any_text(name) for name in opened)


def _takes_any_text(name: str) -> bool:
    """Return whether a flat name has a text as its value."""
    sections: list[tuple[str, type[Any]]] = [("", Config)]
    sections += [(prefix, type(getattr(Config(), s))) for s, prefix in SECTIONS.items()]
    for family in (User, Bridge, BridgeSubscription, Listener, HttpAuthRequest):
        tail = re.sub(r"^(?:auth\.\d+|listener\.[^.]+|auth\.http\.\w+)\.", "", name)
        tail = re.sub(r"^bridge\.mqtt\.[^.]+\.(?:subscription\.\d+\.)?", "", tail)
        if tail != name and any(
            key.name == tail and key.kind.json is str for _, key in keys_of(family)
        ):
            return True
    return any(
        prefix + key.name == name and key.kind.json is str
        for prefix, section in sections
        for _, key in keys_of(section)
    )


@dataclass(frozen=True)
class Reading:
    """A configuration, and the text and the entries that it was read from."""

    config: Config
    text: str = ""
    nested: bool = False  # which form it has
    entries: Mapping[str, Entry] = field(default_factory=dict)
    overrides: Mapping[str, Entry] = field(default_factory=dict)


def read(
    text: str,
    source: str,
    *,
    folder: Path | None = None,
    overrides: Mapping[str, Entry] = {},
) -> Reading:
    """Return what the text says, with ``overrides`` in the place of its own entries.

    source  names the text in errors
    folder  where included files are looked for
    Raises  ConfigError
    """
    if "\x00" in text:
        raise ConfigError(f"{source}: holds a zero byte: expected a text file")
    # A byte order mark becomes a space: places in the text stay what they are.
    plain = " " + text[1:] if text.startswith("\ufeff") else text
    nests = is_nested(plain)
    try:
        if nests:
            above = () if folder is None else ((folder / Path(source).name).resolve(),)
            include = _includer(folder or Path(), above)
            entries = entries_of(nested.read(plain, source, include))
        else:
            entries = flat.read(plain, source)
    except RecursionError:
        raise ConfigError(f"{source}: sections in too many others") from None
    config = _build(Entries({**entries, **overrides}))
    return Reading(config, text, nests, entries, overrides)


def parse(text: str, source: str) -> Config:
    """Return the configuration that the text holds. ``source`` names it in errors.

    Raises   ConfigError
    """
    return read(text, source).config


def from_environment(environ: Mapping[str, str]) -> dict[str, Entry]:
    """Return the entries of variables such as ``NANOMQ_TLS_ENABLE`` for ``tls.enable``.

    Users and access rules too: ``NANOMQ_AUTH_1_LOGIN``, ``NANOMQ_ACL_RULE_1``. A variable that
    names no key is none of ours: a container may have its own NANOMQ_ ones.
    """
    known = {_variable(name): name for name in _known_names()}
    known["NANOMQ_BROKER_URL"] = "url"  # NanoMQ's own spelling
    entries = {}
    for variable, value in environ.items():
        name = known.get(variable)
        if found := re.fullmatch(r"NANOMQ_AUTH_(\d{1,9})_(LOGIN|PASSWORD)", variable):
            name = f"auth.{found[1]}.{found[2].lower()}"
        elif found := re.fullmatch(r"NANOMQ_ACL_RULE_(\d{1,9})", variable):
            name = f"acl.rule.{found[1]}"
        if name is not None:
            entries[name] = Entry(name, value, f"{variable} in the environment")
    return entries


def _variable(name: str) -> str:
    return "NANOMQ_" + name.upper().replace(".", "_")


def load(path: Path) -> Config:
    """Read the file. Raises ConfigError, also when it cannot be read."""
    return read(read_text(path), str(path), folder=path.parent).config
