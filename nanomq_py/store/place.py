"""Where the store is."""

from __future__ import annotations

from pathlib import Path


def place_of(given: str, conf: Path | None) -> Path | None:
    """Return the file of the store; None: there is no place, and it is kept in memory.

    given  ``store.path``; empty: beside the configuration file, and named as it is
    conf   the configuration file; None: there is none

    >>> place_of("", Path("/etc/nanomq/nanomq.conf"))
    PosixPath('/etc/nanomq/nanomq.db')
    """
    if given:
        return Path(given).absolute()
    return None if conf is None else conf.absolute().with_suffix(".db")
