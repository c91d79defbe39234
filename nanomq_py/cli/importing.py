"""``nanomq import``: makes a nanomq.conf of another broker's file."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from nanomq_py.cli.common import say
from nanomq_py.config import ConfigError


def add_import_command(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments, and what acts on them."""
    parser.add_argument("file", type=Path, help="mosquitto.conf, emqx.conf or nanomq.conf")
    parser.add_argument(
        "--form", choices=("mosquitto", "emqx", "nanomq"), help="whose file it is"
    )
    parser.add_argument(
        "--to",
        type=Path,
        help="the file to write, which must not exist; else it is printed",
    )
    parser.set_defaults(act=lambda args: _import(args.file, args.form, args.to))


def _private(path: str, flags: int) -> int:
    """Open a file for this user only: passwords may be in it."""
    return os.open(path, flags, 0o600)


def _import(path: Path, form: str | None, to: Path | None) -> int:
    """Write our file, and say line by line what it does not say.

    Returns  1 where the broker would behave in another way, else 0
    """
    # Few runs need them.
    from nanomq_py.importing.form import FORMS, form_of

    draft = FORMS[form or form_of(path)](path)
    draft.config()  # it could be started with
    text = draft.text([path.name])
    if to is None:
        print(text, end="")
    else:
        try:
            with open(to, "x", encoding="utf-8", opener=_private) as file:
                file.write(text)
        except OSError as fault:
            raise ConfigError(f"{to}: cannot be written: {fault.strerror}") from None
    for left in draft.left:
        say(f"nanomq: not taken: {left}", to=sys.stderr)
    return 1 if any(left.counts for left in draft.left) else 0
