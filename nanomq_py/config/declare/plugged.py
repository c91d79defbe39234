"""Plugins as a configuration knows them: who brings the sections that a file names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from nanomq_py.config.declare.section import Sections


class Plugged(Protocol):
    """A plugin that a configuration names."""

    @property
    def name(self) -> str: ...

    @property
    def sections(self) -> Sections:
        """Its keys, below ``plugins.NAME``."""

    @property
    def fault(self) -> str:
        """Why it cannot be used; empty: it can. Its keys are not known then."""


class Plugging(Protocol):
    """What a reading needs where its text may name plugins."""

    @property
    def environ(self) -> Mapping[str, str]:
        """Variables that stand for their keys."""

    def find(
        self, names: Sequence[str], known: Sequence[Plugged], *, anew: bool
    ) -> tuple[Plugged, ...]:
        """Return the plugins of these names, in their order.

        known   those of the configuration before
        anew    whether those whose code has changed are loaded again
        Raises  BadValue for a name that nobody has
        """
