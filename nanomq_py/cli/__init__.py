"""``nanomq``: arguments and exit codes.

Exit codes: 0 done; 1 no broker runs, the broker did not do it, the configuration asks for
what this version does not have, or ``acl test`` says no; 2 the configuration or the arguments
cannot be used.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nanomq_py.cli.common import say
from nanomq_py.cli.running import reload, restart, stop
from nanomq_py.cli.start import start
from nanomq_py.config import ConfigError
from nanomq_py.kernel.part import Part, brought_by
from nanomq_py.run.pidfile import AlreadyRunningError
from nanomq_py.version import __version__


def _add_acl(parser: argparse.ArgumentParser) -> None:
    from nanomq_py.cli.acl import add_acl_commands

    add_acl_commands(parser)


def _add_conf(parser: argparse.ArgumentParser) -> None:
    from nanomq_py.cli.conf import add_conf_commands

    add_conf_commands(parser)


def _add_import(parser: argparse.ArgumentParser) -> None:
    from nanomq_py.cli.importing import add_import_command

    add_import_command(parser)


def _add_passwd(parser: argparse.ArgumentParser) -> None:
    from nanomq_py.cli.passwd import add_passwd_command

    add_passwd_command(parser)


def _add_store(parser: argparse.ArgumentParser) -> None:
    from nanomq_py.cli.store import add_store_commands

    add_store_commands(parser)


def _add_user(parser: argparse.ArgumentParser) -> None:
    from nanomq_py.cli.user import add_user_commands

    add_user_commands(parser)


# What the broker's own process does not need is loaded by the command that needs it.
_GROUPS: Mapping[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "acl": ("look at access rules", _add_acl),
    "conf": ("look at configuration files", _add_conf),
    "import": ("make a nanomq.conf of another broker's file", _add_import),
    "passwd": ("write password files, and check passwords", _add_passwd),
    "store": ("look after what is kept on disk: check, repair, backup", _add_store),
    "user": ("say who may call the HTTP API", _add_user),
}


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    """Return the parser of all commands, with what belongs to the one that is wanted."""
    parser = argparse.ArgumentParser(prog="nanomq", description="An MQTT broker.")
    parser.add_argument("--version", action="version", version=f"nanomq-py {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    starts = commands.add_parser("start", help="start a broker")
    starts.add_argument("--conf", type=Path, help="the nanomq.conf to read")
    starts.add_argument("--url", help="listen there instead of the file's url")
    starts.set_defaults(act=lambda args: start(args.conf, args.url, args.parts, _told))
    for name, act, does in (
        ("stop", stop, "stop the broker of that configuration"),
        ("restart", restart, "restart the broker of that configuration"),
        ("reload", reload, "have the broker read its configuration again"),
    ):
        command = commands.add_parser(name, help=does)
        command.add_argument(
            "--conf",
            type=Path,
            help="the nanomq.conf that it was started with; not needed for the only one",
        )
        command.set_defaults(act=lambda args, act=act: act(args.conf, args.brought))
    for name, (does, add) in _GROUPS.items():
        group = commands.add_parser(name, help=does)
        if name == wanted:
            add(group)
    return parser


def _told(act: Callable[[], int]) -> int:
    """Act, and say what is wrong; return the exit code."""
    try:
        return act()
    except ConfigError as fault:
        for text in fault.args:
            say(f"nanomq: {text}", to=sys.stderr)
        return 2
    except AlreadyRunningError as fault:
        say(f"nanomq: {fault}", to=sys.stderr)
        return 1
    except OSError as fault:
        if fault.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        print(f"nanomq: {fault.strerror}: raise the bound (ulimit -n)", file=sys.stderr)
        return 1


def main(argv: Sequence[str] | None = None, parts: Sequence[type[Part]] = ()) -> int:
    """Run the command line; return the exit code.

    parts  more parts of the process, whose keys a configuration may have
    """
    given = sys.argv[1:] if argv is None else list(argv)
    wanted = next((each for each in given if not each.startswith("-")), None)
    args = _parser(wanted).parse_args(given)
    args.parts, args.brought = parts, brought_by(parts)
    try:
        return _told(lambda: int(args.act(args)))
    except BrokenPipeError:  # the reader has closed its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
