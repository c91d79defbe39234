"""tools/api_coverage.py: a hole is shown as one, and so is a mark that names nothing."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.http.endpoints import find
from tools import api_coverage
from tools.api_coverage import HOLE, SHOWN, Row, Shown

pytestmark = pytest.mark.plain

KICK = find("v2", "PUT", "/kick_client/x")


def cells(shown: Shown) -> list[str]:
    return list(Row(KICK, ["112"], shown).cells())


def test_what_no_test_shows_is_a_hole() -> None:
    name = "`PUT /kick_client/{clientid}`"
    nothing = cells(Counter())
    assert nothing == [name, HOLE, "**112**", "-", "-", "-", HOLE, HOLE, HOLE]
    shown = Counter(
        {("v2", KICK.name, each): 2 for each in ("success", "112", "wrong role")}
    )
    assert cells(shown) == [name, SHOWN, "112", "-", "-", "-", HOLE, SHOWN, HOLE]


def test_endpoint_that_nothing_serves_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert api_coverage.missing("v2") == []
    monkeypatch.setattr(api_coverage, "documented", lambda: {"v2": {"GET /nothing": []}})
    assert api_coverage.missing("v2") == ["GET /nothing"]


def test_mark_that_names_nothing_is_a_fault() -> None:
    wrong = Counter({("v2", "GET /nothing", "success"): 1, ("v2", KICK.name, "fine"): 1})
    assert api_coverage.faults(wrong) == [
        "v2 PUT /kick_client/{clientid}: 'fine' is no outcome",
        "v2 has no endpoint GET /nothing, which a test is marked with",
    ]
