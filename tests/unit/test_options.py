"""From the keys of a configuration to the options of the core."""

from __future__ import annotations

from typing import Any

import pytest

from nanomq_py.config.declare.key import Key, keys_of
from nanomq_py.config.keys.config import Config
from nanomq_py.config.values.kind import Kind
from nanomq_py.config.values.numbers import Duration, Size, Thousandths, Whole
from nanomq_py.core.binding import Core
from nanomq_py.core.options import core_options


def bounds(kind: Kind[Any]) -> list[Any]:
    """Return the least and the greatest value of a kind of number."""
    if isinstance(kind, Whole | Size | Duration | Thousandths):
        return [kind.low, kind.high]
    return []


BOUNDS = [
    (declared.name, value)
    for declared, key in keys_of(Config)
    if key.core
    for value in bounds(key.kind)
]


def keys() -> list[Key]:
    return [key for _, key in keys_of(Config) if key.core]


def test_no_two_keys_set_one_option() -> None:
    names = [key.core for key in keys()]
    assert len(names) > 30
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("name", "value"), BOUNDS)
def test_the_core_takes_what_a_key_may_say(name: str, value: int) -> None:
    Core(core_options(Config(**{name: value}))).close()
