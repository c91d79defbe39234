"""The names of every key that a dataclass declares, also in its sections and families."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from nanomq_py.config.declare.family import families_of
from nanomq_py.config.declare.key import Key, keys_of
from nanomq_py.config.declare.section import Sections, join, sections_of


@dataclass(frozen=True)
class Name:
    """The flat names of one key: one name, or those of the members of families."""

    pattern: str
    shown: str  # in the documentation: auth.N.login
    key: Key
    is_one: bool  # it has no index


def declared_names(
    kind: type[Any], prefix: str = "", shown: str = "", *, is_one: bool = True
) -> Iterator[Name]:
    """Yield the names of every key of a dataclass, of its sections and of its families.

    prefix  a pattern of what stands before them
    """
    for _, key in keys_of(kind):
        pattern = _below(prefix, re.escape(key.name))
        yield Name(pattern, join(shown, key.name), key, is_one)
    for _, part in sections_of(kind):
        at = _below(prefix, re.escape(part.prefix))
        one = is_one and not part.alike
        yield from declared_names(part.kind, at, join(shown, part.shown), is_one=one)
    for _, group in families_of(kind):
        at = _below(_below(prefix, re.escape(group.prefix)), f"(?:{group.index.pattern})")
        called = join(join(shown, group.prefix), group.index.shown)
        if group.line is not None:
            yield Name(at, called, group.line, is_one=False)
        else:
            yield from declared_names(group.member, at, called, is_one=False)


def all_names(kind: type[Any], brought: Sections = ()) -> Iterator[Name]:
    """Yield the names of a dataclass, and those of the sections that parts bring."""
    yield from declared_names(kind)
    for part in brought:
        yield from declared_names(part.kind, re.escape(part.prefix), part.shown)


def _below(prefix: str, pattern: str) -> str:
    return rf"{prefix}\.{pattern}" if prefix and pattern else prefix or pattern
