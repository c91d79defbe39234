"""The walls of ``csrc``: see tools/layers.py."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import cache
from pathlib import PurePosixPath

from tools.c_source import Declaration, declarations, includes, used_names
from tools.walls import Fault, Graph, Sources, circle_faults

# The rooms of csrc, and those that each may know.
C_ROOMS = {
    "base": "",
    "mqtt": "base",
    "io": "base",
    "store": "base mqtt",
    "route": "base mqtt store",
    "net": "base mqtt store route io",
    "serve": "base mqtt store route net",
    "bridge": "base mqtt store route net io",
}
# What stands above the rooms, and who may include it: tests do too, and are not looked at.
C_TOP = {
    "nmq.h": {"broker.h"},
    "broker.h": {"broker_struct.h"},
    "broker_struct.h": {"broker.c", "broker_clients.c"},
}
# A tree that differs in one file is read again at once.
_includes = cache(includes)
_used_names = cache(used_names)


@cache
def _declarations(text: str) -> tuple[Declaration, ...]:
    return tuple(declarations(text))


def _module(path: str) -> str:
    """Return ``base/map`` for ``csrc/base/map.h``, and ``broker`` for what stands on top."""
    name = str(PurePosixPath(path).relative_to("csrc").with_suffix(""))
    return "broker" if name == "nmq" or name.startswith("broker_") else name


def _room(module: str) -> str:
    return module.split("/")[0] if "/" in module else ""


def _included(path: str, written: str, sources: Sources) -> str | None:
    """Return the file of ours that an include means; None for one of the system."""
    name = written[1:-1]
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
    for found in [beside] * written.startswith('"') + [posixpath.normpath(f"csrc/{name}")]:
        if found in sources:
            return found
    return None


def _include_form(written: str, found: str | None) -> str | None:
    """Return what is wrong with how an include is written, if anything."""
    if written[:1] not in ('"', "<"):
        return f"a computed include: {written}"
    if found is None and written.startswith('"'):
        return f"no file of the core: {written}"
    if found is not None and written != f'"{found.removeprefix("csrc/")}"':
        return f"not written as from csrc/: {written}"
    return None


def _may_include(path: str, found: str) -> bool:
    name = found.removeprefix("csrc/")
    if name.endswith(".def"):
        return True  # a table: it knows nothing
    return name not in C_TOP or path.removeprefix("csrc/") in C_TOP[name]


def _room_faults(module: str, other: str, how: str) -> Iterator[Fault]:
    """Yield the fault if a module knows one of a room that it may not know."""
    mine, its = _room(module), _room(other)
    if mine not in ("", *C_ROOMS):
        yield Fault("no such room", module, "see C_ROOMS")
    elif mine and its != mine and its not in C_ROOMS[mine].split():
        yield Fault("upward", module, f"{how} {other}")


def _include_faults(path: str, written: str, found: str | None) -> Iterator[Fault]:
    module = _module(path)
    form = _include_form(written, found)
    if form:
        yield Fault("include", module, form)
    if found is None or _module(found) == module:
        return
    if not _may_include(path, found):
        yield Fault("top", module, f"{path} includes {written}")
    elif _room(_module(found)):
        yield from _room_faults(module, _module(found), "includes")


def _c_includes(sources: Sources, graph: Graph) -> Iterator[Fault]:
    """Yield what is wrong with includes; put what points down into the graph."""
    for path, text in sources.items():
        module = _module(path)
        graph.setdefault(module, set())
        for written in _includes(text):
            found = _included(path, written, sources)
            wrong = list(_include_faults(path, written, found))
            yield from wrong
            points_down = not any(fault.rule in ("top", "upward") for fault in wrong)
            if found and points_down and not found.endswith(".def"):
                graph[module] |= {_module(found)} - {module}


def _defined(sources: Sources) -> dict[str, str]:
    """Return which module defines each function and variable that others can reach."""
    return {
        found.name: _module(path)
        for path, text in sources.items()
        if path.endswith(".c")
        for found in _declarations(text)
        if found.is_defined and not found.is_static
    }


def _c_uses(sources: Sources, graph: Graph) -> Iterator[Fault]:
    """Yield uses of what a room may not know; put the others into the graph.

    A header that only declares what another module defines uses nothing of it.
    """
    defined = _defined(sources)
    for path, text in sources.items():
        module = _module(path)
        own = {d.name for d in _declarations(text) if d.is_static or path.endswith(".h")}
        for name in sorted((_used_names(text) & defined.keys()) - own):
            other = defined[name]
            wrong = list(_room_faults(module, other, f"uses {name} of"))
            yield from wrong
            if not wrong and other != module:
                graph[module].add(other)


def _c_declared(sources: Sources) -> Iterator[Fault]:
    """Yield modules whose functions another module's file declares, or no header does."""
    defined = _defined(sources)
    declared: Graph = {}
    for path, text in sources.items():
        for found in _declarations(text):
            is_mine = path.endswith(".c") and defined.get(found.name) == _module(path)
            if not found.is_static and not is_mine:
                declared.setdefault(found.name, set()).add(_module(path))
    for name, module in defined.items():
        where = declared.get(name, set())
        if not where:
            yield Fault("declared nowhere", module, name)
        elif where != {module}:
            strangers = ", ".join(sorted(where - {module}))
            yield Fault("declared elsewhere", module, f"{name} in {strangers}")


def c_faults(sources: Sources) -> Iterator[Fault]:
    """Yield each fault in the walls of ``csrc``."""
    core = {path: text for path, text in sources.items() if path.startswith("csrc/")}
    graph: Graph = {}
    yield from _c_includes(core, graph)
    code = {path: text for path, text in core.items() if not path.endswith(".def")}
    yield from _c_uses(code, graph)
    yield from _c_declared(code)
    yield from circle_faults("circle", graph)
