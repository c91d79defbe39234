"""Where commands take a password from.

It comes from the terminal, where it is not shown, with ``--stdin`` from the first line of
standard input, or with ``--password-file`` from the first line of a file; never from the
command line, which other users of the machine can read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import BinaryIO

from nanomq_py.config import ConfigError


def add_password_options(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of a command that takes a password."""
    sources = command.add_mutually_exclusive_group()
    sources.add_argument(
        "--stdin",
        action="store_true",
        help="the password is the first line of standard input",
    )
    sources.add_argument(
        "--password-file",
        type=Path,
        metavar="F",
        help="the password is the first line of that file",
    )


def is_given(args: argparse.Namespace) -> bool:
    """Return whether the arguments say where a password is."""
    return bool(args.stdin or args.password_file)


def _first_line(file: BinaryIO, most: int) -> bytes:
    return file.readline(most + 3).removesuffix(b"\n").removesuffix(b"\r")


def _from_file(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return _first_line(file, most)
    except OSError as fault:
        raise ConfigError(f"{path}: {fault.strerror}") from None


def _from_terminal(*, twice: bool) -> bytes:
    import getpass

    if not sys.stdin.isatty():
        raise ConfigError("expected a terminal, or --stdin, or --password-file")
    password = getpass.getpass("Password: ")
    if twice and getpass.getpass("Again: ") != password:
        raise ConfigError("the two passwords differ")
    return password.encode(errors="surrogateescape")


def password_of(args: argparse.Namespace, *, twice: bool, most: int) -> bytes:
    """Return the password, of so many bytes at most. Raises ConfigError."""
    if args.password_file is not None:
        password = _from_file(args.password_file, most)
    elif args.stdin:
        password = _first_line(sys.stdin.buffer, most)
    else:
        password = _from_terminal(twice=twice)
    if not 0 < len(password) <= most:
        raise ConfigError(f"expected a password of 1 to {most} bytes")
    return password
