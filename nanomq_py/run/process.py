"""What the system lets this process do, and what it must not do."""

from __future__ import annotations

import resource

from nanomq_py.core.process import set_dumpable


def allow_many_connections() -> int:
    """Raise this process's bound on descriptors as far as the system lets it; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def keep_secrets() -> None:
    """Leave no core file: neither where the system puts one, nor through its program.

    A program that core files are piped to gets them whatever RLIMIT_CORE is, but not those of a
    process that is not dumpable. The hard limit stays, so that a restart can allow them again.

    Source  core(5), proc_sys_fs(5)
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    set_dumpable(dumpable=False)


def core_bounds() -> tuple[int, int]:
    """Return the bounds on core files, for :func:`set_core_bounds`."""
    return resource.getrlimit(resource.RLIMIT_CORE)


def set_core_bounds(bounds: tuple[int, int]) -> None:
    """Set the bounds on core files that there were before :func:`keep_secrets`."""
    resource.setrlimit(resource.RLIMIT_CORE, bounds)
