"""tests/fuzz: what stands in for a module of the core defines all that is used of it.

Only `make fuzz` links the targets; this holds where there is no clang.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fuzz.run import CORE, HERE, SHARED
from tools.c_source import declarations, used_names

pytestmark = pytest.mark.plain

LINKED = [*CORE, *SHARED]
DEFINED = {
    found.name: path
    for path in LINKED
    for found in declarations(path.read_text())
    if found.is_defined and not found.is_static
}
LEFT_OUT = [p for p in sorted((ROOT / "csrc").rglob("*.c")) if p not in CORE]
# The headers of the modules that are left out, and of the stand-ins' own functions.
HEADERS = [*(p.with_suffix(".h") for p in LEFT_OUT), HERE / "end.h"]
USERS = {*LINKED, *HERE.glob("*.c"), *(ROOT / "csrc").rglob("*.h")} - {*HEADERS}
USED = set().union(*(used_names(path.read_text()) for path in USERS))


def test_each_module_that_is_left_out_has_a_stand_in() -> None:
    assert {p.name for p in LEFT_OUT} == {"clock.c", "poller.c"}


@pytest.mark.parametrize("header", HEADERS, ids=lambda header: header.name)
def test_stand_ins_define_each_function_that_is_used(header: Path) -> None:
    declared = {d.name for d in declarations(header.read_text()) if d.is_function}
    assert len(declared & USED) > 1
    missing = declared & USED - DEFINED.keys()
    assert not missing, f"{header.name}: no file of tests/fuzz defines {sorted(missing)}"


def test_nothing_is_defined_twice() -> None:
    """A module that is left out by mistake would hide behind one that is not."""
    again = [
        found.name
        for path in LINKED
        for found in declarations(path.read_text())
        if found.is_defined and not found.is_static and DEFINED[found.name] != path
    ]
    assert again == []
