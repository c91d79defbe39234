"""Where the broker keeps what outlives it: the store, and the journal of its messages."""

from __future__ import annotations

import os
from pathlib import Path

STATE = Path("/var/lib/nanomq")  # of a broker whose configuration file is below /etc


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


def journal_of(given: str | None, store: str, conf: Path | None) -> Path | None:
    """Return the folder of the journal; None: there is no place for it.

    given   ``durability.location``; None: beside the store
    store   ``store.path``; empty: where systemd says, or by the configuration file
    conf    the configuration file; None: there is none

    >>> journal_of(None, "/srv/a/nanomq.db", None)
    PosixPath('/srv/a/nanomq.journal')
    """
    if given:
        return Path(given).absolute()
    if store:
        return Path(store).absolute().with_suffix(".journal")
    name = f"{'nanomq' if conf is None else conf.stem}.journal"
    if state := os.environ.get("STATE_DIRECTORY"):
        return Path(state.partition(":")[0]).absolute() / name
    if conf is None:
        return None
    folder = conf.absolute().parent
    return (STATE if folder.is_relative_to("/etc") else folder) / name
