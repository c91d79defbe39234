"""``nanomq store``: looks after what a broker keeps, while it runs or not.

Exit codes: 0 good, or done; 1 damaged, or it could not be done; 2 it cannot be read, or the
arguments cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from nanomq_py.cli.common import conf_file, say
from nanomq_py.config import ConfigError
from nanomq_py.store.faults import StoreError
from nanomq_py.store.folder import DATABASE, Places, places_in
from nanomq_py.store.place import places_of

Act = Callable[[Places, argparse.Namespace], int]
GOOD, DAMAGED, UNREADABLE = 0, 1, 2


def add_store_commands(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments, and what acts on them."""
    commands = parser.add_subparsers(dest="store_command", required=True)
    stat = commands.add_parser("stat", help="say what is in it")
    stat.add_argument("--json", action="store_true", help="as JSON, with more")
    check = commands.add_parser(
        "check", help="read all of it and say whether it is damaged; changes nothing"
    )
    repair = commands.add_parser(
        "repair",
        help="leave out what is damaged, and keep a copy of it; the broker is stopped",
    )
    backup = commands.add_parser(
        "backup", help="write a copy to a new folder, on which a broker can start"
    )
    for command, act in ((stat, _stat), (check, _check), (repair, _repair)):
        command.add_argument(
            "folder",
            type=Path,
            nargs="?",
            metavar="FOLDER",
            help="where it is, also a backup; left out: where --conf says",
        )
        command.set_defaults(act=lambda args, act=act: _run(act, args))
    backup.add_argument(
        "to",
        type=Path,
        metavar="DIR",
        help="a name that ends in .db: a copy of the database alone, in a new file",
    )
    backup.set_defaults(act=lambda args: _run(_back_up, args), folder=None)
    for command in (stat, check, repair, backup):
        command.add_argument("--conf", type=Path, help="the nanomq.conf of the broker")


def _places(args: argparse.Namespace) -> Places:
    """Return where it is. Raises ConfigError."""
    if args.folder is not None:
        if not args.folder.is_dir():
            raise ConfigError(f"{args.folder}: expected a folder")
        return places_in(args.folder.absolute())
    file = conf_file(args.conf, args.brought)
    config = file.reading.config
    places = places_of(config.store.path, config.kept.location, file.path)
    if places == Places(None, None):
        raise ConfigError("expected FOLDER, --conf, or the key store.path")
    return places


def _run(act: Act, args: argparse.Namespace) -> int:
    """Return the exit code. Raises ConfigError."""
    wanted = _places(args)
    places = wanted.those_there()
    if places == Places(None, None):
        looked = [str(p) for p in (wanted.database, wanted.journal) if p is not None]
        where = " and ".join(looked) or args.folder
        say(f"nanomq: {where}: there is nothing: nothing has been kept yet", to=sys.stderr)
        return UNREADABLE
    try:
        return act(places, args)
    except StoreError as fault:
        say(f"nanomq: {fault}", to=sys.stderr)
        return DAMAGED


def _say_all(lines: list[str]) -> None:
    for line in lines:
        say(line)


def _stat(places: Places, args: argparse.Namespace) -> int:
    from nanomq_py.store.facts import facts_of, lines_of

    try:
        facts = facts_of(places)
    except StoreError as fault:
        say(f"nanomq: {fault}", to=sys.stderr)
        return UNREADABLE
    if args.json:
        import orjson

        print(orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode())
    else:
        _say_all(lines_of(facts))
    return GOOD


def _check(places: Places, args: argparse.Namespace) -> int:
    codes = [GOOD]
    if places.journal is not None:
        codes.append(_check_journal(places.journal))
    if places.database is not None:
        codes.append(_check_database(places.database))
    return max(codes)


def _check_journal(folder: Path) -> int:
    from nanomq_py.store import journal

    try:
        with journal.looked_at(folder) as look, journal.live_of(folder, look) as live:
            faults = journal.faults_of(look, live)
            counts = ", ".join(f"{n} {name}" for name, n in journal.counts_of(live).items())
            notes = journal.notes_of(look)
            commits = look.facts.commits
    except StoreError as fault:
        say(f"nanomq: {fault}", to=sys.stderr)
        return UNREADABLE
    if faults:
        say(f"nanomq: durability.location={folder}: damaged:", to=sys.stderr)
        for line in [*faults, f"to go on: {journal.ways_on(folder)}"]:
            say(f"nanomq:   {line}", to=sys.stderr)
    else:
        say(f"{folder}: good: {commits} commits: {counts}")
    _say_all([f"{folder}: {note}" for note in notes])
    return DAMAGED if faults else GOOD


def _check_database(path: Path) -> int:
    from nanomq_py.store.backup import look_over
    from nanomq_py.store.faults import DamagedError

    try:
        say(f"{path}: {look_over(path)}")
    except StoreError as fault:
        say(f"nanomq: {fault}", to=sys.stderr)
        return DAMAGED if isinstance(fault, DamagedError) else UNREADABLE
    return GOOD


def _repair(places: Places, args: argparse.Namespace) -> int:
    from nanomq_py.store.journal_repair import repair_journal
    from nanomq_py.store.rescue import repair_database

    if places.journal is not None:
        _say_all(repair_journal(places.journal))
    if places.database is not None:
        _say_all(repair_database(places.database))
    return GOOD


def _back_up(places: Places, args: argparse.Namespace) -> int:
    from nanomq_py.store.backup import back_up  # other commands do not need SQLite
    from nanomq_py.store.folder_backup import back_up_all

    to: Path = args.to
    if to.suffix != DATABASE:
        _say_all([*back_up_all(places, to), f"{to}: a store"])
        return GOOD
    if places.database is None:
        raise StoreError(f"{to}: there is no database to copy: name a folder")
    say(f"{to}: {back_up(places.database, to)} bytes")
    return GOOD
