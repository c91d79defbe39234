"""Memory of the process: how much it may have, and idle memory back to the system."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nanomq_py.core import process

LOOK_S = 1.0  # between two looks whether much has changed,
BUSY_LOOK_S = 0.2  # and when much has
INTERVAL_S = 10.0  # between two measurements, at most
SLACK_BYTES = 2 << 20  # that may lie idle


# Files of a control group that bound its memory, by the type of the file system. Over
# memory.high the kernel slows a process down until it has given memory back.
_BOUNDS = {"cgroup2": ("memory.max", "memory.high"), "cgroup": ("memory.limit_in_bytes",)}


@dataclass(frozen=True)
class _Mount:
    """Where a hierarchy of control groups is mounted."""

    kind: str  # a key of _BOUNDS
    at: PurePosixPath
    root: PurePosixPath  # the group that is mounted there

    def folder_of(self, group: PurePosixPath) -> PurePosixPath:
        """Return the folder of a group, or of the mount where the group is outside it."""
        inside = group.is_relative_to(self.root) and ".." not in group.parts
        return self.at / group.relative_to(self.root) if inside else self.at


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _path(field: str) -> PurePosixPath:
    """Return the path of a field, in which blanks and backslashes are octal."""
    return PurePosixPath(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), field))


def _mounts(root: Path) -> Iterator[_Mount]:
    """Yield the hierarchies that know of memory.

    Source  proc_pid_mountinfo(5)
    """
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(fields) < 5 or len(rest) < 3 or rest[0] not in _BOUNDS:
            continue
        if rest[0] == "cgroup2" or "memory" in rest[2].split(","):
            yield _Mount(rest[0], _path(fields[4]), _path(fields[3]))


def _groups(root: Path) -> dict[str, PurePosixPath]:
    """Return the group of this process, by the type of its hierarchy.

    Source  cgroups(7)
    """
    found: dict[str, PurePosixPath] = {}
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, group = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            found["cgroup2"] = PurePosixPath(group)
        elif "memory" in controllers.split(","):
            found["cgroup"] = PurePosixPath(group)
    return found


def group_bytes(root: Path = Path("/")) -> int | None:
    """Return the smallest memory bound of this process's control groups; None: none.

    A group has no more than the groups around it, so those count too.

    root  of the file system; another for tests
    """
    groups = _groups(root)
    bounds = []
    for mount in _mounts(root):
        if mount.kind not in groups:
            continue
        folder = mount.folder_of(groups[mount.kind])
        for place in (folder, *folder.parents):
            if not place.is_relative_to(mount.at):
                break
            for name in _BOUNDS[mount.kind]:
                text = _lines(root / place.relative_to("/") / name)
                if text and text[0].isascii() and text[0].isdigit():  # not "max"
                    bounds.append(int(text[0]))
    return min(bounds, default=None)


def memory_share() -> int:
    """Return three quarters of the memory that this process can have, in bytes."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    group = group_bytes()
    return (machine if group is None else min(machine, group)) * 3 // 4


def resident_bytes() -> int:
    """Return how many bytes of this process are in memory; 0: the system does not tell."""
    try:
        fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


class Trimmer:
    """Trims the heap when more lies idle in it than after the last time.

    It also tells the core what the process takes besides what the core holds (Python, and heap
    that cannot be trimmed): the core counts that against ``max_memory``.
    """

    def __init__(self) -> None:
        process.trim_memory()  # of what the imports needed for a while
        self._idle = self._told = self._now()
        self._held = process.held_bytes()
        process.set_other_bytes(self._idle)

    @staticmethod
    def _now() -> int:
        return max(0, resident_bytes() - process.held_bytes())

    def look(self) -> bool:
        """Trim if it is worth it; return whether it was. Trimming takes milliseconds."""
        idle = self._now()
        worth = idle > self._idle + SLACK_BYTES
        if worth:
            process.trim_memory()
            idle = self._idle = self._now()
        self._idle = min(self._idle, idle)
        self._held = process.held_bytes()
        self._told = idle
        process.set_other_bytes(idle)
        return worth

    @property
    def _has_changed(self) -> bool:
        held = abs(process.held_bytes() - self._held)
        return max(held, abs(self._now() - self._told)) > SLACK_BYTES

    async def run(self) -> None:
        """Look now and then, and soon when much has changed; until cancelled."""
        waited_s = 0.0
        pause_s = LOOK_S
        while True:
            await asyncio.sleep(pause_s)
            waited_s += pause_s
            changed = self._has_changed
            pause_s = BUSY_LOOK_S if changed else LOOK_S
            if changed or waited_s >= INTERVAL_S:
                waited_s = 0.0
                await asyncio.to_thread(self.look)
