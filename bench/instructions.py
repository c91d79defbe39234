"""Instructions, allocations and sends of the core for one message, counted by callgrind.

The same program counts the same whatever else the machine does, so a change that makes the
core slower shows, and one that does not is not blamed for noise.

    python bench/instructions.py             compare with what is recorded; exit 1 if more
    python bench/instructions.py --record    write bench/instructions.json
    python bench/instructions.py --profile qos1    where they go
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "bench" / "instructions.json"
SCENARIOS = {"qos0": 20, "qos1": 20, "qos2": 20, "fan": 4, "wild": 20}  # rounds
MORE_ALLOWED = 1.05
COUNTED = "nmq_recv_on_recv"  # the core's work on what was read, and all that follows


@dataclass(frozen=True)
class Cost:
    """Of one delivered message."""

    instructions: float
    allocations: float
    sends: float


def build() -> Path:
    target = ROOT / "build" / "core-bench"
    target.parent.mkdir(exist_ok=True)
    sources = [ROOT / "bench" / "core.c", *sorted((ROOT / "csrc").rglob("*.c"))]
    wrapped = ",".join(f"--wrap={name}" for name in ("malloc", "calloc", "realloc"))
    command = ["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-g", f"-I{ROOT / 'csrc'}"]
    command += [f"-Wl,{wrapped}", "-o", str(target), *map(str, sources), "-lpthread"]
    subprocess.run(command, check=True)
    return target


def compiler() -> str:
    done = subprocess.run(
        ["gcc", "-dumpfullversion"], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def callgrind(
    core: Path, scenario: str, rounds: int, out: Path
) -> tuple[int, dict[str, int]]:
    """Run it once; return the instructions and the program's own counts."""
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    command += [f"--toggle-collect={COUNTED}", str(core), scenario, str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    total = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
    if done.returncode != 0 or total is None:
        raise SystemExit(f"callgrind of {scenario}: {done.stderr}")
    if int(total[1]) == 0:
        raise SystemExit(f"nothing was counted: is there a function {COUNTED}?")
    return int(total[1]), json.loads(done.stdout)


def cost(core: Path, scenario: str) -> Cost:
    """Return what a message costs: the difference of a run and one twice as long."""
    rounds = SCENARIOS[scenario]
    with tempfile.TemporaryDirectory() as folder:
        few, first = callgrind(core, scenario, rounds, Path(folder) / "few")
        many, second = callgrind(core, scenario, 2 * rounds, Path(folder) / "many")
    messages = second["messages"] - first["messages"]
    return Cost(
        round((many - few) / messages, 1),
        round((second["allocations"] - first["allocations"]) / messages, 3),
        round((second["sends"] - first["sends"]) / messages, 4),
    )


def measure(core: Path) -> dict[str, Cost]:
    with ThreadPoolExecutor(2) as pool:
        return dict(
            zip(SCENARIOS, pool.map(lambda s: cost(core, s), SCENARIOS), strict=True)
        )


def compare(costs: dict[str, Cost]) -> bool:
    """Print the figures beside the recorded ones; return whether none is too high."""
    recorded = json.loads(RECORD.read_text())
    same = recorded["compiler"].split(".")[0] == compiler().split(".")[0]
    print("a message   instructions   recorded  allocations    sends")
    fine = True
    for name, now in costs.items():
        before = Cost(**recorded["costs"][name])
        more = now.instructions > before.instructions * MORE_ALLOWED
        fine = fine and not more
        print(
            f"{name:10} {now.instructions:13.1f} {before.instructions:10.1f} "
            f"{now.allocations:12.3f} {now.sends:8.4f}{'   MORE THAN 5 %' if more else ''}"
        )
    if not same:
        print(
            f"recorded with gcc {recorded['compiler']}, this is {compiler()}: not compared"
        )
    return fine or not same


def profile(core: Path, scenario: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "profile"
        callgrind(core, scenario, SCENARIOS[scenario] * 10, out)
        subprocess.run(["callgrind_annotate", "--threshold=95", str(out)], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--profile", choices=SCENARIOS)
    args = parser.parse_args()
    if shutil.which("valgrind") is None:
        raise SystemExit("valgrind is not installed")
    core = build()
    if args.profile is not None:
        profile(core, args.profile)
        return
    costs = measure(core)
    if args.record:
        record = {"compiler": compiler(), "costs": {k: asdict(v) for k, v in costs.items()}}
        RECORD.write_text(json.dumps(record, indent=2) + "\n")
    elif not compare(costs):
        sys.exit("more instructions a message than recorded: find out why, or --record")


if __name__ == "__main__":
    main()
