"""``make bench``: every scenario against us and every broker that is installed, interleaved.

What is compared is the broker's CPU time a delivered message: it survives a noisy machine. Each
run has a broker process of its own. The medians go to docs/performance.md. Scenarios of which
nothing is asked have half the rounds; floods, which are to lose nothing, run on ours alone.

    python bench/run.py [--rounds 5] [--only TEXT] [--peer NAME="COMMAND {port}"] [--dry]
    python bench/run.py --short     a twentieth of it, ours alone: does it run, is nothing lost
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import api, report  # noqa: E402 - a program beside the package
from bench.brokers import OURS, Certificate, Peer, serving  # noqa: E402
from bench.results import Answer, Results, Runs  # noqa: E402
from bench.scenarios import SCENARIOS, Scenario  # noqa: E402
from tests import certs  # noqa: E402

TRIE_SIZES = (1000, 3000, 10000, 30000, 100_000, 300_000, 1_000_000)
COSTS_SIZES = (1, 10, 100, 1000, 10_000, 100_000)
STORE_ROOMS = ("base", "mqtt", "store")


def build(name: str, sources: list[Path], *arguments: str) -> Path:
    target = ROOT / "build" / name
    target.parent.mkdir(exist_ok=True)
    command = ["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-o", str(target)]
    subprocess.run([*command, *map(str, sources), *arguments], check=True)
    return target


def build_load() -> Path:
    sources = sorted((ROOT / "bench" / "load").glob("*.c"))
    return build("load", sources, "-lssl", "-lcrypto")


def build_of_store(name: str) -> Path:
    """Build bench/NAME.c with the store and what is below it."""
    core = [path for room in STORE_ROOMS for path in (ROOT / "csrc" / room).glob("*.c")]
    include = f"-I{ROOT / 'csrc'}"
    return build(name, [ROOT / "bench" / f"{name}.c", *core], include, "-lpthread")


def measure(
    load: Path, peer: Peer, scenario: Scenario, certificate: Certificate
) -> Answer | None:
    if not peer.serves(scenario.transport):
        return None
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(peer, Path(folder), certificate, scenario.cpus) as broker,
    ):
        if broker is None:
            return None
        pid, ports = broker
        port = getattr(ports, scenario.transport)
        done = subprocess.run(
            [str(load), f"port={port}", f"pid={pid}", *scenario.command()],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    if not done.stdout:
        print(f"{peer.name}, {scenario.name}: {done.stderr}", file=sys.stderr)
        return None
    answer: Answer = json.loads(done.stdout)
    return answer


def measure_all(
    load: Path, peers: list[Peer], scenarios: list[Scenario], rounds: int
) -> list[Runs]:
    runs = [Runs(scenario) for scenario in scenarios]
    with tempfile.TemporaryDirectory() as folder:
        made = certs.identity(Path(folder), "127.0.0.1")
        certificate = Certificate(made.certfile, made.keyfile)
        for number in range(rounds):
            for run in runs:
                if number >= run.scenario.rounds(rounds):
                    continue
                for peer in peers[:1] if run.scenario.is_flood else peers:
                    answer = measure(load, peer, run.scenario, certificate)
                    if answer is not None:
                        run.answers.setdefault(peer.name, []).append(answer)
                        shown = {k: round(v, 3) for k, v in answer.items()}
                        print(f"{number + 1} {run.scenario.name} {peer.name} {shown}")
    return runs


def measure_sizes(command: list[str], sizes: Iterable[int], rounds: int) -> list[Answer]:
    """Run the command with each size; return the medians of each."""
    rows: dict[int, list[Answer]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size, answers in rows.items():
            done = subprocess.run([*command, str(size)], capture_output=True, check=True)
            answers.append(json.loads(done.stdout))
    return [
        {key: statistics.median(a[key] for a in answers) for key in answers[0]}
        for answers in rows.values()
    ]


def measure_trie(rounds: int) -> list[Answer]:
    return measure_sizes([str(build_of_store("trie"))], TRIE_SIZES, rounds)


def measure_costs(rounds: int) -> dict[str, list[Answer]]:
    costs = str(build_of_store("costs"))
    kinds = ("subscribers", "filters")
    return {kind: measure_sizes([costs, kind], COSTS_SIZES, rounds) for kind in kinds}


def measure_api(load: Path, rounds: int) -> list[api.Row]:
    with tempfile.TemporaryDirectory() as folder:
        made = certs.identity(Path(folder), "127.0.0.1")
        certificate = Certificate(made.certfile, made.keyfile)
        with serving(Peer(OURS), Path(folder), certificate) as broker:
            assert broker is not None
            return api.measure(load, *broker, rounds=rounds)


def check_short(load: Path, scenarios: list[Scenario]) -> None:
    """Run each scenario once, small, against ours; exit unless all arrive, all run."""
    runs = measure_all(load, [Peer(OURS)], [s.shortened() for s in scenarios], 1)
    bad = [r.scenario.name for r in runs if OURS not in r.answers or r.lost(OURS)]
    if bad:
        sys.exit(f"did not run, or lost messages: {', '.join(bad)}")
    build_of_store("trie")
    build_of_store("costs")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="scenarios whose name has this text")
    parser.add_argument("--peer", action="append", default=[], help='NAME="COMMAND {port}"')
    parser.add_argument(
        "--dry", action="store_true", help="leave docs/performance.md alone"
    )
    parser.add_argument("--short", action="store_true")
    args = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 20000), most))
    peers = [
        Peer(OURS),
        Peer("mosquitto"),
        *(Peer(*text.split("=", 1)) for text in args.peer),
    ]
    load = build_load()
    scenarios = [s for s in SCENARIOS if args.only in s.name]
    if args.short:
        check_short(load, scenarios)
        return
    runs = measure_all(load, peers, scenarios, args.rounds)
    whole = not args.only
    results = Results(
        cores=os.cpu_count() or 1,
        rounds=args.rounds,
        runs=runs,
        trie=measure_trie(args.rounds) if whole else [],
        api=measure_api(load, args.rounds) if whole else [],
        costs=measure_costs(args.rounds) if whole else {},
    )
    print(report.table(results))
    if whole and not args.dry:
        report.write(results, ROOT / "docs")


if __name__ == "__main__":
    main()
