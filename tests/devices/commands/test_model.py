"""Commands in the store, against a model: a process that is killed at any point of a turn.

What a process knows, what its broker's sessions hold, and answers that were not written die
with it. The store stays, and so do devices, with what they have run and what they have said
without getting a PUBACK. In the end every device comes and everything settles: no command is
lost, none is done twice without its device being told again, and what the store says is what
devices have done.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from nanomq_py.plugins.devices.commands import machine, table
from nanomq_py.plugins.devices.commands.answers import Answer
from nanomq_py.plugins.devices.commands.machine import Command, State
from nanomq_py.plugins.devices.commands.table import Order
from nanomq_py.plugins.devices.commands.turn import (
    Happened,
    Kind,
    Said,
    resume,
    take_turn,
)

pytestmark = pytest.mark.plain

SNS = ["a", "b"]
WHO = st.sampled_from(["a", "a", "a", "b"])
ORDER = Order("t", "sh", "", b"{}", True, True, 3, 3600)
LIFE_S = 100_000.0
ROOM = 1 << 20


@dataclass
class Run:
    """What a device knows of a command. fails: how many runs fail before one succeeds."""

    fails: int
    told: int = 0
    runs: int = 0
    answer: Answer | None = None


@dataclass
class Model:
    """A device and its session."""

    sn: str
    connected: bool = False
    session: deque[int] = field(default_factory=deque)  # dies with the broker
    known: dict[int, Run] = field(default_factory=dict)
    unsent: list[Answer] = field(default_factory=list)


class Killed(Exception):
    """The process is gone."""


class Platform(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.file = sqlite3.connect(":memory:", isolation_level=None)
        for statements in table.SCHEMA.steps:
            for statement in statements:
                self.file.execute(statement)
        self.now = 1_796_000_000.0
        self.devices = {sn: Model(sn) for sn in SNS}
        self.happened: list[Happened | Said] = []
        self.heard: list[tuple[Model, Answer]] = []  # that no PUBACK has gone out for
        self.made: dict[int, int] = {}  # tries at most
        self.fails: dict[int, int] = {}
        self.clock = 0

    def teardown(self) -> None:
        if not hasattr(self, "file"):
            return
        for device in self.devices.values():
            self.come(device.sn)
        for _ in range(200):
            self.now += machine.LONGEST_S + 1
            self.turn(None)
            for device in self.devices.values():
                while device.session:
                    self.take(device.sn)
            if not self.open():
                break
        self.check_end()
        self.file.close()

    def open(self) -> list[Command]:
        return table.all_opened(self.file)

    def check_end(self) -> None:
        for number, most in self.made.items():
            row = table.row_of(self.file, number, self.now)
            assert row is not None
            (device,) = [d for d in self.devices.values() if number in d.known]
            run = device.known[number]
            assert run.runs <= run.told
            assert row.tries <= most
            succeeded = run.runs > run.fails
            assert row.state is (State.SUCCEEDED if succeeded else State.FAILED)
            if not succeeded:
                assert row.tries == most
            reply = table.reply_of(self.file, number)
            assert reply is not None
            assert reply.status == ("ok" if succeeded else "failed")

    @invariant()
    def numbers_are_never_used_again(self) -> None:
        if hasattr(self, "made"):
            _, total = table.rows_of(self.file, None, self.now, 0, 1)
            assert total == len(self.made)

    @invariant()
    def tries_that_failed_were_runs(self) -> None:
        for number, most in getattr(self, "made", {}).items():
            row = table.row_of(self.file, number, self.now)
            assert row is not None
            if row.state is State.FAILED:
                (device,) = [d for d in self.devices.values() if d.sn == row.sn]
                assert device.known[number].runs >= most

    # --- callers

    @rule(
        sn=WHO,
        now=st.booleans(),
        most=st.sampled_from([2, 3, 1]),
        fails=st.sampled_from([9, 1, 0]),
    )
    def add(self, sn: str, now: bool, most: int, fails: int) -> None:
        new = Command(0, sn, now, most, self.now + LIFE_S)
        new = machine.made(new, self.now, online=self.devices[sn].connected)
        (number,) = self.write(
            lambda: table.add(self.file, ORDER, [new], self.now), at=None
        )
        assert number not in self.made
        self.made[number] = most
        self.fails[number] = fails

    # --- the process

    def write(self, act, at: str | None):  # type: ignore[no-untyped-def]
        self.file.execute("BEGIN IMMEDIATE")
        made = act()
        if at == "before commit":
            self.file.execute("ROLLBACK")
            raise Killed
        self.file.execute("COMMIT")
        if at == "after commit":
            raise Killed
        return made

    @rule(
        at=st.sampled_from(
            [None, None, None, "before commit", "after commit", "publishing"]
        )
    )
    def turn(self, at: str | None) -> None:
        happened, self.happened = self.happened, []
        heard, self.heard = self.heard, []
        try:
            turn = self.write(
                lambda: take_turn(
                    self.file, [*happened, *(Said(a) for _, a in heard)], self.now, ROOM
                ),
                at,
            )
            for nth, command in enumerate(turn.publish):
                if at == "publishing" and nth == len(turn.publish) // 2:
                    raise Killed
                device = self.devices[command.sn]
                if device.connected:
                    device.session.append(command.id)
                else:
                    self.happened.append(Happened(Kind.MISSED, command.sn, command.id))
            for device, answer in heard:
                device.unsent.remove(answer)  # PUBACK
        except Killed:
            self.kill()

    @rule()
    def kill(self) -> None:
        self.happened, self.heard = [], []
        for device in self.devices.values():
            device.connected = False
            device.session.clear()
        self.write(lambda: resume(self.file, lambda sn: False, self.now), None)

    @rule(by=st.sampled_from([0.5, 5.0, 60.0, -3600.0]))
    def time_passes(self, by: float) -> None:
        self.now += by

    @rule(sn=WHO, times=st.integers(1, 3))
    def all_is_well_for_a_while(self, sn: str, times: int) -> None:
        self.come(sn)
        for _ in range(times):
            self.turn(None)
            self.take(sn)
            self.turn(None)
            self.now += machine.RETRY_S
            self.turn(None)

    # --- devices

    @rule(sn=WHO)
    def come(self, sn: str) -> None:
        device = self.devices[sn]
        if device.connected:
            return
        device.connected = True
        self.happened += [Happened(Kind.CAME, sn), Happened(Kind.LISTENS, sn)]
        self.heard += [(device, answer) for answer in device.unsent]

    @rule(sn=WHO)
    def go(self, sn: str) -> None:
        device = self.devices[sn]
        device.connected = False
        device.session.clear()  # it asks for no kept session
        self.heard = [each for each in self.heard if each[0] is not device]

    @rule(sn=WHO)
    def take(self, sn: str) -> None:
        """The device takes a message, acknowledges it, runs what is new to it, answers."""
        device = self.devices[sn]
        if not device.session:
            return
        number = device.session.popleft()
        self.happened.append(Happened(Kind.ACKNOWLEDGED, sn, number))
        run = device.known.setdefault(number, Run(self.fails[number]))
        run.told += 1
        if run.answer is None or not run.answer.ok:
            run.runs += 1
            self.clock += 1
            status = "ok" if run.runs > run.fails else "failed"
            words = f"{number} {status} {self.clock}".encode()
            run.answer = Answer(number, sn, status, b"{}", float(self.clock), words)
        self.say(device, run.answer)

    @rule(sn=WHO, nth=st.integers(0, 2), at_once=st.booleans())
    def say_again(self, sn: str, nth: int, at_once: bool) -> None:
        """The device says once more what it has said of a command last."""
        device = self.devices[sn]
        said = [run.answer for run in device.known.values() if run.answer is not None]
        if device.connected and said:
            self.say(device, said[-1 - nth % len(said)])
            if at_once:
                self.turn(None)

    def say(self, device: Model, answer: Answer) -> None:
        device.unsent.append(answer)
        self.heard.append((device, answer))


def test_commands_against_the_model() -> None:
    run_state_machine_as_test(
        Platform, settings=settings(max_examples=200, stateful_step_count=30)
    )
