"""``nanomq``: arguments and exit codes.

Exit codes: 0 done; 1 nothing to stop or restart, or it did not; 2 the configuration or the
arguments cannot be used.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from nanomq_py import __version__
from nanomq_py.config import Config, ConfigError, load
from nanomq_py.config.units import BadValue, Url
from nanomq_py.pidfile import PidFile, default_path

PATIENCE_S = 10.0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nanomq", description="An MQTT broker.")
    parser.add_argument("--version", action="version", version=f"nanomq-py {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="start a broker")
    start.add_argument("--conf", type=Path, help="the nanomq.conf to read")
    start.add_argument("--url", help="listen there instead of the file's url")
    stop = commands.add_parser("stop", help="stop the broker of that configuration")
    restart = commands.add_parser(
        "restart", help="restart the broker of that configuration"
    )
    for command in (stop, restart):
        command.add_argument(
            "--conf", type=Path, help="the nanomq.conf that it was started with"
        )
    return parser


def _config(conf: Path | None, url: str | None) -> Config:
    config = load(conf) if conf is not None else Config()
    if url is None:
        return config
    kind = Url(("nmq-tcp",))
    try:
        return replace(config, url=kind.parse(url))
    except BadValue:
        raise ConfigError(f"--url {url!r}: expected {kind.expected}") from None


def _go_to_background() -> None:
    """Become a daemon: before any thread is there."""
    if os.fork() > 0:
        os._exit(0)
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)


def _start(conf: Path | None, url: str | None) -> int:
    from nanomq_py import systemd  # with asyncio, which the other commands do without

    config = _config(conf, url)
    if config.daemon and systemd.OURS not in os.environ:
        _go_to_background()
    from nanomq_py import server  # the core's threads begin here, not before the fork

    server.run(config, conf)
    return 0


def _until(done: Callable[[], bool]) -> bool:
    """Return whether that became true in time."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if done():
            return True
        time.sleep(0.02)
    return False


def _signal(
    conf: Path | None, number: signal.Signals
) -> tuple[PidFile, int, object] | None:
    """Send it to the broker of that configuration; None, and a word, when there is none.

    Returns  the file it holds, its process number, and what the file said
    """
    config = load(conf) if conf is not None else Config()
    pid_file = PidFile(Path(config.pid_file) if config.pid_file else default_path(conf))
    found = pid_file.running()
    if found is None:
        print(f"nanomq: no broker is running (looked at {pid_file.path})", file=sys.stderr)
        return None
    os.kill(found[0], number)
    return pid_file, found[0], found


def _stop(conf: Path | None) -> int:
    sent = _signal(conf, signal.SIGTERM)
    if sent is None:
        return 1
    pid_file, pid, _ = sent
    if _until(lambda: not pid_file.alive(pid)):
        return 0
    print(f"nanomq: process {pid} is still running", file=sys.stderr)
    return 1


def _restart(conf: Path | None) -> int:
    sent = _signal(conf, signal.SIGUSR2)
    if sent is None:
        return 1
    pid_file, pid, before = sent
    moved = _until(
        lambda: not pid_file.alive(pid) or pid_file.running() not in (None, before)
    )
    if moved and pid_file.running() is not None:
        return 0
    print(f"nanomq: process {pid} did not restart; its log says why", file=sys.stderr)
    return 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    args = _parser().parse_args(argv)
    try:
        if args.command == "start":
            return _start(args.conf, args.url)
        return _stop(args.conf) if args.command == "stop" else _restart(args.conf)
    except ConfigError as fault:
        print(f"nanomq: {fault}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
