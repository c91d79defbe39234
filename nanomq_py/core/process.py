"""What the C core does for the whole process, over all brokers in it."""

from __future__ import annotations

from nanomq_py.core.native import lib


def set_task_threads(count: int) -> None:
    """Set how many threads move messages, 2 to 256. Works before the first broker only."""
    lib.nmq_engine_threads(count)


def set_arenas(count: int) -> None:
    """Set how many heaps threads may have; before the first broker. Few waste less memory."""
    lib.nmq_set_arenas(count)


def set_dumpable(*, dumpable: bool) -> None:
    """Set whether core files may hold our memory, and other processes of our user read it."""
    lib.nmq_set_dumpable(dumpable)


def held_bytes() -> int:
    """Return what all cores of this process hold."""
    return int(lib.nmq_held_bytes())


def has_descriptors(keep: int) -> bool:
    """Return whether this process can have one more descriptor, and ``keep`` after it."""
    return bool(lib.nmq_has_descriptors(keep))


def set_other_bytes(count: int) -> None:
    """Tell the core what the process takes besides :func:`held_bytes`; 0: not measured."""
    lib.nmq_set_other_bytes(count)


def trim_memory() -> None:
    """Give memory that lies idle back to the system. Blocks for milliseconds."""
    lib.nmq_trim_memory()
