"""``nanomq store``: a copy of the store, and a look for damage, while a broker runs or not."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from nanomq_py.cli.common import conf_file, say
from nanomq_py.config import ConfigError
from nanomq_py.store.faults import StoreError
from nanomq_py.store.place import place_of

Act = Callable[[Path, argparse.Namespace], str]


def add_store_commands(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments, and what acts on them."""
    commands = parser.add_subparsers(dest="store_command", required=True)
    backup = commands.add_parser("backup", help="write a copy to a new file")
    backup.add_argument("to", type=Path, metavar="F")
    check = commands.add_parser(
        "check", help="read all of it and say whether it is damaged"
    )
    for command, act in ((backup, _back_up), (check, _check)):
        command.add_argument("--conf", type=Path, help="the nanomq.conf of the broker")
        command.set_defaults(act=lambda args, act=act: _run(act, args))


def _run(act: Act, args: argparse.Namespace) -> int:
    """Return the exit code: 1 where the store cannot be used. Raises ConfigError."""
    file = conf_file(args.conf, args.brought)
    path = place_of(file.reading.config.store.path, file.path)
    if path is None:
        raise ConfigError("expected --conf, or the key store.path")
    try:
        say(act(path, args))
    except StoreError as fault:
        say(f"nanomq: {fault}", to=sys.stderr)
        return 1
    return 0


def _back_up(path: Path, args: argparse.Namespace) -> str:
    from nanomq_py.store.backup import back_up  # other commands do not need SQLite

    return f"{args.to}: {back_up(path, args.to)} bytes"


def _check(path: Path, args: argparse.Namespace) -> str:
    from nanomq_py.store.backup import look_over

    return f"{path}: {look_over(path)}"
