"""A part of the process that brings keys of its own, as one of another package would.

python -m tests.samples start --conf FILE     a broker with it
"""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass

import msgspec

from nanomq_py.cli import main
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.declare.family import NAME, NUMBER, Line, family
from nanomq_py.config.declare.key import Checked, Key, key
from nanomq_py.config.declare.section import Section, section
from nanomq_py.config.values.kind import Optional
from nanomq_py.config.values.numbers import Whole
from nanomq_py.config.values.texts import List, Text
from nanomq_py.kernel.part import Change, Part

log = logging.getLogger("nanomq")


@dataclass(frozen=True, kw_only=True)
class Sink(Checked):
    name: str = ""
    token: str | None = key(
        "token", Optional(Text()), None, "What it asks for.", secret=True
    )


@dataclass(frozen=True, kw_only=True)
class Source(Checked):
    topic: str = key("topic", Text(empty=False), "", "A topic filter.")
    tags: tuple[str, ...] = key("tags", List(), (), "Words.")


class _RuleJson(msgspec.Struct, forbid_unknown_fields=True):
    take: str


@dataclass(frozen=True, kw_only=True)
class Rule:
    take: str


@dataclass(frozen=True, kw_only=True)
class Cache(Checked):
    size: int = key("size", Whole(0, 9), 1, "Samples in memory.")


@dataclass(frozen=True, kw_only=True)
class Store(Checked):
    path: str = key("path", Text(empty=False), "/tmp", "Where samples are kept.")
    password: str = key("password", Text(), "", "Opens it.", secret=True)
    cache: Cache = section("cache", Cache)


@dataclass(frozen=True, kw_only=True)
class Samples(Checked):
    rate: int = key("rate", Whole(0, 9), 5, "Samples a second.")
    store: Store = section("store", Store)
    sinks: tuple[Sink, ...] = family(
        "sink",
        Sink,
        NAME,
        title="Sinks",
        help="Where samples go.",
        example=("main.token=change-me",),
        required=("token",),
    )
    sources: tuple[Source, ...] = family(
        "source", Source, NUMBER, title="Sources", is_list=True, required=("topic",)
    )
    rules: tuple[Rule, ...] = family(
        "rule",
        Rule,
        NUMBER,
        line=Key("", Line(_RuleJson, '{"take":"a"}'), "What is taken."),
    )


SAMPLES = Section("samples", Samples, "Samples of a part")


class _Put(Change):
    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def commit(self) -> None:
        log.warning("samples: %d a second", self._samples.rate)


class SamplesPart(Part):
    name = "samples"
    brings = (SAMPLES,)

    async def prepare(self, config: Config) -> Change:
        samples = config.of_part(Samples)
        if samples.rate == 9:
            raise ConfigError("samples.rate: 9 is more than this part can do")
        return _Put(samples)


if __name__ == "__main__":
    sys.exit(main(parts=(SamplesPart,)))
