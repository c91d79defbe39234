"""docs/developing.md, step by step: shell as it stands, code put where its first line says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.test_commands import Shells, tree_at

PAGE = (ROOT / "docs" / "developing.md").read_text()
CHAPTERS = dict(re.findall(r"^## (\d+)\. .*?\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
LONG = {"2", "3", "4", "5", "17"}  # a build, gdb, valgrind; or tests that run anyway
WHERE = re.compile(r'^(?://|#) (\S+), (above|below|in place of) "(.*)"\n', re.M)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree that builds on what was built here."""
    folder = tree_at(tmp_path_factory.mktemp("developing") / "tree")
    (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)
    for name in ("core-plain", "test-plain"):
        if (ROOT / "build" / name).exists():
            shutil.copytree(ROOT / "build" / name, folder / "build" / name)
    return folder


@pytest.fixture
def shells(copy: Path, tmp_path: Path) -> Iterator[Shells]:
    made = Shells(copy, tmp_path / "log", PYTHONPATH=str(copy), PYTHONDONTWRITEBYTECODE="1")
    yield made
    made.end()


def build(copy: Path) -> set[str]:
    """Build in the copy; return the objects and modules that were made."""

    def made() -> dict[Path, int]:
        files = [
            f for end in ("*.o", "*.so") for f in copy.rglob(end) if not f.is_symlink()
        ]
        return {
            file: file.stat().st_mtime_ns for file in files if ".venv" not in file.parts
        }

    before = made()
    python = copy / ".venv" / "bin" / "python"
    subprocess.run([python, "build_ext.py", "--test"], cwd=copy, check=True, timeout=600)
    return {str(f.relative_to(copy)) for f, at in made().items() if before.get(f) != at}


MODULES = {"nanomq_py/_core.abi3.so", "tests/_core_test.abi3.so"}
LINKED = MODULES | {
    "build/core-plain/lib/nanomq_py/_core.abi3.so",
    "build/test-plain/lib/tests/_core_test.abi3.so",
}


def objects(source: str) -> set[str]:
    return {f"build/{module}-plain/csrc/{source}.o" for module in ("core", "test")}


@pytest.mark.plain
@pytest.mark.timeout(900)
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a copy has no sanitizer")
def test_build_makes_again_what_has_changed_and_nothing_else(copy: Path) -> None:
    build(copy)
    assert build(copy) == set()
    (copy / "csrc" / "base" / "sha1.c").touch()
    extra = copy / "csrc" / "base" / "extra.c"
    extra.write_text("int nmq_extra_x(void);\nint nmq_extra_x(void) { return 1; }\n")
    assert build(copy) == objects("base/sha1") | objects("base/extra") | LINKED
    extra.unlink()
    assert build(copy) == LINKED


def put(copy: Path, block: str) -> None:
    """Put each piece of a block where the line before it says."""
    pieces = WHERE.split(block)[1:]
    assert pieces, f"no place: {block}"
    for path, how, anchor, text in zip(*[iter(pieces)] * 4, strict=True):
        there, file = anchor.replace("\\n", "\n").replace('\\"', '"'), copy / path
        content = file.read_text()
        assert content.count(there) == 1, f"{path}: once expected: {there!r}"
        if how == "below":
            text = there + "\n" + text.removesuffix("\n")
        elif how == "above":
            text += there
        else:
            text = text.removesuffix("\n")
        file.write_text(content.replace(there, text))


@pytest.mark.plain
@pytest.mark.timeout(900)
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a copy has no sanitizer")
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_chapter(chapter: str, copy: Path, shells: Shells) -> None:
    if chapter in LONG and "DEVELOPING" not in os.environ:
        pytest.skip("make developing")
    for language, block in re.findall(
        r"^```(\w+)\n(.*?)^```$", CHAPTERS[chapter], re.M | re.S
    ):
        if language == "sh":
            shells.run(block, 600)
        else:
            put(copy, block)


@pytest.mark.plain
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a copy has no sanitizer")
def test_what_the_page_adds_is_as_clean_as_the_rest(copy: Path) -> None:
    """After the last chapter."""
    done = subprocess.run(
        [copy / ".venv" / "bin" / "python", "-m", "mypy"],
        cwd=copy,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
