"""``nanomq conf``: looks at configuration files."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from nanomq_py import kept
from nanomq_py.cli.common import conf_file, say
from nanomq_py.config import Config, ConfigError, load, parse
from nanomq_py.config.declare.section import Sections
from nanomq_py.config.faults import Faults
from nanomq_py.config.settings import differences, settings_of
from nanomq_py.config.shipped import shipped
from nanomq_py.plugins.finding import InstalledPlugins


def add_conf_commands(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments, and what acts on them."""
    commands = parser.add_subparsers(dest="conf_command", required=True)
    check = commands.add_parser("check", help="say whether a broker could start with it")
    check.add_argument("file", type=Path)
    check.set_defaults(act=lambda args: _check(args.file, args.brought))
    show = commands.add_parser(
        "show", help="print every key as it is with the file and the environment"
    )
    show.add_argument("file", type=Path, nargs="?")
    show.add_argument("--defaults", action="store_true", help="print the shipped file")
    show.set_defaults(
        act=lambda args: (
            _show_defaults(args.brought)
            if args.defaults
            else _show(args.file, args.brought)
        )
    )
    diff = commands.add_parser(
        "diff", help="print how two files differ, or one and the defaults"
    )
    diff.add_argument("files", type=Path, nargs="*", metavar="file")
    diff.set_defaults(act=lambda args: _diff(args.files, args.brought))


def _check(path: Path, brought: Sections) -> int:
    # It imports OpenSSL, which other commands do not need.
    from nanomq_py.auth.refusals import refuse_unsupported
    from nanomq_py.bridges.wanted import wanted_of
    from nanomq_py.run.warnings import (
        exposed_files,
        forgeable,
        ignored_keys,
        open_as_root,
    )
    from nanomq_py.server import check_files

    with kept.noting() as read:
        reading = conf_file(path, brought).reading
    config = reading.config
    faults = Faults()
    hidden: list[str] = []
    with faults.gathered():
        hidden = list(_hidden(config, read))
    for look in (refuse_unsupported, check_files, wanted_of):
        with faults.gathered(), reading.placing():
            look(config)
    for line in (ignored_keys(config), open_as_root(config)):
        if line is not None:
            say(f"{path}: {line}")
    for text in (*exposed_files(reading), *forgeable(config), *hidden):
        say(f"nanomq: warning: {text}", to=sys.stderr)
    broken = [f"plugin {p.name}: {p.fault}" for p in config.plugged if p.fault]
    for what in (*config.said.missing, *broken):
        say(f"nanomq: {what}", to=sys.stderr)
    faults.check()
    if config.said.missing or broken:
        return 1
    say(f"{path}: good")
    return 0


def _hidden(config: Config, read: Sequence[str]) -> Iterator[str]:
    """Yield a warning for each file that the key ``user`` cannot read. Raises ConfigError."""
    if config.user is None:
        return
    from nanomq_py.run.privileges import hidden_files, named_user  # with ctypes

    user = named_user(config)
    if user is None or user.pw_uid == 0 or os.geteuid() != 0:
        return
    for path, key in hidden_files(config, user, read).items():
        what = path if key == path else f"{key}={path}"
        yield (
            f"{what}: user {user.pw_name} cannot read it: root opens it at the start, and a"
            " file that takes its place is refused until the next one"
        )


def _show_defaults(brought: Sections) -> int:
    print(shipped(brought), end="")
    return 0


def _defaults_beside(config: Config) -> Config:
    """Return the defaults, of what brings keys to that configuration too."""
    return parse("", "the defaults", tuple(section for section, _ in config.brought))


def _show(path: Path | None, brought: Sections) -> int:
    """Print every key; comments mark what is not the default, and what has no effect."""
    config = conf_file(path, brought).reading.config
    usual = settings_of(_defaults_beside(config))
    missing = {found.switch: found for found in config.said.missing}
    for name, setting in settings_of(config).items():
        if name in missing:
            say(f"# not in this version: {missing.pop(name).loss}")
        default = usual.get(name)
        if default is None or default.text != setting.text:
            say(f"# default: {default.shown if default and default.text else '(none)'}")
        say(f"{name}={setting.shown}")
    for found in missing.values():
        say(f"# {found.called}: not in this version: {found.loss}")
    for name in dict.fromkeys(config.said.ignored):
        say(f"# {name}: without a meaning in this version")
    for name in config.said.unplugged:
        say(f"# {name}: of a plugin that is not loaded")
    return 0


def _diff(files: Sequence[Path], brought: Sections) -> int:
    """Compare two files; or one file, with the environment over it, with the defaults."""
    if len(files) > 2:
        raise ConfigError("conf diff: expected two files at most")
    if len(files) == 2:
        before, after = (load(path, brought, InstalledPlugins()) for path in files)
    else:
        after = conf_file(files[0] if files else None, brought).reading.config
        before = _defaults_beside(after)
    for difference in differences(before, after):
        say(f"{difference} ({difference.applies.value})")
    return 0
