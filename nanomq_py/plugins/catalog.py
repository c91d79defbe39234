"""Plugins that are installed, and their code: found by entry point, loaded, loaded anew.

Threads  any: one at a time looks for plugins
Source   the entry points specification of the Python packaging guide
"""

from __future__ import annotations

import importlib
import logging
import os
import pkgutil
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any

from nanomq_py.config.declare.key import Key
from nanomq_py.config.declare.plugged import Plugged
from nanomq_py.config.declare.section import Sections
from nanomq_py.config.declare.walk import all_keys
from nanomq_py.config.keys.config import Config
from nanomq_py.config.keys.plugins import PREFIX
from nanomq_py.config.reader import from_texts
from nanomq_py.config.settings import settings_of
from nanomq_py.config.values.kind import BadValue
from nanomq_py.kernel.part import brought_by
from nanomq_py.plugins.plugin import Plugin, text_of
from nanomq_py.version import __version__

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

log = logging.getLogger("nanomq.plugins")

GROUP = "nanomq_py.plugins"
_KEY = re.compile(r"(?=.{1,200}\Z)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_turn = Lock()

# Plugins that come with the broker: the class and what it is. Each has a room of its own, and
# what finds those of others is not loaded for them.
OWN = {
    "devices": ("Devices", "A platform for devices: /iot/api/v1"),
    "rules": ("Rules", "Rules: SQL over messages and events"),
    "webhook": ("WebHooks", "Web hooks: an HTTP server is told what happens"),
}

# The files of modules, each with what tells that it has changed.
Files = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Origin:
    """Where a plugin comes from: its distribution."""

    version: str = ""
    summary: str = ""

    @staticmethod
    def of(point: EntryPoint | OwnPoint) -> Origin:
        if point.name in OWN or isinstance(point, OwnPoint):
            return Origin(__version__, OWN[point.name][1])
        if point.dist is None:
            return Origin()
        data = point.dist.metadata
        return Origin(point.dist.version, (data.get_all("Summary") or [""])[0])


@dataclass(frozen=True)
class OwnPoint:
    """Where a plugin is that comes with the broker, as an entry point says it."""

    name: str

    @property
    def value(self) -> str:
        return f"{__package__}.{self.name}.plugin:{OWN[self.name][0]}"

    def load(self) -> Any:
        return pkgutil.resolve_name(self.value)


@dataclass(eq=False)
class Loaded:
    """A plugin as it was loaded, or why it could not be.

    kind     its class; None: there is a fault
    fault    what was wrong
    raised   the exception, for the log
    package  what its modules are below
    kept     why newer code could not be loaded in its place; empty: there is none
    """

    name: str
    origin: Origin
    package: str
    kind: type[Plugin] | None = None
    fault: str = ""
    raised: BaseException | None = None
    kept: str = ""
    files: Files = field(default_factory=dict)

    @property
    def sections(self) -> Sections:
        return () if self.kind is None else self.kind.brings

    def is_current(self) -> bool:
        """Return whether its code is what would be loaded now. A fault is looked at again."""
        if self.fault or not self.files or self.files != _seen(self.files):
            return False
        self.kept = ""
        return True

    def expire(self) -> None:
        """Have it loaded again when the configuration is read anew, whatever its files say."""
        self.files = {}

    def forget(self) -> None:
        """Take its modules out: who loads it next has them as they are then. May block."""
        with _turn:
            _take_out(self.package)


def installed() -> dict[str, EntryPoint]:
    """Return the plugins that are installed, by name. Blocks: it looks at every package."""
    from importlib.metadata import entry_points

    importlib.invalidate_caches()
    return {point.name: point for point in entry_points(group=GROUP)}


def find(
    names: Sequence[str], known: Sequence[Plugged], *, anew: bool
) -> tuple[Loaded, ...]:
    """Return the plugins of these names, and load those that are not known. Blocks.

    known   those of before, which stay what they are
    anew    load those again whose code has changed; where this fails the old one stays
    Raises  BadValue for a name that nobody has
    """
    with _turn:
        have = {each.name: each for each in known if isinstance(each, Loaded)}
        if anew:
            stay = {name: each for name, each in have.items() if each.is_current()}
        else:
            stay = have
        points = _points(set(names) - set(stay))
        if missing := [name for name in names if name not in stay and name not in points]:
            there = f"which are {', '.join(sorted(points))}" if points else "there are none"
            raise BadValue(
                f"names of installed plugins, {there}; not installed: {', '.join(missing)}"
            )
        return tuple(
            stay[name] if name in stay else _loaded(points[name], have.get(name))
            for name in names
        )


def _points(names: set[str]) -> Mapping[str, EntryPoint | OwnPoint]:
    """Return where these plugins are, of those that are installed, and maybe others."""
    if names <= set(OWN):
        return {name: OwnPoint(name) for name in names}
    return {**installed(), **{name: OwnPoint(name) for name in names & set(OWN)}}


def _loaded(point: EntryPoint | OwnPoint, before: Loaded | None) -> Loaded:
    """Return the plugin, loaded now; or that of before, if only that can be used."""
    out = {} if before is None else _take_out(before.package)
    made = _tried(Loaded(point.name, Origin.of(point), _package_of(point)), point)
    if made.kind is None:
        _take_out(made.package)
        if before is not None and before.kind is not None:
            sys.modules.update(out)
            before.kept = made.fault
            log.error(
                "plugin %s: %s; what ran before goes on",
                before.name,
                before.kept,
                exc_info=made.raised,
            )
            return before
    return made


def _tried(plain: Loaded, point: EntryPoint | OwnPoint) -> Loaded:
    try:
        kind = point.load()
        _check(plain.name, kind)
    except KeyboardInterrupt:
        raise
    except BaseException as fault:  # a module may raise SystemExit
        return replace(plain, fault=f"cannot be loaded: {text_of(fault)}", raised=fault)
    package = _package_of(point)
    return replace(plain, kind=kind, package=package, files=_files_of(package))


def _check(name: str, kind: object) -> None:
    """Raise TypeError or ValueError if that is no plugin, or its keys cannot be declared."""
    if not (isinstance(kind, type) and issubclass(kind, Plugin)):
        raise TypeError(
            f"{kind!r}: expected a class made of nanomq_py.plugins.plugin.Plugin"
        )
    its = f"{PREFIX}.{name}"
    for section in kind.brings:
        if not f"{section.prefix}.".startswith(f"{its}."):
            raise ValueError(f"keys below {section.prefix!r}: expected {its!r}")
    _check_keys(name, brought_by([kind]))


def _check_keys(name: str, sections: Sections) -> None:
    """Raise ValueError for a key that a file, or the process after a restart, cannot hold."""
    settings = settings_of(from_texts({}, name, sections))  # as every reader of them does
    for at, key in all_keys(Config, sections):
        if not at.indices and at.name.startswith(f"{PREFIX}.{name}."):
            _check_key(at.name, key, settings[at.name].text)


def _check_key(name: str, key: Key, default: str) -> None:
    if _KEY.fullmatch(name) is None:
        raise ValueError(f"{name[:80]!r}: no name of a key: letters, digits, _, - and .")
    try:
        key.kind.parse(default)
    except BadValue as bad:
        raise ValueError(
            f"{name}={default!r}: its default: expected {bad.expected(key.kind.expected)}"
        ) from None


# --- modules; what they say of themselves may be anything


def _package_of(point: EntryPoint | OwnPoint) -> str:
    """Return what is loaded together with a module: its package; alone, where that holds us."""
    module = point.value.partition(":")[0].strip()
    above = module.rpartition(".")[0]
    package = getattr(sys.modules.get(module), "__package__", None)
    if package not in (module, above):
        package = above
    return module if not package or f"{__name__}.".startswith(f"{package}.") else package


def _below(package: str) -> dict[str, ModuleType]:
    return {
        name: module
        for name, module in list(sys.modules.items())
        if name == package or name.startswith(f"{package}.")
    }


def _take_out(package: str) -> dict[str, ModuleType]:
    """Take the modules out, so that they are imported anew; return them."""
    return {name: sys.modules.pop(name) for name in _below(package)}


def _files_of(package: str) -> Files:
    paths = [getattr(module, "__file__", None) for module in _below(package).values()]
    return _seen([path for path in paths if isinstance(path, str)])


def _seen(paths: Sequence[str] | Files) -> Files:
    """Return what tells of these files whether they have changed; none for one that is gone."""
    seen = {}
    for path in paths:
        try:
            found = os.stat(path)
        except (OSError, ValueError):  # ValueError: no path at all
            continue
        seen[path] = (found.st_mtime_ns, found.st_size)
    return seen
