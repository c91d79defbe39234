"""What access rules cost a message, a CONNECT and a connection: bench/acl.c, several times.

    python bench/acl.py [--rules 10000] [--rounds 5]

Prints medians; exit code 1 if a bound is broken.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BOUNDS_NS = {"strangers": 200, "patterns": 1000}  # of a message


def build() -> Path:
    target = ROOT / "build" / "acl-bench"
    target.parent.mkdir(exist_ok=True)
    sources = [ROOT / "bench" / "acl.c", *sorted((ROOT / "csrc").rglob("*.c"))]
    command = ["gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", f"-I{ROOT / 'csrc'}"]
    subprocess.run(
        [*command, "-o", str(target), *map(str, sources), "-lpthread"], check=True
    )
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    program = build()
    rounds = [
        json.loads(subprocess.check_output([str(program), str(args.rules)]))
        for _ in range(args.rounds)
    ]
    broken = False
    for kind, bound in BOUNDS_NS.items():
        figures = {
            name: statistics.median(answer[kind][name] for answer in rounds)
            for name in rounds[0][kind]
        }
        broken |= figures["publish_ns"] > bound
        print(f"{args.rules} rules, {kind} (at most {bound} ns a message)")
        for name, figure in figures.items():
            print(f"    {name:16} {figure:12.1f}")
    return int(broken)


if __name__ == "__main__":
    raise SystemExit(main())
