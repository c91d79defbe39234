"""Which module may know which: faults in the walls of ``csrc`` and ``nanomq_py``.

    python -m tools.layers [FOLDER]     a line for each fault

A module is one ``.h`` and one ``.c``, or one ``.py``. A room is a folder of ``csrc``, or what
stands right below ``nanomq_py``. A module knows another that it includes or imports, in
whatever form, and in C also one whose functions it uses without an include. It may know the
modules of its own room and of the rooms below; never in a circle, inside a room neither.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tools.c_walls import c_faults
from tools.python_walls import python_faults
from tools.walls import Fault, Sources


def read(root: Path) -> dict[str, str]:
    """Return the sources below a folder that holds ``csrc`` and ``nanomq_py``."""
    files = [
        *root.glob("csrc/**/*.[ch]"),
        *root.glob("csrc/**/*.def"),
        *root.glob("nanomq_py/**/*.py"),
    ]
    return {path.relative_to(root).as_posix(): path.read_text() for path in sorted(files)}


def faults(sources: Sources) -> list[Fault]:
    """Return every fault, each once."""
    return sorted({*c_faults(sources), *python_faults(sources)})


def main() -> None:
    found = faults(read(Path(sys.argv[1] if len(sys.argv) > 1 else ".")))
    print("\n".join(str(fault) for fault in found))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
