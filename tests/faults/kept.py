"""A process with a broker whose log is in a folder: it says its port, and is killed.

python -m tests.faults.kept FOLDER
"""

from __future__ import annotations

import signal
import sys

from tests._core_test import ffi, lib
from tests.committed import committed


def main() -> None:
    made, error = ffi.new("nmq_disk **"), ffi.new("int *")
    status = lib.nmq_disk_folder_open(sys.argv[1].encode(), made, error)
    assert status == 0, (status, error[0])
    with committed(made[0], segment_bytes=1 << 14) as home:  # it begins anew often
        print(home.port, flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
