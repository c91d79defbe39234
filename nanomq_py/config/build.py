"""Makes a :class:`Config` of entries: its keys, its sections and its families.

``auth.1.login=device`` is taken by the family ``auth``, ``tls.enable=true`` by the section
``tls``, ``msq_len=5`` by ``Config`` itself. Each takes the entries that its dataclass declares;
an entry that nobody takes is an unknown key.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nanomq_py.config.declare.family import BadMember, Family, families_of
from nanomq_py.config.declare.key import Key, keys_of
from nanomq_py.config.declare.section import (
    KINDS,
    Brought,
    Section,
    Sections,
    join,
    sections_of,
)
from nanomq_py.config.declare.walk import all_families, all_keys
from nanomq_py.config.faults import MOST_FAULTS, ConfigError, Faults, line_of
from nanomq_py.config.forms.entries import Entries, Entry
from nanomq_py.config.keys.config import Config
from nanomq_py.config.keys.plugins import plugin_of
from nanomq_py.config.keys.said import Said
from nanomq_py.config.nanomq.missing import missing_of
from nanomq_py.config.nanomq.older import in_force, is_any_switch, is_known
from nanomq_py.config.values.kind import BadValue, UserInUrl

if TYPE_CHECKING:
    from nanomq_py.config.declare.plugged import Plugged


def _read(entry: Entry, key: Key) -> Any:
    try:
        return key.kind.parse(entry.value)
    except UserInUrl:
        raise entry.error(key.no_user, secret=True) from None
    except BadValue as bad:
        raise entry.error(bad.expected(key.kind.expected), secret=key.secret) from None


def _values(entries: Entries, prefix: str, kind: type[Any]) -> dict[str, Any]:
    """Return the values of a dataclass. ``entries.faults`` gets what is wrong."""
    values: dict[str, Any] = {}
    for declared, family in families_of(kind):
        start = join(prefix, family.prefix)
        values[declared.name] = tuple(_members(entries, start, family))
    for declared, section in sections_of(kind):
        below = _values(entries, join(prefix, section.prefix), section.kind)
        values[declared.name] = section.kind(**below)
    for declared, key in keys_of(kind):
        entry = entries.take(join(prefix, key.name))
        if entry is not None:
            with entries.faults.gathered():
                values[declared.name] = _read(entry, key)
    return values


def _of_part(entries: Entries, part: Section) -> Any:
    """Return the values of a section that a part brings. Raises ConfigError.

    What reads them may be of another package, and raise anything.
    """
    try:
        return part.kind(**_values(entries, part.prefix, part.kind))
    except ConfigError:
        raise
    except Exception as fault:
        why = f"{type(fault).__name__}: {fault}"
        raise ConfigError(f"keys below {part.prefix}: not read: {why}") from fault


# --- families


def _grouped(entries: Entries, prefix: str, family: Family) -> dict[str, list[Entry]]:
    """Return the entries of each member, by its index."""
    start = re.escape(prefix)
    pattern = re.compile(rf"{start}\.({family.index.pattern}){family.tail}")
    found: dict[str, list[Entry]] = {}
    for name, entry in entries.by_name.items():
        if (match := pattern.fullmatch(name)) is not None:
            found.setdefault(match[1], []).append(entry)
    if family.index.is_numbered and not family.index.attribute:
        return {index: found[index] for index in sorted(found, key=int)}
    return found


def _members(entries: Entries, prefix: str, family: Family) -> Iterator[Any]:
    attribute = family.index.attribute
    seen = set()
    for index, its in _grouped(entries, prefix, family).items():
        named = {attribute: family.index.name(index)} if attribute else {}
        if family.line is not None:
            with entries.faults.gathered():
                yield _line(entries, its[0], family, family.line, named)
            continue
        at = f"{prefix}.{index}"
        _check_required(entries, at, family, its)
        member = family.member(**_values(entries, at, family.member), **named)
        if family.unique:
            value = getattr(member, family.unique)
            if value and value in seen:
                what = f"{its[-1].where}: {prefix}.{family.index.shown}.{family.unique}"
                fault = f"{what}={value!r}: given to two {family.people}"
                entries.faults.add(ConfigError(fault))
            seen.add(value)
        yield member


def _line(
    entries: Entries, entry: Entry, family: Family, key: Key, named: dict[str, Any]
) -> Any:
    """Return a member that is written on one line. Raises ConfigError."""
    entries.take(entry.name)
    if family.keeps_place:
        named = {**named, "where": f"{entry.where}: {entry.called}"}
    try:
        return family.member(**_read(entry, key), **named)
    except BadMember as fault:
        raise entry.error(fault.args[0], secret=key.secret) from None


def _check_required(entries: Entries, at: str, family: Family, its: list[Entry]) -> None:
    """Add a fault for each required key that the member at that prefix lacks."""
    name = at.rpartition(".")[2]
    for key in family.required:
        entry = entries.by_name.get(f"{at}.{key}")
        if name in family.elsewhere:
            if entry is not None:
                entries.faults.add(entry.error(family.elsewhere[name]))
        elif entry is None:
            called = _called(at, its[0])
            what = f"{its[0].where}: {called}.{key}: missing, {called} needs one"
            entries.faults.add(ConfigError(what))


def _called(at: str, entry: Entry) -> str:
    """Return the prefix of an entry's name, as its author has written it."""
    tail = entry.name[len(at) :]
    return entry.called.removesuffix(tail) if entry.called.endswith(tail) else at


# --- the whole


@lru_cache(KINDS)
def known_names(brought: Sections = ()) -> tuple[str, ...]:
    """Return the flat names of the keys that have only one."""
    return tuple(at.name for at, _ in all_keys(Config, brought) if not at.indices)


def build(
    given: Mapping[str, Entry],
    faults: Faults,
    brought: Sections = (),
    plugged: Collection[Plugged] = (),
) -> Config:
    """Return the configuration. Raises ConfigError with all faults, or the first many.

    brought  the sections of parts; a key is unknown when none of them takes it either
    plugged  the plugins that it names; keys of others are left out
    """
    in_it = in_force(given, faults)
    unplugged = _unplugged(in_it, {each.name for each in plugged if not each.fault})
    for name in unplugged:
        del in_it[name]
    _refuse_strangers(in_it, faults, brought)
    entries = Entries(in_it, faults)
    missing = tuple(sorted(missing_of(in_it), key=lambda found: line_of(str(found))))
    names = {entry.name: entry.written for entry in in_it.values() if entry.written}
    values = _values(entries, "", Config)
    values["brought"] = tuple(Brought(part, _of_part(entries, part)) for part in brought)
    ignored = []
    for entry in entries.by_name.values():
        if is_any_switch(entry.name):
            continue
        if is_known(entry.name):
            ignored.append(entry.called)
        elif not faults.enough:
            faults.add(_unknown(entry, brought))
    faults.check()
    said = Said(names, missing, tuple(ignored), tuple(unplugged.values()))
    return Config(**values, said=said, plugged=tuple(plugged))


def _unplugged(given: Mapping[str, Entry], plugged: Collection[str]) -> dict[str, str]:
    """Return the keys of plugins that are not loaded, with what the file calls them."""
    return {
        name: entry.called
        for name, entry in given.items()
        if (plugin := plugin_of(name)) is not None and plugin not in plugged
    }


@lru_cache(KINDS)
def _of_families(brought: Sections) -> re.Pattern[str]:
    """Match the names of all members of families, and some names that no member has."""
    keys = {at.pattern for at, _ in all_keys(Config, brought) if at.indices}
    named = {
        rf"{at.below(family.index).pattern}\..+"
        for at, family in all_families(Config, brought)
        if not family.index.is_numbered
    }
    return re.compile("|".join(sorted(keys | named)))


def _refuse_strangers(
    given: Mapping[str, Entry], faults: Faults, brought: Sections
) -> None:
    """Raise ConfigError if so many keys are unknown that the file is no configuration."""
    names = set(known_names(brought))
    strangers = []
    for entry in given.values():
        if entry.name in names or _of_families(brought).fullmatch(entry.name) is not None:
            continue
        if is_any_switch(entry.name) or is_known(entry.name):
            continue
        strangers.append(entry)
        if len(strangers) > MOST_FAULTS:
            for stranger in strangers:
                faults.add(_unknown(stranger, brought))
            faults.check()


def _unknown(entry: Entry, brought: Sections) -> ConfigError:
    import difflib  # few processes need it

    near = difflib.get_close_matches(entry.name[:100], known_names(brought), n=1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return ConfigError(f"{entry.where}: {entry.called[:200]}: unknown key{meant}")
