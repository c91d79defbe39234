"""uvicorn without its command line, which its package imports: with click, 1.5 MiB.

A program that imports uvicorn besides finds all of it.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from nanomq_py.http.lean import hidden


def _nothing(name: str) -> None:
    """Be what each name of a stand-in is."""


def _load_uvicorn() -> None:
    stand_in = ModuleType("uvicorn.main")
    stand_in.__dict__["__getattr__"] = _nothing
    with hidden("uvicorn.main", stand_in):
        uvicorn = import_module("uvicorn")
    missing = [name for name in uvicorn.__all__ if getattr(uvicorn, name) is None]
    for name in missing:
        delattr(uvicorn, name)

    def find(name: str) -> Any:
        if name not in missing:
            raise AttributeError(name)
        main = import_module("uvicorn.main")
        for each in missing:
            setattr(uvicorn, each, getattr(main, each))
        return getattr(uvicorn, name)

    uvicorn.__dict__["__getattr__"] = find


if "uvicorn" not in sys.modules:
    _load_uvicorn()

from uvicorn.config import Config  # noqa: E402 # of the package that is loaded now
from uvicorn.protocols.http.flow_control import FlowControl  # noqa: E402
from uvicorn.protocols.http.h11_impl import H11Protocol  # noqa: E402
from uvicorn.server import Server, ServerState  # noqa: E402

__all__ = ["Config", "FlowControl", "H11Protocol", "Server", "ServerState"]
