"""Changes values in the text of a configuration file, and leaves everything else as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from nanomq_py.config.declare.section import KINDS, Brought, Sections
from nanomq_py.config.declare.walk import all_families
from nanomq_py.config.faults import ConfigError
from nanomq_py.config.forms import flat
from nanomq_py.config.forms.nested import quoted
from nanomq_py.config.keys.config import Config
from nanomq_py.config.reader import Reading, read
from nanomq_py.config.settings import Setting, differences, settings_of


@lru_cache(KINDS)
def _of_lists(brought: Sections) -> re.Pattern[str]:
    """Match the names of members that the nested form writes as a list; group 1 names it."""
    found = all_families(Config, brought)
    lists = "|".join(at.pattern for at, family in found if family.is_list)
    return re.compile(rf"({lists})\.\d{{1,9}}\..+")


def _changes(
    reading: Reading, config: Config, settings: Mapping[str, Setting]
) -> dict[str, str | None]:
    """Return the texts to set; None removes a name. All members of a group are set again."""
    changes: dict[str, str | None] = {}
    groups = set()
    for difference in differences(reading.config, config):
        if difference.group:
            groups.add(difference.group)
        else:
            changes[difference.name] = difference.new.text if difference.new else None
    for group in sorted(groups):
        numbered = re.compile(re.escape(group) + r"\.\d+(?:\..+)?")
        for name in (*reading.entries, *settings):
            if numbered.fullmatch(name):
                changes[name] = settings[name].text if name in settings else None
    return changes


def _list(family: str, settings: Mapping[str, Setting]) -> str:
    """Return the members of a numbered family as a list of the nested form."""
    items: dict[str, list[str]] = {}
    for name, setting in settings.items():
        if name.startswith(f"{family}."):
            number, _, part = name[len(family) + 1 :].partition(".")
            items.setdefault(number, []).append(f"{part} = {quoted(setting.text)}")
    return "[" + ", ".join("{" + ", ".join(parts) + "}" for parts in items.values()) + "]"


def _edit_nested(
    reading: Reading, changes: Mapping[str, str | None], settings: Mapping[str, Setting]
) -> str:
    """Change values in their places; a value without a place is set at the end."""
    of_lists = _of_lists(reading.brought)
    pieces = []
    behind: dict[str, str] = {}
    for name, value in changes.items():
        entry = reading.entries.get(name)
        if (match := of_lists.fullmatch(name)) is not None:
            behind[match[1]] = _list(match[1], settings)
        elif value is not None and entry is not None and entry.at is not None:
            pieces.append((*entry.at, quoted(value)))
        else:
            behind[name] = quoted(value or "")
    text = flat.put(reading.text, pieces)
    if behind and text and not text.endswith("\n"):
        text += "\n"
    return text + "".join(f"{name} = {value}\n" for name, value in behind.items())


def _with_sections_of(made: Config, config: Config) -> Config:
    """Return the configuration without the keys of plugins that go, with those that come."""
    kept = dict(config.brought)
    brought = (Brought(part, kept.get(part, values)) for part, values in made.brought)
    return replace(config, brought=tuple(brought))


def edited(reading: Reading, config: Config, source: str, folder: Path | None) -> Reading:
    """Return the reading of the text after the values of that configuration are put into it.

    Bridges keep the order in which the text first names them.

    Raises   ConfigError naming the key that the text cannot hold
    """
    settings = settings_of(config)
    changes = _changes(reading, config, settings)
    if reading.nested:
        text = _edit_nested(reading, changes, settings)
    else:
        # Where the file has an older name of a key, that name stays.
        called = {name: entry.called for name, entry in reading.entries.items()}
        text = flat.edit(
            reading.text, {called.get(name, name): text for name, text in changes.items()}
        )
    made = read(
        text,
        source,
        folder=folder,
        overrides=reading.overrides,
        brought=reading.of_parts,
        plugging=reading.plugging,
        known=reading.config.plugged,
    )
    for difference in differences(_with_sections_of(made.config, config), made.config):
        override = reading.overrides.get(difference.name)
        why = f"{override.where} says otherwise" if override else "the file cannot hold it"
        raise ConfigError(f"{difference.name}: not changed: {why}")
    return made
