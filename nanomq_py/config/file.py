"""The configuration file on disk: it is read whole and replaced whole.

New content is written to a file beside the old one, synced to the disk, and then renamed. At
any moment the path leads to the old file or to the new one. The old one stays as ``.bak``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nanomq_py.config.declare.section import Sections
from nanomq_py.config.edit import edited
from nanomq_py.config.faults import ConfigError, NotWrittenError
from nanomq_py.config.forms.entries import Entry
from nanomq_py.config.keys.config import Config
from nanomq_py.config.reader import Reading, read, read_text

if TYPE_CHECKING:
    from nanomq_py.config.declare.plugged import Plugged, Plugging


def sync_folder(folder: Path) -> None:
    """Sync which files the folder has to the disk. Blocks. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a new file with that mode, and sync it to the disk. Raises OSError."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(path, flags, 0o600)
    try:
        os.fchmod(fd, mode)
        at = 0
        while at < len(data):
            at += os.write(fd, data[at:])
        os.fsync(fd)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


class Replacement:
    """New content, which waits beside the file."""

    def __init__(self, path: Path, old: str, new: str) -> None:
        """Write it there. Raises NotWrittenError, and nothing has changed."""
        self._path = path
        self._old = old
        self._waiting = path.with_name(f".{path.name}.new")
        self._replaced = False
        try:
            stat = path.stat()
            write_new(self._waiting, new.encode(), stat.st_mode & 0o7777)
            with contextlib.suppress(PermissionError):  # a file of another user
                os.chown(self._waiting, stat.st_uid, stat.st_gid)
        except OSError as fault:
            raise self._error(fault) from None

    def _error(self, fault: OSError) -> NotWrittenError:
        return NotWrittenError(f"{self._path}: not written: {fault.strerror}")

    def _keep_backup(self) -> None:
        kept = self._path.with_name(f".{self._path.name}.old")
        kept.unlink(missing_ok=True)
        try:
            os.link(self._path, kept)
        except OSError:  # a file system without links
            import shutil  # with what unpacks archives

            shutil.copy2(self._path, kept)
        os.replace(kept, self._path.with_name(f"{self._path.name}.bak"))

    def commit(self) -> None:
        """Replace the file by it. Raises ConfigError, and nothing has changed."""
        if read_text(self._path) != self._old:
            raise NotWrittenError(
                f"{self._path}: changed on disk since it was read: reload it first"
            )
        try:
            self._keep_backup()
            os.replace(self._waiting, self._path)
            self._replaced = True
            sync_folder(self._path.parent)
        except OSError as fault:
            raise self._error(fault) from None

    def undo(self) -> None:
        """Restore the old content, whatever has been done."""
        with contextlib.suppress(OSError):
            if self._replaced:
                stat = self._path.stat()
                write_new(self._waiting, self._old.encode(), stat.st_mode & 0o7777)
                os.replace(self._waiting, self._path)
            self._waiting.unlink(missing_ok=True)


class ConfFile:
    """Where a broker's configuration comes from; without a path, a text in memory.

    ``reading`` is what was read last and is in force.
    """

    def __init__(
        self,
        path: Path | None,
        overrides: Mapping[str, Entry],
        brought: Sections = (),
        plugging: Plugging | None = None,
    ) -> None:
        """Read it. Raises ConfigError.

        overrides  entries that stand above those of the file
        brought    the sections of parts, besides the keys of Config
        plugging   finds the plugins that the file names; None: it may name none
        """
        # A link is followed at each reading: it may lead elsewhere by then.
        self.path = path.absolute() if path is not None else None
        self._overrides = overrides
        self._brought = brought
        self._plugging = plugging
        self._taken_over: Reading | None = None
        self.reading = self._read("")

    @classmethod
    def taking_over(
        cls,
        path: Path | None,
        overrides: Mapping[str, Entry],
        config: Config,
        plugging: Plugging | None = None,
    ) -> ConfFile:
        """Return the file, while another configuration than the file's is in force.

        The file is not written to before a reload has read it.
        """
        file = cls.__new__(cls)
        file.path = path.absolute() if path is not None else None
        file._overrides = overrides
        brought = tuple(section for section, _ in config.brought)
        plugged = [section for each in config.plugged for section in each.sections]
        file._brought = tuple(section for section in brought if section not in plugged)
        file._plugging = plugging
        file.reading = file._taken_over = Reading(
            config,
            overrides=overrides,
            brought=brought,
            of_parts=file._brought,
            plugging=plugging,
        )
        return file

    @property
    def source(self) -> str:
        return str(self.path) if self.path is not None else "the defaults"

    @property
    def _folder(self) -> Path | None:
        return self.path.parent if self.path is not None else None

    def read(self, *, anew: bool = False) -> Reading:
        """Return what the file says now. Raises ConfigError. Blocks.

        anew  plugins whose code has changed are loaded again
        """
        return self._read(self.reading.text, self.reading.config.plugged, anew=anew)

    def _read(
        self, in_memory: str, known: Sequence[Plugged] = (), *, anew: bool = False
    ) -> Reading:
        text = in_memory if self.path is None else read_text(self.path)
        return self._reading_of(text, known, anew=anew)

    def _reading_of(self, text: str, known: Sequence[Plugged], *, anew: bool) -> Reading:
        return read(
            text,
            self.source,
            folder=self._folder,
            overrides=self._overrides,
            brought=self._brought,
            plugging=self._plugging,
            known=known,
            anew=anew,
        )

    def saying(self, text: str) -> Reading:
        """Return what the file would say with that text in it. Raises ConfigError. Blocks."""
        if self.path is None:
            raise NotWrittenError("the broker was started without a configuration file")
        return self._reading_of(text, self.reading.config.plugged, anew=False)

    def edited(self, config: Config) -> Reading:
        """Return what the file would say with that configuration in it.

        Raises   ConfigError naming the key that it cannot hold
        """
        if self.reading is self._taken_over:
            raise ConfigError(
                f"{self.source}: not what is in force since the restart: reload it first"
            )
        return edited(self.reading, config, self.source, self._folder)

    def replacement(self, reading: Reading) -> Replacement | None:
        """Return the file's new content, written but not in its place; None without a file.

        Raises   ConfigError
        """
        if self.path is None or reading.text == self.reading.text:
            return None
        return Replacement(self.path.resolve(), self.reading.text, reading.text)
