"""Functions and files stay short. See tools/sizes.py."""

from __future__ import annotations

import pytest

from tests.test_layers import KNOWN, SOURCES
from tools.sizes import MEDIAN, NINETIETH, faults, lengths, summary

pytestmark = pytest.mark.plain

FOUND = list(faults(SOURCES))


def test_nothing_grows_too_long() -> None:
    new = [str(fault) for fault in FOUND if fault.name not in KNOWN]
    assert not new, "\n".join(new)


def test_what_is_cut_leaves_the_list_of_known_faults() -> None:
    assert {name for name in KNOWN if name.startswith("size: ")} <= {
        fault.name for fault in FOUND
    }


def test_functions_of_the_core_are_short() -> None:
    median, ninetieth, _ = summary(lengths(SOURCES, "C")[0])
    assert (median <= MEDIAN, ninetieth <= NINETIETH) == (True, True), (median, ninetieth)


def function(lines: int) -> str:
    return "static int\nf(int a)\n{\n" + "    a++;\n" * (lines - 4) + "    return a;\n}\n"


def test_what_is_too_long_is_found() -> None:
    planted = {
        "csrc/base/f.c": function(65),
        "csrc/base/g.c": "int a;\n" * 400 + function(66).replace("f(", "g("),
        "nanomq_py/h.py": "def h():\n" + "    pass\n" * 65 + "\n" * 335,
    }
    assert [str(fault) for fault in faults(planted)] == [
        "size: csrc/base/g.c g (66 lines)",
        "size: csrc/base/g.c (467 lines)",
        "size: nanomq_py/h.py h (66 lines)",
        "size: nanomq_py/h.py (401 lines)",
    ]
