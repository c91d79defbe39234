"""Numbers of commands, whatever a program has made of them."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.plugins.devices.commands.ids import APART, MOST_A_DAY, meant, number_of

pytestmark = pytest.mark.plain

DAYS = st.integers(20180101, 20991231)
NUMBERS = st.builds(number_of, DAYS, st.integers(1, MOST_A_DAY))


@given(NUMBERS)
def test_every_writing_of_a_number_means_it(number: int) -> None:
    assert len(str(number)) == 18
    # JavaScript and jq write the shortest digits, cJSON 15 where they read back the same.
    for said in (number, float(number), f"{number}", repr(float(number)), f"{number:.14e}"):
        assert meant(said) == number, said
    assert meant(json.loads(f"{number:.17g}")) == number


@given(NUMBERS, st.integers(-APART // 2, APART // 2))
def test_number_beside_means_nothing_but_what_rounds_to_it(number: int, by: int) -> None:
    same = float(number + by) == float(number)
    assert meant(number + by) == (number if same else None)


@given(NUMBERS, NUMBERS)
def test_two_numbers_stay_two(one: int, other: int) -> None:
    assert (meant(float(one)) == meant(float(other))) == (one == other)


@pytest.mark.parametrize(
    "said",
    [
        *("", "x", "-1", "1e999", "nan", "inf", "٣", " 1", "0x10", "1_000", "9" * 30),
        *(None, True, [], {}, -1, 0, 789, 1e400, float("nan"), 10**400, 2**63),
    ],
)
def test_what_is_no_number_of_a_command(said: object) -> None:
    assert meant(said) is None


def test_javascript_names_the_command() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node.js")
    number = number_of(20261130, 4711)
    program = f"console.log(JSON.stringify(JSON.parse('{{\"id\":{number}}}').id))"
    done = subprocess.run([node, "-e", program], capture_output=True, check=True, text=True)
    assert meant(json.loads(done.stdout)) == number
