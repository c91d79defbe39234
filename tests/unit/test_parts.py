"""Several parts as one: started together or not at all, in order."""

from __future__ import annotations

import subprocess
import sys

import pytest

from nanomq_py.config import Config, ConfigError
from nanomq_py.kernel.parts import Parts
from tests.conftest import ROOT
from tests.noted import Noted


def steps(*each: str) -> list[str]:
    return [
        f"{name} {step}" for step, names in (e.split(":") for e in each) for name in names
    ]


@pytest.mark.parametrize(
    ("fails_at", "after"),
    [
        ("prepare", ["a prepare", "b prepare", "a undo"]),
        ("commit", steps("prepare:ab", "commit:ab", "undo:ba")),
        ("start", steps("prepare:ab", "commit:ab", "start:ab", "leave:ba", "stop:ba")),
    ],
)
async def test_start_that_fails_leaves_nothing(fails_at: str, after: list[str]) -> None:
    notes: list[str] = []
    parts = Parts([Noted("a", notes), Noted("b", notes, fails_at)])
    with pytest.raises(ConfigError, match="made up"):
        await parts.begin(Config())
    assert notes == after


async def test_spare_part_that_fails_is_gone_on_without_once() -> None:
    notes: list[str] = []
    parts = Parts([Noted("a", notes, "prepare"), Noted("b", notes)], spare={"a"})
    await parts.begin(Config())
    assert notes == ["a prepare", "b prepare", "b commit", "a start", "b start"]
    with pytest.raises(ConfigError, match="made up"):
        await parts.prepare(Config())


def test_http_that_is_off_is_not_imported() -> None:
    text = (
        "import sys, nanomq_py.server; print({'uvicorn', 'starlette'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "set()\n", done.stderr
