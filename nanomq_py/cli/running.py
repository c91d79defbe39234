"""``nanomq stop``, ``restart`` and ``reload``: signals to a broker that runs."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nanomq_py.cli.common import overrides_of, say
from nanomq_py.config import ConfigError
from nanomq_py.config.declare.section import Sections
from nanomq_py.config.file import ConfFile
from nanomq_py.config.reader import texts_of
from nanomq_py.run.pidfile import PidFile, default_path, running_brokers

PATIENCE_S = 10.0


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
        # Without plugins: their code is the broker's to load.
        file = ConfFile(conf, overrides_of(None, brought), brought)
        paths = [file.reading.config.pid_file or ""]
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
    outcome_at: int  # when it last wrote an outcome


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
        say(f"nanomq: no broker is running ({why})", to=sys.stderr)
        return None
    broker = _Signalled(pid_file, *found, outcome_at=pid_file.read_outcome()[0])
    try:
        os.kill(broker.pid, number)
    except OSError as fault:
        say(f"nanomq: process {broker.pid}: {fault.strerror}", to=sys.stderr)
        return None
    return broker


def stop(conf: Path | None, brought: Sections) -> int:
    broker = _signal(conf, brought, signal.SIGTERM)
    if broker is None:
        return 1
    if _until(lambda: not broker.file.alive(broker.pid)):
        return 0
    say(f"nanomq: process {broker.pid} is still running", to=sys.stderr)
    return 1


def restart(conf: Path | None, brought: Sections) -> int:
    broker = _signal(conf, brought, signal.SIGUSR2)
    if broker is None:
        return 1
    file, before = broker.file, (broker.pid, broker.began)
    moved = _until(
        lambda: (
            not file.alive(broker.pid)
            or file.running() not in (None, before)
            or file.read_outcome()[0] > broker.outcome_at
        )
    )
    if (why := _refusal(broker)) is not None:
        raise ConfigError(f"not restarted: {why}")
    if moved and file.running() is not None:
        return 0
    say(f"nanomq: process {broker.pid} did not restart; its log says why", to=sys.stderr)
    return 1


def _refusal(broker: _Signalled) -> str | None:
    """Return why the process refused, if it has said so since the signal."""
    at, told = broker.file.read_outcome()
    return str(told["error"]) if at > broker.outcome_at and "error" in told else None


def reload(conf: Path | None, brought: Sections) -> int:
    broker = _signal(conf, brought, signal.SIGHUP)
    if broker is None:
        return 1
    file, pid = broker.file, broker.pid
    if not _until(
        lambda: file.read_outcome()[0] > broker.outcome_at or not file.alive(pid)
    ):
        say(f"nanomq: process {pid} has not answered yet", to=sys.stderr)
        return 1
    if (why := _refusal(broker)) is not None:
        raise ConfigError(f"not reloaded: {why}")
    _, told = file.read_outcome()
    if not told:
        say(f"nanomq: process {pid} has ended; its log says why", to=sys.stderr)
        return 1
    titles = {
        "applied": "in force now",
        "restart": "after a restart",
        "unused": "not in this version",
    }
    for name, title in titles.items():
        if told[name]:
            say(f"{title}: {', '.join(told[name])}")
    if not any(told.values()):
        say("nothing has changed")
    return 0
