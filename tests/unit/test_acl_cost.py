"""What access rules cost does not grow with their number."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.judging import PATTERN, Act, Rule, Who, lib, view_of
from tests.unit.clib import slice_of

pytestmark = [pytest.mark.alone, pytest.mark.plain]
FEW, MANY = 10, 10_000
ME = Who("me", "u")
Make = Callable[[int, int], Rule]


def pattern(n: int, of: int) -> Rule:
    kinds = (f"site/{n}/+/state", f"site/{n}/#", f"site/{n}/%c/state", f"+/{n}/me/state")
    return Rule(n % 2 == 0, ((kinds[n % 4], PATTERN),))


def same_topic(n: int, of: int) -> Rule:
    return Rule(n % 2 == 0, (("site/+/me/#", PATTERN),), publish=n == of - 1)


MAKES: dict[str, Make] = {
    "other clients": lambda n, of: Rule(True, (("#", PATTERN),), client_id=f"c{n}"),
    "other users": lambda n, of: Rule(False, (("#", PATTERN),), user_name=f"u{n}"),
    "other addresses": lambda n, of: Rule(
        False, (("#", PATTERN),), network=f"10.{n >> 8}.{n & 255}.0/24"
    ),
    "patterns": pattern,
    "one topic": same_topic,
}


def cost_s(make: Make, count: int, act: Act, topic: str) -> float:
    rules = [make(n, count) for n in range(count)]
    with view_of(rules, ME) as view:
        best = 1e9
        kept = topic.replace("LAST", str(count - 1)).encode()
        asked, bit, judge = slice_of(kept), act.bit(), lib.nmq_acl_judge
        for _ in range(20):
            began = time.perf_counter()
            for _ in range(200):
                judge(view, bit, asked)
                view.last.act = 0  # else it is remembered
            best = min(best, time.perf_counter() - began)
    return best


@pytest.mark.parametrize("name", MAKES)
@pytest.mark.parametrize(
    ("act", "topic"),
    [
        (Act("publish", qos=1), "site/LAST/me/state"),
        (Act("subscribe"), "site/LAST/+/state"),
        (Act("subscribe"), "#"),
    ],
)
def test_many_rules_cost_as_few_do(name: str, act: Act, topic: str) -> None:
    # A list that is gone through costs a thousand times as much.
    many, few = (cost_s(MAKES[name], count, act, topic) for count in (MANY, FEW))
    assert many < 5 * few
