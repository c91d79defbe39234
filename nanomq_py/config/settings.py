"""A configuration as the flat texts that it would be read from, and how two of them differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import orjson

from nanomq_py.config.key import Applies, keys_of
from nanomq_py.config.model import HTTP_AUTH_REQUESTS, SECTIONS, Config
from nanomq_py.config.sections import (
    AclRule,
    Bridge,
    HttpAuthRequest,
    Listener,
    User,
    WebHook,
)

HIDDEN = "(hidden)"
# Names that are numbered: what comes before the number.
FAMILY = re.compile(
    r"(auth|acl\.rule|bridge\.mqtt\.[^.]+\.subscription|web\.hook\.rule\.[a-z]+\.[a-z]+)"
    r"\.\d+(?:\..+)?"
)


def _secret_names() -> Iterator[str]:
    sections = [(re.escape(p), type(getattr(Config(), n))) for n, p in SECTIONS.items()]
    families: list[tuple[str, type[Any]]] = [
        (r"auth\.\d+\.", User),
        (r"bridge\.mqtt\.[^.]+\.", Bridge),
        (r"listener\.[^.]+\.", Listener),
        (r"auth\.http\.[^.]+\.", HttpAuthRequest),
    ]
    yield r"(?:auth\.http\.[^.]+|web\.hook)\.headers\..+"  # such as Authorization
    for prefix, section in [("", Config), *sections, *families]:
        for _, key in keys_of(section):
            if key.secret:
                yield prefix + re.escape(key.name)


_SECRET = re.compile("|".join(_secret_names()))


def is_secret(name: str) -> bool:
    """Return whether the value of a flat name is never to be shown.

    >>> is_secret("auth.12.password"), is_secret("auth.12.login")
    (True, False)
    >>> is_secret("web.hook.headers.Authorization")
    True
    """
    return _SECRET.fullmatch(name) is not None


@dataclass(frozen=True)
class Setting:
    """The text of one flat name."""

    text: str
    applies: Applies = Applies.HOT
    secret: bool = False

    @property
    def shown(self) -> str:
        return HIDDEN if self.secret and self.text else self.text


Named = tuple[str, Setting]


def _section(prefix: str, section: Any, *, all_keys: bool = True) -> Iterator[Named]:
    """Yield the keys of a section, or those that have another value than the default."""
    for declared, key in keys_of(type(section)):
        value = getattr(section, declared.name)
        if all_keys or value != declared.default:
            text = key.kind.render(value)
            yield prefix + key.name, Setting(text, key.applies, key.secret)


def _acl_rule(rule: AclRule) -> str:
    said = {f: getattr(rule, f.name) for f in fields(rule) if f.compare}
    return orjson.dumps(
        {f.name: value for f, value in said.items() if value != f.default}
    ).decode()


def _request(prefix: str, request: HttpAuthRequest) -> Iterator[Named]:
    yield from _section(prefix, request, all_keys=False)
    for name, value in request.headers:
        yield f"{prefix}headers.{name}", Setting(value, Applies.NEVER, secret=True)


def _web_hook(prefix: str, hook: WebHook) -> Iterator[Named]:
    for name, value in hook.headers:
        yield f"{prefix}headers.{name}", Setting(value, Applies.NEVER, secret=True)
    for number, rule in enumerate(hook.rules, start=1):
        said = {"action": rule.action}
        if rule.topic is not None:
            said["topic"] = rule.topic
        text = orjson.dumps(said).decode()
        yield f"{prefix}rule.{rule.event}.{number}", Setting(text, Applies.NEVER)


def _families(config: Config) -> Iterator[Named]:
    for number, user in enumerate(config.users, start=1):
        yield from _section(f"auth.{number}.", user)
    for number, rule in enumerate(config.acl_rules, start=1):
        yield f"acl.rule.{number}", Setting(_acl_rule(rule))
    for listener in config.listeners:
        yield from _section(f"listener.{listener.name}.", listener, all_keys=False)
    for bridge in config.bridges:
        prefix = f"bridge.mqtt.{bridge.name}."
        yield from _section(prefix, bridge)
        for number, subscription in enumerate(bridge.subscription, start=1):
            yield from _section(f"{prefix}subscription.{number}.", subscription)
    prefix = SECTIONS["auth_http"]
    for name in HTTP_AUTH_REQUESTS:
        yield from _request(f"{prefix}{name}.", getattr(config.auth_http, name))
    yield from _web_hook(SECTIONS["web_hook"], config.web_hook)


def settings_of(config: Config) -> dict[str, Setting]:
    """Return every key and its text, in the order of the declaration."""
    settings = dict(_section("", config))
    for section, prefix in SECTIONS.items():
        settings.update(_section(prefix, getattr(config, section)))
    settings.update(_families(config))
    return settings


@dataclass(frozen=True)
class Difference:
    """One name whose text is another; None: it is not there."""

    name: str
    old: Setting | None
    new: Setting | None

    @property
    def applies(self) -> Applies:
        setting = self.new or self.old
        assert setting is not None
        return setting.applies

    def __str__(self) -> str:
        """Return it for people, without secrets.

        >>> str(Difference("msq_len", Setting("256"), Setting("64")))
        'msq_len: 256 -> 64'
        """
        texts = [
            "(none)" if s is None else s.shown or "(none)" for s in (self.old, self.new)
        ]
        return f"{self.name}: {texts[0]} -> {texts[1]}"


def differences(old: Config, new: Config) -> list[Difference]:
    """Return what differs, in the order of the declaration."""
    before, after = settings_of(old), settings_of(new)
    return [
        Difference(name, before.get(name), after.get(name))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    ]


def family_of(name: str) -> str:
    """Return what a numbered name belongs to; empty: nothing.

    >>> family_of("acl.rule.7")
    'acl.rule'
    """
    match = FAMILY.fullmatch(name)
    return "" if match is None else match[1]


def families_of(found: list[Difference], most: int = 16) -> dict[str, int]:
    """Return how many of a numbered family differ, of those with more than ``most``."""
    counts: dict[str, int] = {}
    for difference in found:
        if family := family_of(difference.name):
            counts[family] = counts.get(family, 0) + 1
    return {family: count for family, count in counts.items() if count > most}


def names_of(found: list[Difference]) -> tuple[str, ...]:
    """Return the names, a large family as one: ``acl.rule.*``."""
    large = families_of(found)
    families = [family_of(difference.name) for difference in found]
    return tuple(
        dict.fromkeys(
            f"{family}.*" if family in large else difference.name
            for family, difference in zip(families, found, strict=True)
        )
    )


def told(found: list[Difference]) -> str:
    """Return the differences as one line for people, without secrets."""
    large = families_of(found)
    texts = [str(d) for d in found if family_of(d.name) not in large]
    texts += [f"{family}.*: {count} changed" for family, count in large.items()]
    return "; ".join(texts)
