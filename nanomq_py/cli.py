"""``nanomq``: arguments and exit codes.

Exit codes: 0 done; 1 no broker runs, the broker did not do it, or the configuration asks for
what this version does not have; 2 the configuration or the arguments cannot be used.
"""

from __future__ import annotations

import argparse
import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from nanomq_py.config import ConfigError, load, parse
from nanomq_py.config.declare.section import Sections
from nanomq_py.config.environment import from_environment
from nanomq_py.config.faults import Faults
from nanomq_py.config.file import ConfFile
from nanomq_py.config.forms.entries import Entry
from nanomq_py.config.reader import from_texts, texts_of
from nanomq_py.config.settings import differences, settings_of
from nanomq_py.config.shipped import shipped
from nanomq_py.config.values.texts import shown
from nanomq_py.kernel.part import Part, brought_by
from nanomq_py.run.pidfile import (
    AlreadyRunningError,
    PidFile,
    default_path,
    running_brokers,
)
from nanomq_py.version import __version__

PATIENCE_S = 10.0


def _say(text: str, to: TextIO | None = None) -> None:
    """Print a line, so that text from a file cannot steer the terminal."""
    print(shown(text), file=to)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nanomq", description="An MQTT broker.")
    parser.add_argument("--version", action="version", version=f"nanomq-py {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="start a broker")
    start.add_argument("--conf", type=Path, help="the nanomq.conf to read")
    start.add_argument("--url", help="listen there instead of the file's url")
    start.set_defaults(act=lambda args: _start(args.conf, args.url, args.parts))
    for name, act, does in (
        ("stop", _stop, "stop the broker of that configuration"),
        ("restart", _restart, "restart the broker of that configuration"),
        ("reload", _reload, "have the broker read its configuration again"),
    ):
        command = commands.add_parser(name, help=does)
        command.add_argument(
            "--conf",
            type=Path,
            help="the nanomq.conf that it was started with; not needed for the only one",
        )
        command.set_defaults(act=lambda args, act=act: act(args.conf, args.brought))
    _add_conf_commands(commands.add_parser("conf", help="look at configuration files"))
    return parser


def _add_conf_commands(parser: argparse.ArgumentParser) -> None:
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


def _overrides(url: str | None, brought: Sections) -> dict[str, Entry]:
    overrides = from_environment(os.environ, brought)
    if url is not None:
        overrides["url"] = Entry("url", url, "--url")
    return overrides


def _file(conf: Path | None, brought: Sections, url: str | None = None) -> ConfFile:
    """Read the file with the environment and ``--url`` over it. Raises ConfigError."""
    return ConfFile(conf, _overrides(url, brought), brought)


def _files(
    conf: Path | None, url: str | None, brought: Sections
) -> tuple[list[ConfFile], list[str]]:
    """Return the configurations to start with, the best first, and the faults of others.

    Raises   ConfigError where there is nothing to start with
    """
    from nanomq_py.run import systemd  # imports asyncio, which few commands need

    texts = systemd.config_of(os.environ)
    before, faults = _before(conf, _overrides(url, brought), texts, brought)
    try:
        return [_file(conf, brought, url), *before], faults
    except ConfigError as fault:
        if not before:
            raise ConfigError(*fault.args, *faults) from None
        return before, [f"{fault}; the broker goes on with what ran before the restart"]


def _before(
    conf: Path | None,
    overrides: Mapping[str, Entry],
    texts: Mapping[str, str] | None,
    brought: Sections,
) -> tuple[list[ConfFile], list[str]]:
    """Return what ran before a restart, or why it cannot be read; nothing: no restart."""
    if texts is None:
        return [], []
    try:
        config = from_texts(texts, "before the restart", brought)
    except ConfigError as fault:  # of another version
        return [], [f"{fault}; the broker cannot go on with what ran before the restart"]
    return [ConfFile.taking_over(conf, overrides, config)], []


def _start(conf: Path | None, url: str | None, parts: Sequence[type[Part]]) -> int:
    from nanomq_py.run import systemd

    is_restart = systemd.OURS in os.environ
    files, faults = _files(conf, url, brought_by(parts))

    def run(done: Callable[[int], None]) -> int:
        from nanomq_py import server  # the core's threads begin here, not before the fork

        server.run(files, conf, parts=parts, faults=faults, serving=lambda: done(0))
        return 0

    if is_restart or not files[0].reading.config.daemon:
        return run(lambda code: None)
    from nanomq_py.run.background import detach

    done = detach()
    code = _told(lambda: run(done))
    done(code)
    return code


# --- a broker that runs


def _until(done: Callable[[], bool]) -> bool:
    """Return whether that became true in time."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if done():
            return True
        time.sleep(0.02)
    return False


def _pid_file(conf: Path | None, brought: Sections) -> PidFile:
    """Return the pid file of that configuration's broker, even if the file is wrong now."""
    try:
        paths = [_file(conf, brought).reading.config.pid_file or ""]
    except ConfigError:
        paths = texts_of(conf, "pid_file", os.environ)
    # The broker may be older than the key; without --conf the only broker is meant.
    candidates = [PidFile(Path(path)) for path in paths if path]
    candidates.append(PidFile(default_path(conf)))
    named = candidates[0]
    others = running_brokers() if conf is None else []
    candidates += others if len(others) == 1 else []
    return next((file for file in candidates if file.running() is not None), named)


@dataclass(frozen=True)
class _Signalled:
    """A broker as it was when the signal was sent."""

    file: PidFile  # that the broker holds
    pid: int
    began: str
    told_at: int  # when it last wrote an outcome


def _signal(
    conf: Path | None, brought: Sections, number: signal.Signals
) -> _Signalled | None:
    """Send it to the broker of that configuration. Returns None, and says so, without one."""
    pid_file = _pid_file(conf, brought)
    found = pid_file.running()
    if found is None:
        several = conf is None and len(running_brokers()) > 1
        why = f"looked at {pid_file.path}"
        if several:
            why = "several are running: name one with --conf"
        elif (stranger := pid_file.holder()) is not None:
            why = f"process {stranger} has {pid_file.path}, and is no broker of its owner"
        _say(f"nanomq: no broker is running ({why})", to=sys.stderr)
        return None
    broker = _Signalled(pid_file, *found, told_at=pid_file.told()[0])
    try:
        os.kill(broker.pid, number)
    except OSError as fault:
        _say(f"nanomq: process {broker.pid}: {fault.strerror}", to=sys.stderr)
        return None
    return broker


def _stop(conf: Path | None, brought: Sections) -> int:
    broker = _signal(conf, brought, signal.SIGTERM)
    if broker is None:
        return 1
    if _until(lambda: not broker.file.alive(broker.pid)):
        return 0
    _say(f"nanomq: process {broker.pid} is still running", to=sys.stderr)
    return 1


def _restart(conf: Path | None, brought: Sections) -> int:
    broker = _signal(conf, brought, signal.SIGUSR2)
    if broker is None:
        return 1
    file, before = broker.file, (broker.pid, broker.began)
    moved = _until(
        lambda: (
            not file.alive(broker.pid)
            or file.running() not in (None, before)
            or file.told()[0] > broker.told_at
        )
    )
    if (why := _refusal(broker)) is not None:
        raise ConfigError(f"not restarted: {why}")
    if moved and file.running() is not None:
        return 0
    _say(f"nanomq: process {broker.pid} did not restart; its log says why", to=sys.stderr)
    return 1


def _refusal(broker: _Signalled) -> str | None:
    """Return why the process refused, if it has said so since the signal."""
    at, told = broker.file.told()
    return str(told["error"]) if at > broker.told_at and "error" in told else None


def _reload(conf: Path | None, brought: Sections) -> int:
    broker = _signal(conf, brought, signal.SIGHUP)
    if broker is None:
        return 1
    file, pid = broker.file, broker.pid
    if not _until(lambda: file.told()[0] > broker.told_at or not file.alive(pid)):
        _say(f"nanomq: process {pid} has not answered yet", to=sys.stderr)
        return 1
    if (why := _refusal(broker)) is not None:
        raise ConfigError(f"not reloaded: {why}")
    _, told = file.told()
    if not told:
        _say(f"nanomq: process {pid} has ended; its log says why", to=sys.stderr)
        return 1
    titles = {
        "applied": "in force now",
        "restart": "after a restart",
        "unused": "not in this version",
    }
    for name, title in titles.items():
        if told[name]:
            _say(f"{title}: {', '.join(told[name])}")
    if not any(told.values()):
        _say("nothing has changed")
    return 0


# --- configuration files


def _check(path: Path, brought: Sections) -> int:
    # It imports OpenSSL, which other commands do not need.
    from nanomq_py.auth.refusals import refuse_unsupported
    from nanomq_py.run.warnings import exposed_files, ignored_keys
    from nanomq_py.server import check_files

    reading = _file(path, brought).reading
    config = reading.config
    faults = Faults()
    for look in (refuse_unsupported, check_files):
        with faults.gathered():
            look(config)
    if (text := ignored_keys(config)) is not None:
        _say(f"{path}: {text}")
    for text in exposed_files(reading):
        _say(f"nanomq: warning: {text}", to=sys.stderr)
    for missing in config.said.missing:
        _say(f"nanomq: {missing}", to=sys.stderr)
    faults.check()
    if config.said.missing:
        return 1
    _say(f"{path}: good")
    return 0


def _show_defaults(brought: Sections) -> int:
    print(shipped(brought), end="")
    return 0


def _show(path: Path | None, brought: Sections) -> int:
    """Print every key; comments mark what is not the default, and what has no effect."""
    config = _file(path, brought).reading.config
    usual = settings_of(parse("", "the defaults", brought))
    missing = {found.switch: found for found in config.said.missing}
    for name, setting in settings_of(config).items():
        if name in missing:
            _say(f"# not in this version: {missing.pop(name).loss}")
        default = usual.get(name)
        if default is None or default.text != setting.text:
            _say(f"# default: {default.shown if default and default.text else '(none)'}")
        _say(f"{name}={setting.shown}")
    for found in missing.values():
        _say(f"# {found.called}: not in this version: {found.loss}")
    for name in dict.fromkeys(config.said.ignored):
        _say(f"# {name}: without a meaning in this version")
    return 0


def _diff(files: Sequence[Path], brought: Sections) -> int:
    """Compare two files; or one file, with the environment over it, with the defaults."""
    if len(files) > 2:
        raise ConfigError("conf diff: expected two files at most")
    if len(files) == 2:
        before, after = load(files[0], brought), load(files[1], brought)
    else:
        before, after = (
            parse("", "the defaults", brought),
            _file(files[0] if files else None, brought).reading.config,
        )
    for difference in differences(before, after):
        _say(f"{difference} ({difference.applies.value})")
    return 0


def _told(act: Callable[[], int]) -> int:
    """Act, and say what is wrong; return the exit code."""
    try:
        return act()
    except ConfigError as fault:
        for text in fault.args:
            _say(f"nanomq: {text}", to=sys.stderr)
        return 2
    except AlreadyRunningError as fault:
        _say(f"nanomq: {fault}", to=sys.stderr)
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
    args = _parser().parse_args(argv)
    args.parts, args.brought = parts, brought_by(parts)
    try:
        return _told(lambda: int(args.act(args)))
    except BrokenPipeError:  # the reader has closed its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
