"""Where the broker keeps what outlives it: one folder for the store and the journal.

::

    $STATE_DIRECTORY      where systemd gives one
    /var/lib/nanomq       where the configuration file is below /etc
    beside the configuration file

What lies beside the configuration file already goes on being used there, and what is new is
made beside it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from nanomq_py.config.file import sync_folder
from nanomq_py.store.folder import DATABASE, JOURNAL, NAME, Places

if TYPE_CHECKING:
    import pwd

log = logging.getLogger("nanomq")

STATE = "/var/lib/nanomq"
ETC = "/etc"


def state_folder() -> Path | None:
    """Return the folder that systemd gives a service; None: there is none."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(given).absolute() if given else None


def home_of(conf: Path | None) -> Path | None:
    """Return the folder of a broker whose keys name none; None: there is no place.

    >>> home_of(Path("/srv/broker/nanomq.conf"))
    PosixPath('/srv/broker')
    """
    if (given := state_folder()) is not None:
        return given
    if conf is None:
        return None
    beside = conf.absolute().parent
    return Path(STATE) if beside.is_relative_to(ETC) else beside


def _homes(conf: Path | None) -> list[Path]:
    """Return the folders in which it may lie, that of what is new first."""
    beside = None if conf is None else conf.absolute().parent
    homes = [each for each in (home_of(conf), beside) if each is not None]
    return list(dict.fromkeys(homes))


def _name_of(conf: Path | None) -> str:
    return NAME if conf is None else conf.stem


def _found(name: str, homes: list[Path]) -> Path | None:
    # os.path: a folder that is closed to this user has nothing for it.
    return next((home / name for home in homes if os.path.lexists(home / name)), None)


def places_of(store: str, location: str | None, conf: Path | None) -> Places:
    """Return the file of the store and the folder of the journal; None: there is no place.

    store     ``store.path``; empty: it is not given
    location  ``durability.location``; None: it is not given
    conf      the configuration file; None: there is none

    >>> places_of("/srv/a/x.db", None, Path("/etc/nanomq/nanomq.conf"))
    Places(database=PosixPath('/srv/a/x.db'), journal=PosixPath('/srv/a/x.journal'))
    """
    given = Path(location).absolute() if location else None
    if store:
        database = Path(store).absolute()
        return Places(database, given or database.with_suffix(JOURNAL))
    homes, name = _homes(conf), _name_of(conf)
    if not homes:
        return Places(None, given)
    there = _found(f"{name}{DATABASE}", homes)
    journal = given or _found(f"{name}{JOURNAL}", homes)
    beside = there or (None if given else journal)
    home = homes[0] if beside is None else beside.parent
    return Places(there or home / f"{name}{DATABASE}", journal or home / f"{name}{JOURNAL}")


def place_of(store: str, conf: Path | None) -> Path | None:
    """Return the file of the store; None: there is no place, and it is kept in memory."""
    return places_of(store, None, conf).database


def _move(home: Path, old: Path, name: str) -> str:
    """Return the command that brings what lies there to its folder, for this user."""
    kinds = {DATABASE: "*", JOURNAL: "", "-exports": "", "-rules": ""}
    moved = [
        shlex.quote(f"{old / name}{kind}") + rest
        for kind, rest in kinds.items()
        if os.path.lexists(f"{old / name}{kind}")
        and not os.path.lexists(home / f"{name}{kind}")
    ]
    to = shlex.quote(str(home))
    return (
        f"install -d -m 700 -o {os.geteuid()} -g {os.getegid()} {to} &&"
        f" mv {' '.join(moved)} {to}/"
    )


def told_of(store: str, location: str | None, conf: Path | None) -> list[str]:
    """Return a line for each thing about the default places that somebody should know."""
    homes, name = _homes(conf), _name_of(conf)
    if store or len(homes) < 2:
        return []
    home, old = homes
    kinds = [DATABASE] if location else [DATABASE, JOURNAL]
    lying = [f"{name}{kind}" for kind in kinds if os.path.lexists(old / f"{name}{kind}")]
    unused = [each for each in lying if os.path.lexists(home / each)]
    lines = [f"{old / each} is not used: {home / each} is" for each in unused]
    if used := [str(old / each) for each in lying if each not in unused]:
        lines.append(
            f"{' and '.join(used)}: beside the configuration file, and {home} is the folder for"
            f" that now. To move it, stop the broker and, as root: {_move(home, old, name)}"
        )
    return lines


def tell(store: str, location: str | None, conf: Path | None) -> None:
    """Log what :func:`told_of` says."""
    for line in told_of(store, location, conf):
        log.warning("store: %s", line)


def make_home(folder: Path) -> None:
    """Make that folder and those above it, 0700 and on the disk. Blocks. Raises OSError."""
    if not os.path.isdir(folder):
        make_home(folder.parent)
        folder.mkdir(0o700, exist_ok=True)  # another start makes it, too
        with contextlib.suppress(
            PermissionError
        ):  # to make a file is not to read the names
            sync_folder(folder.parent)


def make_home_for(path: Path, owner: pwd.struct_passwd | None = None) -> None:
    """Make the folder of a store that no key names. Blocks. Raises OSError.

    owner   whose it is to be; None: this user
    """
    folder = path.parent
    if folder not in (Path(STATE), state_folder()) or os.path.isdir(folder):
        return
    make_home(folder)
    if owner is not None:
        os.chown(folder, owner.pw_uid, owner.pw_gid)
