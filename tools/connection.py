"""Build docs/connection.md: the states of a connection, as the core's tables have them.

tools/connection.py            write the page
tools/connection.py --check    fail if the page is old
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "connection.md"
HEAD = """\
# The states of a connection

Drawn by `tools/connection.py` from the tables that the core runs: `csrc/net/states.c`, and
`csrc/mqtt/conn_state.c` or, where we dialled, `csrc/mqtt/client_state.c`. A connection is in
one state of each machine at a time. A step that is not drawn here ends a build for tests
with an assertion.
"""


@dataclass(frozen=True)
class Machine:
    """One table: where its enum and its steps stand, and what to say about it."""

    title: str
    source: str  # below csrc/, without suffix
    enum: str
    prefix: str
    table: str
    about: str


MACHINES = (
    Machine(
        "What the bytes are", "net/states", "nmq_intake_state", "NMQ_INTAKE_",
        "intake_next",
        "Written by the receive side. A connection begins at the first of these that its "
        "listener asks for.",
    ),
    Machine(
        "The receive side", "net/states", "nmq_recv_state", "NMQ_RECV_", "recv_next",
        "One thread at a time works on what comes. A parked connection belongs to what it "
        "waits for; whoever ends the wait takes it over. It begins in the first state.",
    ),
    Machine(
        "The send side", "net/states", "nmq_send_state", "NMQ_SEND_", "send_next",
        "Read and written with the link's lock. It begins in the first state.",
    ),
    Machine(
        "The client of the server role", "mqtt/conn_state", "nmq_conn_state", "NMQ_CONN_",
        "next",
        "Written by the receive side: which packets may come follows from it. It begins in "
        "the first state.",
    ),
    Machine(
        "The server of a client of ours", "mqtt/client_state", "nmq_client_state",
        "NMQ_CLIENT_", "next",
        "Of a connection that was dialled. Written by the receive side: which packets may "
        "come follows from it. It begins in the first state.",
    ),
)  # fmt: skip


@dataclass
class State:
    """One state, with the states that may follow."""

    name: str
    meaning: str
    next: list[str] = field(default_factory=list)


def states(machine: Machine) -> list[State]:
    """Return the states of a machine in the order of its enum.

    Raises   ValueError where the sources have another form
    """
    header = (ROOT / "csrc" / f"{machine.source}.h").read_text(encoding="utf-8")
    code = (ROOT / "csrc" / f"{machine.source}.c").read_text(encoding="utf-8")
    enum = re.search(rf"^enum {machine.enum} \{{\n(.*?)^\}};", header, re.S | re.M)
    table = re.search(rf"^static const \w+ {machine.table}\[.*?^\}};", code, re.S | re.M)
    if enum is None or table is None:
        raise ValueError(f"{machine.source}: no enum or no table")
    found = [
        State(name, meaning.strip())
        for name, meaning in re.findall(
            rf"^    {machine.prefix}(\w+),\s*// (.*)$", enum[1], re.M
        )
    ]
    steps = re.findall(rf"^    \[{machine.prefix}(\w+)\] =(.*?),\n", table[0], re.S | re.M)
    for name, bits in steps:
        after = re.findall(r"\w+\((\w+)\)", bits)
        next(s for s in found if s.name == name).next.extend(after)
    return found


def section(machine: Machine) -> str:
    """Return the part of the page about one machine."""
    found = states(machine)
    lines = [f"\n## {machine.title}\n", machine.about, "\n```mermaid", "stateDiagram-v2"]
    lines += [f"    {s.name} --> {after}" for s in found for after in s.next]
    lines += ["```\n", "| State | Meaning | Then |", "| --- | --- | --- |"]
    lines += [
        f"| `{s.name}` | {s.meaning} | {', '.join(f'`{n}`' for n in s.next) or 'the end'} |"
        for s in found
    ]
    return "\n".join(lines) + "\n"


def page() -> str:
    """Return the whole page."""
    return HEAD + "".join(section(machine) for machine in MACHINES)


def main() -> int:
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        print("docs/connection.md is old: run tools/connection.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
