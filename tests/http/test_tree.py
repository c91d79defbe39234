"""Request 13 of V1: the tree that NanoMQ 0.7.8 makes of the subscriptions."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nanomq_py.core.queries import Page, Subscription
from nanomq_py.http import tree
from nanomq_py.http.errors import Unexpected
from nanomq_py.http.tree import tree_pieces
from tests.conftest import Process
from tests.http.test_v1 import page_of, subscription

pytestmark = pytest.mark.plain

Rows = list[Subscription]


class Held:
    """What the tree is made of."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    async def subscriptions(
        self, filter: object, *, limit: int, after: int | None, count: bool
    ) -> Page[Subscription]:
        return page_of(self._rows, limit, after)

    async def clients(self, **more: object) -> Any:
        raise AssertionError


async def made_of(rows: Rows) -> Any:
    text = b"".join([piece async for piece in tree_pieces(Held(rows), "client_id")])
    return orjson.loads(b"[" + text + b"]")


def by_the_rule(rows: Rows) -> list[list[dict[str, Any]]]:
    """Level by level: the children of each node, wildcards first, then in byte order."""
    clients: dict[tuple[str, ...], list[str]] = {(): []}
    for row in rows:
        path = tuple(row.topic_filter.split("/"))
        for end in range(len(path) + 1):
            clients.setdefault(path[:end], [])
        clients[path].append(row.client_id)
    levels, level = [], [()]
    while level:
        below = []
        nodes = []
        for path in level:
            children = [each for each in clients if each[:-1] == path and each]
            below += sorted(
                children, key=lambda each: (each[-1] not in ("#", "+"), each[-1])
            )
            topic = path[-1] if path else ""
            nodes.append(
                {"topic": topic, "cld_cnt": len(children), "client_id": clients[path]}
            )
        levels.append(nodes)
        level = below
    return levels


FILTERS = st.lists(
    st.sampled_from(["a", "b", "+", "$share", "g", "", "ä"]), min_size=1, max_size=4
)


@given(filters=st.lists(FILTERS, max_size=8))
@example(filters=[["$share", "g", "a", "#"], ["a", "#"], ["a", "+"], ["", ""], ["a"]])
def test_tree_is_the_rules(filters: list[list[str]]) -> None:
    rows = [subscription(f"c{n}", "/".join(levels), 0) for n, levels in enumerate(filters)]
    assert asyncio.run(made_of(rows)) == by_the_rule(rows)


@pytest.mark.parametrize("count", [255, 256, 257, 3000])
async def test_node_of_any_size_is_whole(count: int) -> None:
    wide = [subscription("c", f"t/{n:04}", 0) for n in reversed(range(count))]
    common = [subscription(f"c{n}", "common", 0) for n in range(count)]
    levels = await made_of(wide + common)
    assert levels == [
        [{"topic": "", "cld_cnt": 2, "client_id": []}],
        [
            {"topic": "common", "cld_cnt": 0, "client_id": [f"c{n}" for n in range(count)]},
            {"topic": "t", "cld_cnt": count, "client_id": []},
        ],
        [{"topic": f"{n:04}", "cld_cnt": 0, "client_id": ["c"]} for n in range(count)],
    ]


@pytest.mark.parametrize(
    ("bound", "text"), [("NODES", "9 nodes"), ("ROWS", "9 subscriptions")]
)
async def test_tree_that_is_too_large_is_refused(
    monkeypatch: pytest.MonkeyPatch, bound: str, text: str
) -> None:
    monkeypatch.setattr(tree, f"MOST_{bound}", 9)
    rows = [subscription(f"c{n}", f"{n}", 0) for n in range(9 if bound == "NODES" else 10)]
    assert await made_of(rows[:-1])
    with pytest.raises(Unexpected, match=text) as refused:
        await made_of(rows)
    assert refused.value.status == 500


async def test_others_get_the_loop_while_it_is_made() -> None:
    """However deep and however wide it is: measured in steps, not in time."""
    deep = [
        subscription("c", "/".join(f"{n}{k}" for k in range(5000)), 0) for n in range(3)
    ]
    wide = [subscription("c", f"{n}", 0) for n in range(5000)]
    turns = itertools.count()

    async def other() -> None:
        while True:
            next(turns)
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await made_of(deep + wide)
    task.cancel()
    # Each of 20,000 nodes is put, looked up, ordered, written and dropped.
    assert next(turns) > 4 * 20_000 // tree.STEPS


def test_broker_tells_its_tree(broker: Process, name: str) -> None:
    with broker.raw() as c:
        c.connect(name)
        c.subscribe((f"{name}/+/b", 0), (f"$share/{name}/x", 1))
        levels = broker.api(req=13).json["data"]
    found = {
        (depth, node["topic"]): (node["cld_cnt"], node["client_id"])
        for depth, level in enumerate(levels)
        for node in level
    }
    assert found[1, name] == (1, [])
    assert found[2, name] == (1, [])
    assert found[3, "b"][1] == [name]
    assert found[3, "x"][1] == [name]
    assert found[1, "$share"][0] >= 1
