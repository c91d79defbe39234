"""tools/again.py: what fails among the others runs once more; only a race is forgiven."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.plain
XDIST = ("-p", "xdist", "-n", "1")
RACED = "RACED: passed only when run alone: "
# Fails the first time that it is called.
RACES = """
def test_races{n}():
    import pathlib
    seen = pathlib.Path("seen{n}")
    if not seen.exists():
        seen.touch()
        assert False, "{says}"
"""
PASSES = "def test_passes(): pass\n"
FAILS = "def test_fails(): assert False\n"
DIES = """
def test_dies():
    import os, pathlib
    seen = pathlib.Path("died")
    if not seen.exists():
        seen.touch()
        os._exit(1)
"""


def run(folder: Path, text: str, *args: str) -> tuple[int, str]:
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_it.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "tools.again", "-p", "no:cacheprovider", *args],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=100,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
    )
    return done.returncode, done.stdout + done.stderr


def race(*numbers: int, says: str = "") -> str:
    return "".join(RACES.format(n=n, says=says) for n in numbers)


def test_test_that_always_fails_fails_the_run(tmp_path: Path) -> None:
    status, said = run(tmp_path, PASSES + race(1) + FAILS)
    assert status == 1
    assert "2 failed among the others; now alone" in said
    assert RACED not in said


@pytest.mark.parametrize("args", [(), XDIST])
def test_test_that_passes_alone_is_named_and_the_run_passes(
    tmp_path: Path, args: tuple[str, ...]
) -> None:
    status, said = run(tmp_path, PASSES + race(1, 2, 3), *args)
    assert status == 0
    assert [line for line in said.splitlines() if RACED in line] == [
        f"{RACED}test_it.py::test_races{n}" for n in (1, 2, 3)
    ]


def test_nothing_runs_twice_where_all_pass(tmp_path: Path) -> None:
    status, said = run(tmp_path, PASSES)
    assert (status, "alone" in said) == (0, False)


@pytest.mark.parametrize(
    ("text", "args"),
    [
        (race(1, 2, 3, 4), ()),
        (race(1, says="AddressSanitizer: heap-use-after-free"), ()),
        (race(1, says="the broker ended with -11"), ()),
        (DIES, XDIST),
        (race(1) + "import nothing_of_that_name\n", ()),
    ],
    ids=["too many", "sanitizer", "broken broker", "process that dies", "no import"],
)
def test_what_is_no_race_has_no_second_run(
    tmp_path: Path, text: str, args: tuple[str, ...]
) -> None:
    status, said = run(tmp_path, PASSES + text, *args)
    assert status in (1, 2)
    assert "now alone" not in said


def test_no_test_is_told_as_pytest_tells_it(tmp_path: Path) -> None:
    status, _ = run(tmp_path, PASSES, "-m", "not_there")
    assert status == 5
