"""A disk that fails or forgets, for a process (shim.c)."""

from __future__ import annotations

import random
import struct
import subprocess
from functools import cache
from pathlib import Path
from tempfile import gettempdir, mkdtemp

from tests.durability.homes import Ended, Program


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
    program.env["LD_PRELOAD"] = str(library())
    return program


class Failing:
    """A program of whose first life one operation fails.

    at  which operation, from 1 on
    """

    def __init__(self, program: Program, at: int, error: int) -> None:
        self.program, self._at = program, at
        self._counted = program.folder.with_name("count")
        self._counted.write_bytes(bytes(8))
        self._env = {
            "LD_PRELOAD": str(library()),
            "FAULT_FOLDER": str(program.folder),
            "FAULT_AT": str(at),
            "FAULT_ERRNO": str(error),
            "FAULT_COUNT": str(self._counted),
        }
        self.did_not_start = False

    def operations(self) -> int:
        """Return how many there were."""
        return int(struct.unpack("=Q", self._counted.read_bytes())[0])

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
