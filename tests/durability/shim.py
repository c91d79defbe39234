"""A disk that fails or forgets, for a process (shim.c)."""

from __future__ import annotations

import os
import random
import struct
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import gettempdir, mkdtemp

from tests.durability.homes import Ended, Program

KINDS = (
    "any",
    "begin",
    "open",
    "make",
    "write",
    "flush",
    "rename",
    "remove",
)  # as shim.c has them
_COUNTED = struct.Struct(f"={len(KINDS)}QQQ")


@cache
def library() -> Path:
    """Build it."""
    made = Path(mkdtemp(prefix="nanomq-shim-", dir=gettempdir()), "shim.so")
    source = Path(__file__).with_name("shim.c")
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-Wall", "-Wextra"]
    subprocess.run(["gcc", *flags, "-o", made, source, "-ldl"], check=True)
    return made


def lying(program: Program) -> Program:
    """Have the program's flushes make nothing safe."""
    program.env |= {"FAULT_FOLDER": str(program.folder), "FAULT_LIES": "1"}
    program.env["LD_PRELOAD"] = preloaded()
    return program


def preloaded() -> str:
    """Return what is loaded ahead: what is already, a sanitizer's library first."""
    return " ".join(filter(None, (os.environ.get("LD_PRELOAD"), str(library()))))


@dataclass(frozen=True)
class Fault:
    """What fails on a disk.

    at     which operation of that kind, from 1 on; 0: none, they are counted
    stays  all of that kind behind it fail too
    kills  it does not fail: the process ends there, as by kill -9
    """

    at: int
    error: int = 0
    kind: str = "any"
    stays: bool = False
    kills: bool = False


class Faulty:
    """The disk of a program that has such a fault: give it ``env``."""

    def __init__(self, folder: Path, fault: Fault, *, armed: bool = True) -> None:
        """folder: where the log is; armed: else nothing fails before `arm`."""
        self._counted = folder.with_name("count")
        self._write(armed)
        self.env = {
            "LD_PRELOAD": preloaded(),
            "FAULT_FOLDER": str(folder),
            "FAULT_AT": str(fault.at),
            "FAULT_ERRNO": str(fault.error),
            "FAULT_KIND": fault.kind,
            "FAULT_COUNT": str(self._counted),
            **({"FAULT_STAYS": "1"} if fault.stays else {}),
            **({"FAULT_KILLS": "1"} if fault.kills else {}),
        }

    def arm(self) -> None:
        """Count from here on."""
        self._write(True)

    def counts(self) -> dict[str, int]:
        """Return how many operations there were, by kind."""
        return dict(zip(KINDS, self._read(), strict=False))

    def failed(self) -> int:
        """Return how many of them have failed."""
        return self._read()[-2]

    def _write(self, armed: bool) -> None:
        # in place: processes share it
        with self._counted.open("r+b" if self._counted.exists() else "wb") as file:
            file.write(_COUNTED.pack(*[0] * len(KINDS), 0, armed))

    def _read(self) -> tuple[int, ...]:
        return _COUNTED.unpack(self._counted.read_bytes())


class Failing:
    """A program of whose first life one operation fails."""

    def __init__(self, program: Program, fault: Fault) -> None:
        self.program = program
        self._env = Faulty(program.folder, fault).env
        self.did_not_start = False

    def start(self) -> int:
        env, self._env = self._env, {}
        if not env:
            return self.program.start()
        self.program.env |= env
        try:
            return self.program.start()
        except Ended:
            self.did_not_start = True
            if (self.program.code() or -1) < 0:  # it has crashed, or hangs
                raise
        finally:
            for name in env:
                del self.program.env[name]
        return self.program.start()

    def die(self, rng: random.Random, how: str) -> None:
        self.program.die(rng, how)

    def die_young(self, rng: random.Random) -> None:
        self.program.die_young(rng)

    def close(self) -> None:
        self.program.close()
