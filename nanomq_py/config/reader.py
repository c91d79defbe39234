"""Read the flat ``nanomq.conf``: ``key=value`` lines to a :class:`Config`.

Every fault is one :class:`ConfigError` that names file, line, key, value and what was
expected. Source: the format of NanoMQ 0.6.8.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from nanomq_py.config.model import (
    HTTP_AUTH_REQUESTS,
    SECTIONS,
    AclRule,
    Bridge,
    BridgeSubscription,
    Config,
    HttpAuth,
    HttpAuthRequest,
    Key,
    Listener,
    User,
    WebHook,
    WebHookRule,
    keys_of,
)
from nanomq_py.config.units import BadValue

MAX_FILE_BYTES = 16 << 20


class ConfigError(Exception):
    """A configuration that cannot be used; the text says where and what was expected."""


@dataclass(frozen=True)
class Entry:
    """One ``key=value`` line."""

    name: str
    value: str
    where: str  # FILE:LINE, or where else it came from

    def error(self, expected: str, *, secret: bool = False) -> ConfigError:
        shown = "(hidden)" if secret else repr(self.value)
        return ConfigError(f"{self.where}: {self.name}={shown}: expected {expected}")


@dataclass
class Entries:
    """What the file says, each entry taken once; what is left over nobody knows."""

    by_name: dict[str, Entry]

    def take(self, name: str) -> Entry | None:
        return self.by_name.pop(name, None)

    def take_matching(self, pattern: str) -> Iterator[tuple[re.Match[str], Entry]]:
        """Take every entry whose whole name matches, numbers in their order."""
        found = [
            (match, name) for name in self.by_name if (match := re.fullmatch(pattern, name))
        ]
        for match, name in found:
            yield match, self.by_name.pop(name)

    def members(self, pattern: str) -> list[str]:
        """Return what stands for the pattern's group in the names that match, each once."""
        found = (re.fullmatch(pattern, name) for name in self.by_name)
        return list(dict.fromkeys(match[1] for match in found if match))


def _entries(text: str, source: str) -> Entries:
    by_name: dict[str, Entry] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        where = f"{source}:{number}"
        name, equals, value = line.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ConfigError(f"{where}: {line[:80]!r}: expected key=value")
        if name in by_name:
            raise ConfigError(f"{where}: {name}: given before, at {by_name[name].where}")
        by_name[name] = Entry(name, value.strip(), where)
    return Entries(by_name)


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
        if not user.login:
            where = numbers[number].where
            raise ConfigError(
                f"{where}: auth.{number}.login: missing, auth.{number} needs one"
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
    rules = {
        int(match[1]): _checked(entry, _json(entry, _AclJson, shape))
        for match, entry in found
    }
    return tuple(AclRule(**msgspec.structs.asdict(rules[n])) for n in sorted(rules))


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


def parse(text: str, source: str) -> Config:
    """Return the configuration that the text holds. ``source`` names it in errors.

    Raises   ConfigError
    """
    if "\x00" in text:
        raise ConfigError(f"{source}: holds a zero byte: expected a text file")
    entries = _entries(text, source)
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


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read the file and put ``overrides`` (fields of Config) over it.

    Raises   ConfigError, also when the file cannot be read
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise ConfigError(f"{path}: cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError as fault:
        raise ConfigError(f"{path}: not UTF-8 at byte {fault.start}") from None
    return replace(parse(text, str(path)), **(overrides or {}))
