"""What finds the plugins that a configuration names. It loads nothing before one is named."""

from __future__ import annotations

import os
from collections.abc import Sequence

from nanomq_py.config.declare.plugged import Plugged, Plugging


def _find(
    names: Sequence[str], known: Sequence[Plugged], *, anew: bool
) -> tuple[Plugged, ...]:
    from nanomq_py.plugins import catalog

    return catalog.find(names, known, anew=anew)


def plugging() -> Plugging:
    """Return it, with the variables of this process."""
    return Plugging(_find, os.environ)
