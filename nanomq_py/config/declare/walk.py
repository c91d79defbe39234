"""Every key, section and family below a dataclass, each with the names that it has in a file.

::

    tls.enable                one name
    auth.N.login              a name for each member: N is the number of one
    auth.http.REQ.url         in the documentation, for auth_req, super_req and acl_req
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nanomq_py.config.declare.family import Family, Index, families_of
from nanomq_py.config.declare.key import Key, keys_of
from nanomq_py.config.declare.section import Section, Sections, join, sections_of


@dataclass(frozen=True)
class Place:
    """Where something is declared.

    steps  what its flat names are made of: texts, and an index for each family on the way
    shown  its name in the documentation
    """

    steps: tuple[str | Index, ...] = ()
    shown: str = ""

    def below(self, step: str | Index, shown: str = "") -> Place:
        """Return the place of what stands below this one; an empty step is this one."""
        if not step:
            return self
        called = shown or (step if isinstance(step, str) else step.shown)
        return Place((*self.steps, step), join(self.shown, called))

    @property
    def indices(self) -> list[Index]:
        return [step for step in self.steps if isinstance(step, Index)]

    @property
    def name(self) -> str:
        """The one flat name; only where there are no indices."""
        return ".".join(map(str, self.steps))

    @property
    def spelled(self) -> str:
        """Its flat name, with N or NAME for an index; no other place has it."""
        return ".".join(s if isinstance(s, str) else s.shown for s in self.steps)

    @cached_property
    def pattern(self) -> str:
        """A pattern of its flat names."""
        return r"\.".join(
            re.escape(step) if isinstance(step, str) else f"(?:{step.pattern})"
            for step in self.steps
        )


Declared = Key | Section | Family


def walk(kind: type[Any], at: Place = Place()) -> Iterator[tuple[Place, Declared]]:
    """Yield what a dataclass declares: its keys, then what its sections and families hold."""
    for _, key in keys_of(kind):
        yield at.below(key.name), key
    for _, section in sections_of(kind):
        place = at.below(section.prefix, section.shown)
        yield place, section
        yield from walk(section.kind, place)
    for _, family in families_of(kind):
        place = at.below(family.prefix)
        yield place, family
        member = place.below(family.index)
        if family.line is not None:
            yield member, family.line
        else:
            yield from walk(family.member, member)


def walk_all(kind: type[Any], brought: Sections = ()) -> Iterator[tuple[Place, Declared]]:
    """Yield what a dataclass declares, and then the sections that parts bring."""
    yield from walk(kind)
    for section in brought:
        place = Place().below(section.prefix, section.shown)
        yield place, section
        yield from walk(section.kind, place)


def all_keys(kind: type[Any], brought: Sections = ()) -> Iterator[tuple[Place, Key]]:
    for place, found in walk_all(kind, brought):
        if isinstance(found, Key):
            yield place, found


def all_families(kind: type[Any], brought: Sections = ()) -> Iterator[tuple[Place, Family]]:
    for place, found in walk_all(kind, brought):
        if isinstance(found, Family):
            yield place, found
