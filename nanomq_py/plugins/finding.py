"""What finds the plugins that a configuration names. It loads nothing before one is named."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nanomq_py.config.declare.plugged import Plugged


class InstalledPlugins:
    """Finds plugins that are installed.

    environ  variables that stand for their keys
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self.environ = environ

    def find(
        self, names: Sequence[str], known: Sequence[Plugged], *, anew: bool
    ) -> tuple[Plugged, ...]:
        """Return them, in their order. Raises BadValue for a name that nobody has."""
        from nanomq_py.plugins import catalog

        return catalog.find(names, known, anew=anew)
