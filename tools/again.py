"""Run the tests, and those that failed among the others once more by themselves.

    python -m tools.again -n 4 -m "not alone"    as pytest is called

One test of thousands that loses a race on a busy machine does not make a change wrong. Where
at most ``MOST`` failed, they run again with nothing beside them; if all pass then, the run
passes and says which they were. No second run for what alone shows nothing: a module that
cannot be imported, a process of tests that died, a broker that ended badly, a sanitizer's
report.

The status is pytest's.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field

import pytest

MOST = 3
NO_RACE = ("Sanitizer", "runtime error:", "the broker ended with")


@dataclass(eq=False)  # pytest puts plugins into sets
class Failures:
    """A plugin of pytest that notes what fails, in whichever process."""

    ids: dict[str, None] = field(default_factory=dict)  # in their order
    is_final: bool = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.ids[report.nodeid] = None
            said = report.longreprtext + "".join(text for _, text in report.sections)
            self.is_final |= any(sign in said for sign in NO_RACE)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self.is_final |= report.failed

    @pytest.hookimpl(optionalhook=True)  # of xdist
    def pytest_testnodedown(self, node: object, error: object) -> None:
        self.is_final |= bool(error)


def main(args: list[str]) -> int:
    failures = Failures()
    status = int(pytest.main(args, [failures]))
    ids = list(failures.ids)
    if status != pytest.ExitCode.TESTS_FAILED or failures.is_final or len(ids) > MOST:
        return status
    print(f"\n{len(ids)} failed among the others; now alone:", flush=True)
    again = [sys.executable, "-m", "pytest", "-p", "no:xdist", *ids]
    alone = subprocess.run(again)  # noqa: S603 - ids of our own tests
    if alone.returncode == 0:
        print("\n" + "!" * 72)
        for each in ids:
            print(f"RACED: passed only when run alone: {each}")
        print("!" * 72, flush=True)
    return alone.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
