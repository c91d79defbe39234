"""One command from its making to its end: a state machine without a clock and without I/O.

::

    READY queued ──due──> IN_PROGRESS sent ──acknowledged──> delivered
       ^   ^                 │  │ ^  ^                          │  │
       │   └─ nobody took it ┘  │ │  └── its device came again ─┘  │
       │     (the first try)    │ │                                │
       │                        v │ due, after retry_s             │
       │              IN_PROGRESS queued <────── it failed ────────┤
       │                                                           │
       │   SUCCEEDED answered <──────────── it succeeded ──────────┤
       │   FAILED answered <── it failed, and was tried often ─────┘

What a step returns is written first and done then, so the process may die at any point: a
command that was about to be published is published again by the next process, under the same
number. A *try* is one run that is asked of the device: publishing the same try again does not
count. Once its time is over a command is cleared, whatever its state.

Units   times: seconds since 1970, as the caller's clock has them; it may jump
Source  http-dialects.md, IoT platform, "Commands"
"""

from __future__ import annotations

from enum import Enum, IntEnum

from msgspec import Struct
from msgspec.structs import replace

RETRY_S = 5.0  # from a failure to the next try
AGAIN_S = 5.0  # from one publication of a try to the next
UNTAKEN_S = (
    60.0  # until a device that is there and takes nothing, as its queue is full, is asked
)
# A moment that lies further ahead was set before the clock went back.
LONGEST_S = max(RETRY_S, AGAIN_S, UNTAKEN_S)


class State(IntEnum):
    """How a command is, as its maker sees it."""

    READY = 0
    IN_PROGRESS = 1
    SUCCEEDED = 2
    FAILED = 3


class Phase(Enum):
    """How far its present try has come."""

    QUEUED = "queued"  # nobody has it
    SENT = "sent"  # a session has taken it
    DELIVERED = "delivered"  # its device has acknowledged it
    ANSWERED = "answered"
    EXPIRED = "expired"  # its time is over, and it is about to be cleared


class Command(Struct, frozen=True):
    """What the machine knows of one command.

    now             whether it is published without waiting for its device to be connected
    max_tries       1 or more
    due_at          when it is published next; None: an event decides that
    published_at    0: not yet
    answer          a digest of the latest answer; empty: there is none
    """

    id: int
    sn: str
    now: bool
    max_tries: int
    expires_at: float
    state: State = State.READY
    phase: Phase = Phase.QUEUED
    tries: int = 0
    due_at: float | None = None
    published_at: float = 0.0
    failed_at: float = 0.0
    finished_at: float = 0.0
    answer: bytes = b""

    @property
    def is_over(self) -> bool:
        return self.state >= State.SUCCEEDED

    def is_due(self, now: float) -> bool:
        """Return whether it is to be published."""
        at = self.due_at
        return at is not None and not now < at <= now + LONGEST_S


def made(command: Command, now: float, *, online: bool) -> Command:
    """Return a new command, due if it need not wait for its device."""
    return replace(command, due_at=now) if command.now or online else command


def _again_at(command: Command, now: float) -> float:
    at = command.published_at + AGAIN_S
    return at if now < at <= now + AGAIN_S else now


def resumed(command: Command, now: float, *, online: bool) -> Command:
    """A process has begun: what the one before published may be lost."""
    if command.is_over:
        return command
    if command.phase is Phase.QUEUED and not (command.now or online or command.due_at):
        return command
    return replace(command, due_at=now)


def came(command: Command, now: float) -> Command:
    """Its device has connected: what it had in hand it may have forgotten."""
    if command.is_over:
        return command
    if command.phase is Phase.QUEUED:
        # A try that failed keeps its pause.
        is_soon = command.due_at is not None and command.due_at <= now + RETRY_S
        return command if is_soon else replace(command, due_at=now)
    return replace(command, due_at=_again_at(command, now))


def listens(command: Command, now: float) -> Command:
    """Its device has subscribed: what was published before may have missed it."""
    return command if command.phase is Phase.DELIVERED else came(command, now)


def published(command: Command, now: float) -> Command:
    """It is due: it counts as published from the write of this on."""
    return replace(
        command,
        state=State.IN_PROGRESS,
        phase=Phase.SENT,
        tries=command.tries + (command.phase is Phase.QUEUED),
        due_at=None,
        published_at=now,
    )


def missed(command: Command, now: float, *, online: bool = False) -> Command:
    """No session has taken it: it waits until its device comes or subscribes.

    online   its device is there: perhaps it has no room, and gets it later
    """
    if command.phase is not Phase.SENT or command.due_at:
        return command
    tries = command.tries - 1
    state = State.IN_PROGRESS if tries else State.READY
    due_at = now + UNTAKEN_S if online else None
    return replace(command, state=state, phase=Phase.QUEUED, tries=tries, due_at=due_at)


def acknowledged(command: Command, now: float) -> Command:
    """Its device has the message."""
    if command.phase is not Phase.SENT:
        return command
    return replace(command, phase=Phase.DELIVERED, due_at=None)


def answered(command: Command, now: float, answer: bytes, *, ok: bool) -> Command:
    """Its device says how it went. What says nothing new returns the command itself.

    A device may answer twice: an answer that is over counts no more, and so does a failure
    before the next try was published, or the same failure once more before that arrived.
    """
    if command.is_over or not command.published_at:
        return command
    if ok:
        return replace(
            command,
            state=State.SUCCEEDED,
            phase=Phase.ANSWERED,
            due_at=None,
            finished_at=now,
            answer=answer,
        )
    if command.phase is Phase.QUEUED:
        return command
    if answer == command.answer and command.phase is not Phase.DELIVERED:
        return command
    if command.tries >= command.max_tries:
        return replace(
            command,
            state=State.FAILED,
            phase=Phase.ANSWERED,
            due_at=None,
            failed_at=now,
            answer=answer,
        )
    return replace(command, phase=Phase.QUEUED, due_at=now + RETRY_S, answer=answer)
