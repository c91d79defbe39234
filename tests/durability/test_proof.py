"""Short forms of the proof (run.py): a broker dies in every way, and nothing that it
acknowledged is lost. SEED gives a round again; make durability has the full counts."""

from __future__ import annotations

import contextlib
import os
import random
import time
from dataclasses import replace

import pytest

from tests.durability import each
from tests.durability.run import KINDS, run_round
from tests.durability.torn import Torn

pytestmark = pytest.mark.plain

SEED = int(os.environ.get("SEED", time.time_ns() % 10**6))
SHORT = {
    "kill": 10,
    "power cut": 6,
    "power cut, in memory": 20,
    "an operation fails": 2,  # after which nothing may be acknowledged, so one life more
    "control: off": 3,
    "control: no flush": 4,
}


@pytest.mark.parametrize("name", SHORT)
def test_what_is_acknowledged_comes_back(name: str) -> None:
    kind = replace(KINDS[name], deaths=SHORT[name])
    if why := kind.why_not():
        pytest.skip(why)
    print("seed", SEED)
    result = run_round(kind, SEED)
    assert bool(result.notes.findings) == kind.must_lose, str(result.notes.findings)
    assert result.figures()["acknowledged"] > 0


def test_whatever_byte_is_damaged_what_is_whole_comes_back() -> None:
    with contextlib.closing(Torn(1)) as torn:
        torn.run(torn.cases(sample=500))


def test_whichever_operation_fails_nothing_behind_it_is_acknowledged() -> None:
    print("seed", SEED)
    rng = random.Random(SEED)
    faults = each.cases(each.calm().counts)
    tried = [(one, "refuse") for one in rng.sample(faults, 10)]
    tried += [(one, how) for one in rng.sample(faults, 2) for how in ("stop", "degrade")]
    wrong: list[str] = []
    seen = each.try_each(tried, wrong.append)
    assert not wrong, "\n".join(wrong)
    assert seen["failed"] > 0
