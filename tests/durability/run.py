"""python -m tests.durability.run"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.durability.homes import broker, kept
from tests.durability.rounds import Round

seed, deaths = int(sys.argv[1]), int(sys.argv[2])
make = broker if len(sys.argv) < 4 else kept
with tempfile.TemporaryDirectory() as folder:
    home = make(Path(folder, "it"))
    r = Round(home, seed, deaths).run()
print(seed, r.seconds, dict(r.figures()))
print(r.notes.findings, flush=True)
if r.notes.findings:
    print("".join(home.said[-10:]))
