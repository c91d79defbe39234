"""Build the fuzz targets of this folder and run each for a while, two at a time.

    python -m tests.fuzz.run [--seconds S] [--corpus DIR] [TARGET ...]

``conf`` is Python's (``conf.py``); every other target is C, and libFuzzer's. A target
starts from its seeds (``seeds.py``) and ``corpus/TARGET`` where that exists. What one of C
finds new is kept under ``build/fuzz/corpus/TARGET`` for the next run. An input that breaks a
promise is written to ``build/fuzz/TARGET-crash...``: give the target that file to see it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz import seeds

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
OUT = ROOT / "build" / "fuzz"
# The clock and the poller of the targets that run a broker are theirs.
SHARED = [HERE / "clock.c", HERE / "poller.c", HERE / "end.c", HERE / "keeper.c"]
SHARED.append(ROOT / "tests" / "c" / "disk_memory.c")
CORE = sorted(
    p for p in (ROOT / "csrc").rglob("*.c") if p.name not in {ours.name for ours in SHARED}
)
C_TARGETS = sorted(p.stem for p in HERE.glob("*.c") if p not in SHARED)
TARGETS = ["conf", *C_TARGETS]
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-DNMQ_MEM_COUNT", "-g", "-O1", "-Icsrc", "-Itests"]
FLAGS += ["-fno-omit-frame-pointer", "-fno-sanitize-recover=all"]
SANITIZE = "address,undefined"
LENGTH = {"broker": 4096, "handover": 4096, "replay": 512}  # of an input, at most
RUNS_AT_ONCE = 2


def newest(paths: Iterable[Path]) -> float:
    return max(p.stat().st_mtime for p in paths)


def cc(*args: str | Path) -> None:
    subprocess.run(["clang", *FLAGS, *map(str, args)], cwd=ROOT, check=True)


def compile_to_object(source: Path) -> Path:
    made = OUT / "objects" / (str(source.relative_to(ROOT)).replace("/", "-") + ".o")
    headers = [*(ROOT / "csrc").rglob("*.h"), *HERE.glob("*.h")]
    if not made.exists() or made.stat().st_mtime < newest([source, *headers]):
        cc(f"-fsanitize=fuzzer-no-link,{SANITIZE}", "-c", source, "-o", made)
    return made


def build(targets: Iterable[str]) -> None:
    (OUT / "objects").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = list(pool.map(compile_to_object, [*CORE, *SHARED]))

        def link(target: str) -> None:
            flags = [f"-fsanitize=fuzzer,{SANITIZE}", "-Wl,--wrap=getrandom", "-lpthread"]
            cc(HERE / f"{target}.c", *parts, *flags, "-o", OUT / target)

        list(pool.map(link, targets))


def command(target: str, seconds: int, folders: list[Path]) -> list[str]:
    """Return what runs a target. What breaks the promise goes where the options say."""
    kept = f"{OUT}/{target}-"
    if target == "conf":
        module = [sys.executable, "-m", "tests.fuzz.conf"]
        return [*module, f"--seconds={seconds}", f"--kept={kept}", *map(str, folders)]
    options = [f"-max_total_time={seconds}", f"-max_len={LENGTH.get(target, 1024)}"]
    options += ["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"]
    return [str(OUT / target), *options, f"-artifact_prefix={kept}", *map(str, folders)]


def run(target: str, seconds: int, kept: Path | None) -> bool:
    """Return whether the target kept its promise."""
    corpus = (kept or OUT / "corpus") / target
    corpus.mkdir(parents=True, exist_ok=True)
    seeds.write(target, corpus)
    given = HERE / "corpus" / target
    folders = [corpus, *([given] if given.is_dir() else [])]
    log = OUT / f"{target}.log"
    with log.open("wb") as out:
        done = subprocess.run(
            command(target, seconds, folders), cwd=ROOT, stdout=out, stderr=out, check=False
        )
    text = log.read_text(errors="replace")
    runs = re.search(r"(?:stat::number_of_executed_units|^runs): (\d+)", text, re.MULTILINE)
    covered = re.findall(r"cov: (\d+)", text)
    print(
        f"{target}: {'kept' if done.returncode == 0 else 'BROKEN'},"
        f" {runs[1] if runs else '?'} runs{f', {covered[-1]} edges' if covered else ''}",
        flush=True,
    )
    if done.returncode != 0:
        print(text[-6000:], file=sys.stderr)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the core, and the configuration.")
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--corpus", type=Path, help="where inputs are kept")
    parser.add_argument("targets", nargs="*", default=TARGETS)
    args = parser.parse_args()
    if c_targets := [target for target in args.targets if target in C_TARGETS]:
        build(c_targets)
    with ThreadPoolExecutor(RUNS_AT_ONCE) as pool:
        kept = list(pool.map(lambda t: run(t, args.seconds, args.corpus), args.targets))
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
