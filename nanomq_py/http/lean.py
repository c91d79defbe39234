"""Libraries without those of their parts that nobody here uses, and that take MiB."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def hidden(name: str, stand_in: ModuleType | None = None) -> Iterator[None]:
    """Have ``import name`` find the stand-in; without one it fails, as if there were none.

    Afterwards others find what they would have found. Threads: no other one may import it
    meanwhile.
    """
    before = sys.modules.get(name)
    sys.modules[name] = stand_in  # type: ignore[assignment] # None is import's own word for it
    try:
        yield
    finally:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before


@contextmanager
def private(name: str) -> Iterator[None]:
    """Have ``import name`` bring a copy of a package that nobody else finds."""

    def take_out() -> dict[str, ModuleType]:
        mine = [n for n in sys.modules if n == name or n.startswith(f"{name}.")]
        return {n: sys.modules.pop(n) for n in mine}

    others = take_out()
    try:
        yield
    finally:
        take_out()
        sys.modules.update(others)
