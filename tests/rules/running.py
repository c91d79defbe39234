"""A broker in this process with rules, and what tests ask of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nanomq_py import Broker
from nanomq_py.broker import Tap
from nanomq_py.core.message import Message
from nanomq_py.plugins.rules.compiling import Place
from nanomq_py.plugins.rules.engine import Engine, Rule
from nanomq_py.plugins.rules.keys import Keys
from nanomq_py.plugins.rules.model import ActionSpec, RuleSpec
from tests.test_broker import LOCAL

log = logging.getLogger("nanomq.plugins.rules")


@asynccontextmanager
async def rules(
    folder: Path | None = None, keys: Keys | None = None
) -> AsyncIterator[Engine]:
    """Run a broker with rules. folder: of the store, and of files that rules write."""
    conf = None if folder is None else folder / "nanomq.conf"
    async with Broker(LOCAL, conf=conf) as broker:
        engine = Engine(broker, log)
        files = None if folder is None else folder / "files"
        engine.place = Place(keys or Keys(), files, "node@here")
        await engine.start(())
        yield engine
        await engine.stop(is_unloaded=False)


def action(name: str, **params: Any) -> ActionSpec:
    return ActionSpec(name, params)


def republish(topic: str, payload: str = "${payload}", **params: Any) -> ActionSpec:
    return action("republish", target_topic=topic, payload_tmpl=payload, **params)


async def make(engine: Engine, rawsql: str, *actions: ActionSpec, **fields: Any) -> Rule:
    return await engine.create(
        RuleSpec(fields.pop("id", ""), rawsql, tuple(actions), **fields)
    )


async def next_of(tap: Tap) -> Message:
    return await asyncio.wait_for(anext(tap), 20)


async def payloads(tap: Tap, count: int) -> list[bytes]:
    return [(await next_of(tap)).payload for _ in range(count)]


def counted(rule: Rule) -> dict[str, int]:
    """Return the counters of a rule that are not 0."""
    names: Sequence[str] = ("matched", "passed", "no_result", "exception", "failed")
    told = {name: getattr(rule.counts, name) for name in names}
    return {
        name: value for name, value in {**told, "dropped": rule.dropped}.items() if value
    }
