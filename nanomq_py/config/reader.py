"""Reads ``nanomq.conf``, in its flat or its nested form, and makes a :class:`Config` of it.

Every fault is one :class:`ConfigError` that names file, line, key, value and what was
expected.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nanomq_py import kept
from nanomq_py.config.build import build
from nanomq_py.config.declare.section import Sections
from nanomq_py.config.environment import from_environment, variable_of
from nanomq_py.config.faults import ConfigError, Faults, TooManyError
from nanomq_py.config.forms import flat, nested
from nanomq_py.config.forms.entries import Entry
from nanomq_py.config.keys.config import Config
from nanomq_py.config.keys.plugins import IMPLIED, Names
from nanomq_py.config.nanomq.form import is_nested
from nanomq_py.config.nanomq.missing import is_on
from nanomq_py.config.nanomq.names import entries_of
from nanomq_py.config.nanomq.older import in_force, renamed
from nanomq_py.config.values.kind import BadValue

if TYPE_CHECKING:
    from nanomq_py.config.declare.plugged import Plugged, Plugging

MAX_FILE_BYTES = 16 << 20
MOST_INCLUDES = 16  # files that include each other in a chain
MOST_FILES = 256  # that are included in all


# --- the file and what it includes


def _opened(path: Path) -> BinaryIO:
    """Open a regular file; another one could block. Raises OSError, ValueError."""
    fd = kept.open_file(path)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        is_folder = stat.S_ISDIR(os.fstat(fd).st_mode)
        os.close(fd)
        if is_folder:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        raise OSError(errno.EINVAL, "expected a regular file")
    return open(fd, "rb")


def read_text(path: Path) -> str:
    """Return the text of a configuration file. Raises ConfigError."""
    try:
        with _opened(path) as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as fault:  # ValueError: a zero byte in the path
        why = fault.strerror if isinstance(fault, OSError) else str(fault)
        raise ConfigError(f"{path}: cannot be read: {why}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as fault:
        raise ConfigError(f"{path}: not UTF-8 at byte {fault.start}") from None
    if "\x00" in text:
        raise ConfigError(f"{path}: holds a zero byte: expected a text file")
    return text


def _includer(folder: Path, above: tuple[Path, ...], files: count[int]) -> nested.Include:
    """Return the function that reads an included file.

    above   the files that include it
    files   counts each time that a file is included
    """

    def include(name: str, where: str, order: count[int]) -> nested.Section:
        path = folder / name
        try:
            real = Path(os.path.realpath(path))
        except ValueError as fault:  # no path at all
            raise ConfigError(f"{where}: include {name!r}: {fault}") from None
        if len(above) > MOST_INCLUDES or real in above:
            raise ConfigError(
                f"{where}: include {name!r}: includes itself, or too many others"
            )
        if next(files) >= MOST_FILES:
            what = f"{where}: include {name!r}: expected at most {MOST_FILES} includes"
            raise TooManyError(what)
        try:
            text = read_text(path)
        except ConfigError as fault:
            raise ConfigError(f"{where}: include {name!r}: {fault}") from None
        below = _includer(path.parent, (*above, real), files)
        return nested.read(text, str(path), below, order)

    return include


@dataclass(frozen=True)
class Reading:
    """A configuration, and the text and the entries that it was read from."""

    config: Config
    text: str = ""
    nested: bool = False  # which form it has
    entries: Mapping[str, Entry] = field(default_factory=dict)
    overrides: Mapping[str, Entry] = field(default_factory=dict)
    brought: Sections = ()  # by parts and plugins, besides the keys of Config
    of_parts: Sections = ()  # those of them that parts have brought
    plugging: Plugging | None = None  # None: no plugins are looked for

    @contextlib.contextmanager
    def placing(self) -> Iterator[None]:
        """Have each fault of the block that begins with a key begin with its place."""
        try:
            yield
        except ConfigError as fault:
            raise type(fault)(*(self._placed(str(text)) for text in fault.args)) from None

    def _placed(self, text: str) -> str:
        """Return a fault behind where its key is given, or else the first of its section."""
        found = re.match(r"[\w.-]+", text)
        given = {**self.entries, **self.overrides}
        name = found[0] if found is not None else ""
        if name in given:
            return f"{given[name].where}: {given[name].called}{text[len(name) :]}"
        while name.count("."):
            begins = f"{name}."
            for entry in given.values():
                if entry.name.startswith(begins) or entry.called == name:
                    return f"{entry.where}: {text}"
            name = name.rpartition(".")[0]
        return text


def read(
    text: str,
    source: str,
    *,
    folder: Path | None = None,
    overrides: Mapping[str, Entry] = {},
    brought: Sections = (),
    plugging: Plugging | None = None,
    known: Sequence[Plugged] = (),
    anew: bool = False,
) -> Reading:
    """Return what the text says, with ``overrides`` in the place of its own entries.

    source       names the text in errors
    folder       where included files are looked for
    brought      the sections of parts, which are read as those of Config
    plugging     finds the plugins that the text names; None: their keys are left out
    known, anew  what it is given besides
    Raises       ConfigError
    """
    if "\x00" in text:
        raise ConfigError(f"{source}: holds a zero byte: expected a text file")
    # A byte order mark becomes a space, so that positions in the text stay the same.
    plain = " " + text[1:] if text.startswith("\ufeff") else text
    faults = Faults()
    nests, entries = _entries(plain, source, folder, brought, faults)
    plugged: tuple[Plugged, ...] = ()
    sections = brought
    if plugging is not None:
        with faults.gathered():
            plugged = _plugged({**entries, **overrides}, plugging, known, anew=anew)
        sections += tuple(section for each in plugged for section in each.sections)
    if sections != brought and plugging is not None:
        faults = Faults()  # its own, of the reading that knows all sections
        nests, entries = _entries(plain, source, folder, sections, faults)
        overrides = {**from_environment(plugging.environ, sections), **overrides}
    config = build({**entries, **overrides}, faults, sections, plugged)
    return Reading(config, text, nests, entries, overrides, sections, brought, plugging)


def _entries(
    plain: str, source: str, folder: Path | None, brought: Sections, faults: Faults
) -> tuple[bool, dict[str, Entry]]:
    """Return whether the text has the nested form, and its entries. Raises ConfigError."""
    nests = is_nested(plain, brought)
    try:
        if nests:
            above = () if folder is None else ((folder / Path(source).name).resolve(),)
            include = _includer(folder or Path(), above, count())
            given = entries_of(nested.read(plain, source, include), brought)
        else:
            given = flat.read(plain, source, faults)
    except RecursionError:
        raise ConfigError(f"{source}: too many sections in each other") from None
    return nests, renamed(given, faults, once=not nests)


def _plugged(
    given: Mapping[str, Entry], plugging: Plugging, known: Sequence[Plugged], *, anew: bool
) -> tuple[Plugged, ...]:
    """Return the plugins that the entries name, or switch on. Raises ConfigError."""
    load = given.get("plugins.load")
    counts = in_force(given, Faults())  # building the configuration tells the faults
    on = [name for name in IMPLIED if name in counts and is_on(counts[name].value)]
    if load is None and not on:
        return ()
    entry = load if load is not None else given[on[0]]
    try:
        names = Names().parse(load.value) if load is not None else ()
        names = tuple(dict.fromkeys((*names, *(IMPLIED[name] for name in on))))
        return plugging.find(names, known, anew=anew) if names else ()
    except BadValue as bad:
        raise entry.error(bad.expected(Names().expected)) from None


def parse(text: str, source: str, brought: Sections = ()) -> Config:
    """Return the configuration that the text holds. ``source`` names it in errors.

    Raises   ConfigError
    """
    return read(text, source, brought=brought).config


def from_texts(
    texts: Mapping[str, str],
    source: str,
    brought: Sections = (),
    plugging: Plugging | None = None,
) -> Config:
    """Return the configuration of these flat names. Raises ConfigError.

    source  names the texts in errors
    """
    entries = {name: Entry(name, text, source) for name, text in texts.items()}
    faults = Faults()
    plugged: tuple[Plugged, ...] = ()
    if plugging is not None:
        with faults.gathered():
            plugged = _plugged(entries, plugging, (), anew=False)
        brought += tuple(section for each in plugged for section in each.sections)
    return build(entries, faults, brought, plugged)


def load(
    path: str | Path, brought: Sections = (), plugging: Plugging | None = None
) -> Config:
    """Read the file. Raises ConfigError, also when it cannot be read."""
    path = Path(path)
    text = read_text(path)
    return read(
        text, str(path), folder=path.parent, brought=brought, plugging=plugging
    ).config


def texts_of(path: Path | None, name: str, environ: Mapping[str, str]) -> list[str]:
    """Return the texts that may be the value of a key, also where the file has faults.

    The text of the environment comes first, then those of the file, its last line first.
    """
    given = environ.get(variable_of(name))
    text = ""
    if path is not None:
        with contextlib.suppress(OSError, ValueError), _opened(path) as file:
            text = file.read(MAX_FILE_BYTES).decode(errors="replace")
    last = re.escape(name.rpartition(".")[2])
    found = re.findall(rf"^(?:[^#\n]*[\s{{.])?{last}[^\S\n]*[=:](.*)$", text, re.MULTILINE)
    texts = [
        value.strip().lstrip('"').partition('"')[0].strip() for value in reversed(found)
    ]
    return [*([given] if given else []), *filter(None, texts)]
