"""Variables of the environment that stand for keys, such as ``NANOMQ_TLS_ENABLE``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from nanomq_py.config.declare.family import NUMBER, Index
from nanomq_py.config.declare.section import KINDS, Sections
from nanomq_py.config.declare.walk import Place, all_keys
from nanomq_py.config.forms.entries import Entry
from nanomq_py.config.keys.config import Config


def _in_capitals(text: str) -> str:
    return text.upper().replace(".", "_")


def variable_of(name: str) -> str:
    """Return the variable that stands for a flat name."""
    return f"NANOMQ_{_in_capitals(name)}"


@lru_cache(KINDS)
def _single(brought: Sections) -> Mapping[str, str]:
    """Return the flat names of keys that have one, by their variables."""
    names = [at.name for at, _ in all_keys(Config, brought) if not at.indices]
    # NanoMQ's own spelling of url comes first.
    return {"NANOMQ_BROKER_URL": "url", **{variable_of(name): name for name in names}}


@lru_cache(KINDS)
def _numbered(brought: Sections) -> tuple[tuple[re.Pattern[str], Place], ...]:
    """Return the keys of families that are only numbered: of others case is lost."""
    places = [at for at, _ in all_keys(Config, brought) if set(at.indices) == {NUMBER}]
    return tuple((_pattern(place), place) for place in places)


def _pattern(place: Place) -> re.Pattern[str]:
    """Match the variables of a key in numbered families; each group is a number."""
    steps = (
        r"(\d{1,9})" if isinstance(step, Index) else _in_capitals(step)
        for step in place.steps
    )
    return re.compile("_".join(["NANOMQ", *steps]))


def _name(variable: str, brought: Sections) -> str | None:
    if (name := _single(brought).get(variable)) is not None:
        return name
    for pattern, place in _numbered(brought):
        if (found := pattern.fullmatch(variable)) is not None:
            numbers = iter(found.groups())
            return ".".join(
                next(numbers) if isinstance(step, Index) else step for step in place.steps
            )
    return None


def from_environment(
    environ: Mapping[str, str], brought: Sections = ()
) -> dict[str, Entry]:
    """Return the entries of variables such as ``NANOMQ_TLS_ENABLE`` for ``tls.enable``.

    Members that are numbered too: ``NANOMQ_AUTH_1_LOGIN``, ``NANOMQ_ACL_RULE_1``. A variable
    that names no key is none of ours: a container may have its own NANOMQ_ ones.
    """
    entries = {}
    for variable, value in environ.items():
        name = _name(variable, brought) if variable.startswith("NANOMQ_") else None
        if name is not None:
            entries[name] = Entry(name, value, f"{variable} in the environment")
    return entries
