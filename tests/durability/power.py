"""A file system whose power is cut: ext4 on a loop device, which is shut down without its
journal. What was not flushed is gone. Only root may do it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.durability.homes import Ended, Program

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
NO_LOG_FLUSH = struct.pack("I", 2)
SIZE_MB = 400


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Disk:
    """An image, mounted as a folder."""

    def __init__(self, place: Path, size_mb: int = SIZE_MB) -> None:
        self.image, self.folder = place / "image", place / "disk"
        self.folder.mkdir()
        with self.image.open("wb") as file:
            file.truncate(size_mb << 20)
        _run("mkfs.ext4", "-q", "-F", self.image)
        self.is_mounted = False

    def mount(self) -> None:
        if not self.is_mounted:
            _run("mount", "-o", "loop", self.image, self.folder)
            self.is_mounted = True

    def cut(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, NO_LOG_FLUSH)
        finally:
            os.close(fd)

    def unmount(self) -> None:
        if self.is_mounted:
            _run("umount", self.folder)
            self.is_mounted = False


@contextlib.contextmanager
def disk(size_mb: int = SIZE_MB) -> Iterator[Disk]:
    with tempfile.TemporaryDirectory(prefix="nanomq-power-") as place:
        made = Disk(Path(place), size_mb)
        try:
            yield made
        finally:
            made.unmount()


def why_not() -> str:
    """Return why no power can be cut here; empty: it can."""
    if os.geteuid() != 0:
        return "only root may mount a loop device"
    try:
        with disk(16) as made:
            made.mount()
            made.cut()
    except (OSError, subprocess.CalledProcessError) as fault:
        return f"no power can be cut here: {fault}"
    return ""


class Powered:
    """A broker whose log is on such a disk."""

    def __init__(self, disk: Disk, program: Program) -> None:
        self.disk, self.program = disk, program

    def start(self) -> int:
        self.disk.mount()
        return self.program.start()

    def die(self, rng: random.Random, how: str) -> None:
        self.program.live_on(rng, how)
        self._end()

    def die_young(self, rng: random.Random) -> None:
        self.disk.mount()
        self.program.begin_to_start(rng)
        self._end()

    def _end(self) -> None:
        ended = self.program.code() is not None
        self.disk.cut()
        self.program.close()
        self.disk.unmount()
        if ended:
            raise Ended("".join(self.program.said[-20:]))

    def close(self) -> None:
        self.program.close()
        self.disk.unmount()
