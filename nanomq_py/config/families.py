"""The entries of a file made a :class:`Config`: its keys, and its families of keys."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import msgspec

from nanomq_py.config.entries import (
    MOST_FAULTS,
    ConfigError,
    Entries,
    Entry,
    Faults,
    Said,
    line_of,
)
from nanomq_py.config.key import Key, keys_of
from nanomq_py.config.missing import missing_of
from nanomq_py.config.model import HTTP_AUTH_REQUESTS, SECTIONS, Config
from nanomq_py.config.older import in_force, is_known, is_switch
from nanomq_py.config.sections import (
    AclRule,
    BadRule,
    Bridge,
    BridgeSubscription,
    HttpAuth,
    HttpAuthRequest,
    Listener,
    User,
    WebHook,
    WebHookRule,
)
from nanomq_py.config.units import BadValue, UserInUrl, is_text


def _read(entry: Entry, key: Key) -> Any:
    try:
        return key.kind.parse(entry.value)
    except UserInUrl:
        raise entry.error(key.no_user, secret=True) from None
    except BadValue as bad:
        raise entry.error(bad.expected(key.kind.expected), secret=key.secret) from None


S = TypeVar("S")


def _values(entries: Entries, prefix: str, section: type[Any]) -> dict[str, Any]:
    """Return what the entries say of a section's keys. ``entries.faults`` gets the rest."""
    values: dict[str, Any] = {}
    for declared, key in keys_of(section):
        entry = entries.take(prefix + key.name)
        if entry is not None:
            with entries.faults.gathered():
                values[declared.name] = _read(entry, key)
    return values


def _section(entries: Entries, prefix: str, section: type[S], **extra: Any) -> S:
    return section(**_values(entries, prefix, section), **extra)


def _users(entries: Entries) -> tuple[User, ...]:
    pattern = r"auth\.(\d{1,9})\.(login|password)"
    numbers = {
        int(found[1]): entry
        for name, entry in entries.by_name.items()
        if (found := re.fullmatch(pattern, name))
    }
    users: dict[str, User] = {}
    for number in sorted(numbers):
        where = numbers[number].where
        for name in ("login", "password"):
            key = f"auth.{number}.{name}"
            if key not in entries.by_name:
                entries.faults.add(
                    ConfigError(f"{where}: {key}: missing, auth.{number} needs one")
                )
        user = _section(entries, f"auth.{number}.", User)
        if user.login and user.login in users:
            what = f"{where}: auth.N.login={user.login!r}"
            entries.faults.add(ConfigError(f"{what}: given to two users"))
        users[user.login] = user
    return tuple(users.values())


class _AclJson(msgspec.Struct, forbid_unknown_fields=True):
    permit: Literal["allow", "deny"]
    username: str | None = None
    clientid: str | None = None
    ipaddr: str | None = None
    action: Literal["publish", "subscribe", "pubsub"] = "pubsub"
    topics: tuple[str, ...] = ("#",)


class _HookJson(msgspec.Struct, forbid_unknown_fields=True):
    action: str
    topic: str | None = None


J = TypeVar("J", bound=msgspec.Struct)


def _json(entry: Entry, kind: type[J], shape: str) -> J:
    try:
        return msgspec.json.decode(entry.value.encode(), type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as fault:
        raise entry.error(f"{shape} ({fault})") from None


def _acl_rules(entries: Entries) -> tuple[AclRule, ...]:
    shape = (
        'JSON such as {"permit":"allow","username":"u","action":"publish","topics":["a/#"]}'
    )
    found = entries.take_matching(r"acl\.rule\.(\d{1,9})")
    rules = {}
    for match, entry in found:
        with entries.faults.gathered():
            said = msgspec.structs.asdict(_json(entry, _AclJson, shape))
            try:
                rule = AclRule(**said, where=f"{entry.where}: {entry.called}")
            except BadRule as fault:
                raise entry.error(fault.args[0]) from None
            rules[int(match[1])] = rule
    return tuple(rules[n] for n in sorted(rules))


def _headers(entries: Entries, prefix: str) -> tuple[tuple[str, str], ...]:
    pattern = re.escape(prefix) + r"headers\.([A-Za-z0-9-]{1,64})"
    headers = []
    for match, entry in entries.take_matching(pattern):
        if is_text(entry.value):
            headers.append((match[1], entry.value))
        else:
            fault = entry.error("a text without control characters", secret=True)
            entries.faults.add(fault)
    return tuple(headers)


def _http_auth(entries: Entries) -> HttpAuth:
    prefix = SECTIONS["auth_http"]
    requests = {}
    for name in HTTP_AUTH_REQUESTS:
        headers = _headers(entries, f"{prefix}{name}.")
        requests[name] = _section(
            entries, f"{prefix}{name}.", HttpAuthRequest, headers=headers
        )
    return _section(entries, prefix, HttpAuth, **requests)


def _web_hook(entries: Entries) -> WebHook:
    prefix = SECTIONS["web_hook"]
    headers = _headers(entries, prefix)
    rules = []
    pattern = re.escape(prefix) + r"rule\.([a-z]{1,20}\.[a-z]{1,20})\.(\d{1,9})"
    for match, entry in entries.take_matching(pattern):
        with entries.faults.gathered():
            rule = _json(entry, _HookJson, 'JSON such as {"action":"on_client_connect"}')
            rules.append(WebHookRule(event=match[1], action=rule.action, topic=rule.topic))
    return _section(entries, prefix, WebHook, headers=headers, rules=tuple(rules))


def _bridge(entries: Entries, name: str) -> Bridge:
    prefix = f"bridge.mqtt.{name}."
    pattern = re.escape(prefix) + r"subscription\.(\d{1,9})\.(topic|qos)"
    found = (re.fullmatch(pattern, key) for key in entries.by_name)
    numbers = sorted(dict.fromkeys(match[1] for match in found if match), key=int)
    subscriptions = []
    for number in numbers:
        start = f"{prefix}subscription.{number}."
        if f"{start}topic" not in entries.by_name:
            entry = entries.by_name[f"{start}qos"]
            section = entry.called.rpartition(".")[0]
            what = f"{entry.where}: {section}.topic: missing, {section} needs one"
            entries.faults.add(ConfigError(what))
        subscriptions.append(_section(entries, start, BridgeSubscription))
    return _section(entries, prefix, Bridge, name=name, subscription=tuple(subscriptions))


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
        entries.faults.add(
            own_url.error(f"{_BUILT_IN[name]} to say where the listener {name} listens")
        )
    if name not in _BUILT_IN and own_url is None:
        what = f"{where}: {prefix}url"
        entries.faults.add(ConfigError(f"{what}: missing, listener.{name} needs one"))
    return listener


def _listeners(entries: Entries) -> tuple[Listener, ...]:
    pattern = r"listener\.([A-Za-z0-9_-]{1,64})\..+"
    return tuple(_listener(entries, name) for name in entries.members(pattern))


def known_names() -> list[str]:
    """Return every flat name that is one key."""
    names = [key.name for _, key in keys_of(Config)]
    for section, prefix in SECTIONS.items():
        kind = type(getattr(Config(), section))
        names += [prefix + key.name for _, key in keys_of(kind)]
    return names


def build(given: Mapping[str, Entry], faults: Faults) -> Config:
    """Return the configuration. Raises ConfigError of all faults, or of the first many."""
    in_it = in_force(given, faults)
    _refuse_strangers(in_it, faults)
    entries = Entries(in_it, faults)
    missing = tuple(sorted(missing_of(in_it), key=lambda found: line_of(str(found))))
    names = {entry.name: entry.written for entry in in_it.values() if entry.written}
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
    values = _values(entries, "", Config)
    ignored = []
    for entry in entries.by_name.values():
        if is_switch(entry.name):
            continue
        if is_known(entry.name):
            ignored.append(entry.called)
        elif not faults.enough:
            faults.add(_unknown(entry))
    faults.check()
    said = Said(names=names, missing=missing, ignored=tuple(ignored))
    return Config(**values, **extra, said=said)


# The names of families, and some that are nobody's.
_OF_FAMILIES = re.compile(
    r"(?:auth|acl\.rule)\.\d{1,9}(?:\.(?:login|password))?"
    r"|auth\.http\.[a-z_]+\.[A-Za-z0-9.-]+|web\.hook\.(?:headers|rule)\.[A-Za-z0-9.-]+"
    r"|bridge\.mqtt\.[A-Za-z0-9_-]+\.[a-z0-9_.]+|listener\.[A-Za-z0-9_-]+\.[a-z_.]+"
)


def _refuse_strangers(given: Mapping[str, Entry], faults: Faults) -> None:
    """Raise ConfigError where so many keys are unknown that this is no configuration."""
    names = set(known_names())
    strangers = []
    for entry in given.values():
        if entry.name in names or _OF_FAMILIES.fullmatch(entry.name) is not None:
            continue
        if is_switch(entry.name) or is_known(entry.name):
            continue
        strangers.append(entry)
        if len(strangers) > MOST_FAULTS:
            for stranger in strangers:
                faults.add(_unknown(stranger))
            faults.check()


def _unknown(entry: Entry) -> ConfigError:
    near = difflib.get_close_matches(entry.name[:100], known_names(), n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return ConfigError(f"{entry.where}: {entry.called[:200]}: unknown key{meant}")
