"""``python bench/attacks.py``: one client against all, in full size, with the figures.

Each attack has a broker of its own and runs beside a healthy pair: the table tells the pair's
round trips before and meanwhile, the CPU time and the memory of the broker, and what the
attacker saw. ``tests/faults/test_work.py`` holds the same, small, with bounds.

    python bench/attacks.py [--only TEXT]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.conftest import Process, running_broker  # noqa: E402
from tests.faults import attacks  # noqa: E402 - a program beside the package
from tests.faults.attacks import Seen  # noqa: E402

Attack = Callable[[Process], Seen]
KIB = bytes(1024)


def nothing(_: Process) -> None:
    pass


def retain_numbered(count: int) -> Callable[[Process], None]:
    return lambda p: attacks.retain(p, [f"kept/{n}" for n in range(count)], KIB)


def retain_walked(p: Process) -> None:
    attacks.retain(p, attacks.retained_topics(200_000), b"x")


# name, what is there before, the attack
ATTACKS: list[tuple[str, Callable[[Process], object], Attack]] = [
    (
        "# 60,000 times in one SUBSCRIBE",
        retain_numbered(1000),
        lambda p: attacks.all_retained_again_and_again(p, 60_000, 1000),
    ),
    (
        "# 9,000 times in one SUBSCRIBE",
        retain_numbered(1000),
        lambda p: attacks.all_retained_again_and_again(p, 9000, 1000),
    ),
    (
        "65,536 filters on one topic, 1 publisher",
        nothing,
        lambda p: attacks.overlapping(p, 65_536, 1, 100),
    ),
    (
        "65,536 filters on one topic, 4 publishers",
        nothing,
        lambda p: attacks.overlapping(p, 65_536, 4, 100),
    ),
    (
        "100 filters over 200,000 retained",
        retain_walked,
        lambda p: attacks.fruitless_walks(p, 100),
    ),
    (
        "60,000 filters again and again, 8.4 MB",
        nothing,
        lambda p: attacks.repeated_filters(p, 60_000, 600_000),
    ),
    (
        "40,000 clients on one filter",
        nothing,
        lambda p: attacks.crowded_filter(p, 40_000, 1000),
    ),
    (
        "a client with 60,000 filters leaves",
        nothing,
        lambda p: attacks.leaves_with_many(p, 60_000),
    ),
    (
        "100,000 retained to a slow reader",
        retain_numbered(100_000),
        lambda p: attacks.slow_reader_of_retained(p, 100_000, 3),
    ),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="attacks whose name has this text")
    args = parser.parse_args()
    for name, before, attack in ATTACKS:
        if args.only not in name:
            continue
        with (
            tempfile.TemporaryDirectory() as folder,
            running_broker(Path(folder)) as process,
        ):
            before(process)

            def run(process: Process = process, attack: Attack = attack) -> Seen:
                return attack(process)

            m = attacks.measure(process, run)
        seen = ", ".join(f"{key} {value:g}" for key, value in m.seen.items())
        print(
            f"{name}: p99 {m.before.p99_ms:.1f} -> {m.beside.p99_ms:.1f} ms, worst "
            f"{m.before.worst_ms:.1f} -> {m.beside.worst_ms:.1f} ms, SUBSCRIBE and "
            f"UNSUBSCRIBE {m.before.change_ms:.1f} -> {m.beside.change_ms:.1f} ms (machine "
            f"{m.beside.late_ms:.1f}), {m.seconds:.1f} s, CPU {m.cpu_s:.2f} s, memory "
            f"+{m.grown_kib / 1024:.0f} MiB; {seen}",
            flush=True,
        )


if __name__ == "__main__":
    main()
