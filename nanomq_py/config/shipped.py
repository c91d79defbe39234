"""The file that is shipped as ``etc/nanomq.conf``: every key with its default and its help."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from nanomq_py.config.declare.family import Family, families_of
from nanomq_py.config.declare.key import Applies, keys_of
from nanomq_py.config.declare.section import Section, Sections, join, sections_of
from nanomq_py.config.keys.config import Config

_INTRODUCTION = """\
# nanomq.conf - key=value; a line that begins with # is a comment.
# These are the defaults. docs/configuration.md tells more; nanomq conf check FILE checks a
# file, and nanomq reload puts it in force.
"""


def _comment(text: str, applies: Applies) -> list[str]:
    """Return the text as comment lines, with when a change counts."""
    text += "" if applies is Applies.HOT else f" ({applies.value})"
    return textwrap.wrap(
        text, 92, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


def _keys(prefix: str, section: type[Any]) -> Iterator[str]:
    for declared, key in keys_of(section):
        if key.heading:
            yield f"\n# --- {key.heading}"
        unit = getattr(key.kind, "unit", "")
        yield from _comment(f"{key.help} In {unit}." if unit else key.help, key.applies)
        mark = "#" if declared.default is None else ""
        yield f"{mark}{join(prefix, key.name)}={key.kind.render(declared.default)}"


def _applies(family: Family) -> Applies:
    """Return when members count: as their first key does."""
    keys = [key for _, key in keys_of(family.member)]
    return (family.one_line or keys[0]).applies


def _families(prefix: str, holder: type[Any]) -> Iterator[str]:
    """Yield the families that have an example, as comments."""
    for _, family in families_of(holder):
        if family.example:
            yield f"\n# --- {family.title}"
            yield from _comment(family.help, _applies(family))
            at = join(prefix, family.prefix)
            yield from (f"#{at}.{line}" for line in family.example)


def _section(prefix: str, section: Section) -> Iterator[str]:
    """Yield a section with all in it, but for those that are alike."""
    if section.alike:
        return
    at = join(prefix, section.prefix)
    yield f"\n# --- {section.title or at}"
    yield from _keys(at, section.kind)
    for _, part in sections_of(section.kind):
        yield from _section(at, part)
    yield from _families(at, section.kind)


def _lines(brought: Sections) -> Iterator[str]:
    yield _INTRODUCTION.rstrip()
    yield from _keys("", Config)
    for _, section in sections_of(Config):
        yield from _section("", section)
    yield from _families("", Config)
    for section in brought:
        yield from _section("", section)


def shipped(brought: Sections = ()) -> str:
    """Return the text of the file, with the sections of parts."""
    return "\n".join(_lines(brought)) + "\n"
