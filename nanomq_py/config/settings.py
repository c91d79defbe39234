"""A configuration as texts by flat names, and the differences between two configurations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nanomq_py.config.declare.family import Family, families_of
from nanomq_py.config.declare.key import Applies, Key, keys_of
from nanomq_py.config.declare.section import KINDS, Sections, join, sections_of
from nanomq_py.config.declare.walk import all_keys
from nanomq_py.config.keys.config import Config

HIDDEN = "(hidden)"


@lru_cache(KINDS)
def _secrets(brought: Sections) -> re.Pattern[str]:
    secrets = (at.pattern for at, key in all_keys(Config, brought) if key.secret)
    return re.compile("|".join(secrets))


def is_secret(name: str, brought: Sections = ()) -> bool:
    """Return whether the value of a flat name must not be shown.

    >>> is_secret("auth.12.password"), is_secret("auth.12.login")
    (True, False)
    >>> is_secret("web.hook.headers.Authorization")
    True
    """
    return _secrets(brought).fullmatch(name) is not None


@dataclass(frozen=True)
class Setting:
    """The text of one flat name."""

    text: str
    applies: Applies = Applies.HOT
    secret: bool = False
    private_file: bool = False
    group: str = ""  # of a numbered member: what is before its number; empty: it has none
    json: type = str  # of the JSON that stands for a value

    @property
    def shown(self) -> str:
        return HIDDEN if self.secret and self.text else self.text


Named = tuple[str, Setting]


def _setting(key: Key, value: Any, group: str) -> Setting:
    text = key.kind.render(value)
    return Setting(text, key.applies, key.secret, key.private_file, group, key.kind.json)


def _keys(prefix: str, holder: Any, *, is_sparse: bool, group: str = "") -> Iterator[Named]:
    """Yield the keys of a dataclass; if sparse, those whose value is not the default."""
    for declared, key in keys_of(type(holder)):
        value = getattr(holder, declared.name)
        if not is_sparse or value != declared.default:
            yield join(prefix, key.name), _setting(key, value, group)


def _sections(prefix: str, holder: Any) -> Iterator[Named]:
    """Yield the keys of the sections of a dataclass, without those that are alike."""
    for declared, section in sections_of(type(holder)):
        if not section.alike:
            at, part = join(prefix, section.prefix), getattr(holder, declared.name)
            yield from _keys(at, part, is_sparse=False)
            yield from _sections(at, part)


def _families(prefix: str, holder: Any) -> Iterator[Named]:
    """Yield the families of a dataclass, and its sections that are alike, with all in them."""
    for declared, family in families_of(type(holder)):
        start = join(prefix, family.prefix)
        yield from _members(start, family, getattr(holder, declared.name))
    for declared, section in sections_of(type(holder)):
        at = join(prefix, section.prefix)
        part = getattr(holder, declared.name)
        if section.alike:
            yield from _keys(at, part, is_sparse=True)
        yield from _families(at, part)


def _members(prefix: str, family: Family, members: tuple[Any, ...]) -> Iterator[Named]:
    index = family.index
    for number, member in enumerate(members, start=1):
        at = f"{prefix}.{index.of(member, number)}"
        group = index.group(prefix, member) if index.is_numbered else ""
        if (line := family.line) is not None:
            yield at, _setting(line, member, group)
        else:
            yield from _keys(at, member, is_sparse=family.is_sparse, group=group)
            yield from _families(at, member)


def settings_of(config: Config) -> dict[str, Setting]:
    """Return every key and its text, in the order of the declaration."""
    settings = dict(_all_of("", config))
    for section, values in config.brought:
        settings.update(_all_of(section.prefix, values))
    return settings


def _all_of(prefix: str, holder: Any) -> Iterator[Named]:
    yield from _keys(prefix, holder, is_sparse=False)
    yield from _sections(prefix, holder)
    yield from _families(prefix, holder)


@dataclass(frozen=True)
class Difference:
    """A name whose text differs between two configurations; None: it is not in one of them."""

    name: str
    old: Setting | None
    new: Setting | None

    @property
    def _setting(self) -> Setting:
        setting = self.new or self.old
        assert setting is not None
        return setting

    @property
    def applies(self) -> Applies:
        return self._setting.applies

    @property
    def group(self) -> str:
        """Of a numbered member: what is before its number; empty: it has none."""
        return self._setting.group

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


def _large_groups(found: list[Difference], most: int = 16) -> dict[str, int]:
    """Return how many names of each group differ, for groups with more than ``most``."""
    counts: dict[str, int] = {}
    for difference in found:
        if group := difference.group:
            counts[group] = counts.get(group, 0) + 1
    return {group: count for group, count in counts.items() if count > most}


def names_of(found: list[Difference]) -> tuple[str, ...]:
    """Return the names; many of one group are told as ``acl.rule.*``."""
    large = _large_groups(found)
    return tuple(
        dict.fromkeys(
            f"{difference.group}.*" if difference.group in large else difference.name
            for difference in found
        )
    )


def line_of(found: list[Difference]) -> str:
    """Return the differences as one line for people, without secrets."""
    large = _large_groups(found)
    texts = [str(difference) for difference in found if difference.group not in large]
    texts += [f"{group}.*: {count} changed" for group, count in large.items()]
    return "; ".join(texts)
