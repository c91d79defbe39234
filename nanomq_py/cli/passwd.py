"""``nanomq passwd``: writes password files, and checks passwords."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from nanomq_py.cli.common import say
from nanomq_py.cli.passwords import add_password_options, password_of
from nanomq_py.config import ConfigError

MOST_BYTES = 65_535  # of a password in MQTT


def add_passwd_command(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments, and what acts on them."""
    commands = parser.add_subparsers(dest="passwd_command", required=True)
    acts: tuple[tuple[str, Callable[[argparse.Namespace], int], str], ...] = (
        ("add", _add, "add a user, and make the file if there is none"),
        ("change", _change, "give a user another password"),
        ("delete", _delete, "take a user out"),
        ("check", _check, "say whether a password is the user's; exit code 1: it is not"),
    )
    for name, act, does in acts:
        command = commands.add_parser(name, help=does)
        command.add_argument("file", type=Path, help="the file of auth.password_file")
        command.add_argument("user")
        if act is not _delete:
            add_password_options(command)
        command.set_defaults(act=act)


def _set(args: argparse.Namespace, *, new: bool) -> int:
    from nanomq_py.auth.hashing import hashed  # few runs need it
    from nanomq_py.auth.password_file import set_user

    password = password_of(args, twice=True, most=MOST_BYTES)
    set_user(args.file, args.user, hashed(password), new=new)
    return 0


def _add(args: argparse.Namespace) -> int:
    return _set(args, new=True)


def _change(args: argparse.Namespace) -> int:
    return _set(args, new=False)


def _delete(args: argparse.Namespace) -> int:
    from nanomq_py.auth.password_file import set_user

    set_user(args.file, args.user, None)
    return 0


def _check(args: argparse.Namespace) -> int:
    from nanomq_py.auth.hashing import matches
    from nanomq_py.auth.password_file import read_users

    stored = read_users(args.file).get(args.user)
    if stored is None:
        raise ConfigError(f"{args.file}: there is no such user")
    is_right = matches(stored, password_of(args, twice=False, most=MOST_BYTES))
    if not is_right:
        say("nanomq: that is not the password", to=sys.stderr)
    return 0 if is_right else 1
