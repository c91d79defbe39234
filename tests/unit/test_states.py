"""The state machines of a connection: the tables that the core runs, and their page."""

from __future__ import annotations

import pytest

from tests.unit.clib import lib
from tools.connection import MACHINES, PAGE, Machine, page, states

NEXT = {
    "nmq_intake_state": lib.nmq_intake_next,
    "nmq_recv_state": lib.nmq_recv_next,
    "nmq_send_state": lib.nmq_send_next,
    "nmq_conn_state": lib.nmq_conn_state_next,
    "nmq_client_state": lib.nmq_client_state_next,
}
# Where a connection begins, besides the first state: what its listener asks for.
STARTS = {"nmq_intake_state": ["UPGRADE", "PLAIN"]}
each = pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.enum)


def table(machine: Machine) -> dict[str, set[str]]:
    """Return the steps as the core has them."""
    names = [state.name for state in states(machine)]
    assert len(names) == getattr(lib, f"{machine.prefix}STATES")
    found = {}
    for name in names:
        bits = NEXT[machine.enum](getattr(lib, machine.prefix + name))
        found[name] = {n for n in names if bits >> getattr(lib, machine.prefix + n) & 1}
        assert bits >> len(names) == 0
    return found


@each
def test_the_page_has_the_steps_that_the_core_runs(machine: Machine) -> None:
    drawn = {state.name: set(state.next) for state in states(machine)}
    assert drawn == table(machine)


def test_the_page_is_of_now() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


@each
def test_every_state_is_reached(machine: Machine) -> None:
    steps = table(machine)
    seen = {next(iter(steps)), *STARTS.get(machine.enum, [])}
    while more := {after for name in seen for after in steps[name]} - seen:
        seen |= more
    assert seen == set(steps)


@each
def test_every_way_comes_to_an_end_and_nothing_follows_it(machine: Machine) -> None:
    steps = table(machine)
    ends = {name for name, after in steps.items() if not after}
    assert list(steps)[-1] in ends
    done = set(ends)
    while more := {n for n, after in steps.items() if after & done} - done:
        done |= more
    assert done == set(steps)


@each
def test_no_state_follows_itself(machine: Machine) -> None:
    assert all(name not in after for name, after in table(machine).items())


def test_what_is_to_close_comes_to_closed_alone() -> None:
    send = table(MACHINES[2])
    closing = {
        name for name in send if lib.nmq_send_is_closing(getattr(lib, f"NMQ_SEND_{name}"))
    }
    assert closing == {"CLOSING", "ENDING", "FINISHED", "CLOSED"}
    assert all(send[name] <= closing for name in closing)
