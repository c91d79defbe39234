"""The tree of all Topic Filters that clients have, level by level.

::

    a/+   a/b   c          [[{"topic":"","cld_cnt":2,"client_id":[]}],
                            [{"topic":"a","cld_cnt":2,"client_id":[]},{"topic":"c",...}],
                            [{"topic":"+",...},{"topic":"b",...}]]

Source  NanoMQ 0.7.8, dbtree_get_tree: level 0 is the root, ``cld_cnt`` counts the children of a
        node, ``$share`` and its group are levels, wildcards stand before names in byte order.
        There a node without clients has no ``client_id``; here the list is empty.
Cost    about 300 bytes of memory a node while it is made; others get the loop in between
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator, Iterator
from heapq import merge
from typing import Protocol

import orjson

from nanomq_py.core.queries import Page, Subscription, SubscriptionFilter
from nanomq_py.http.errors import Unexpected

PIECE = 256  # rows of a page
MOST_NODES = 250_000
MOST_ROWS = 500_000  # subscriptions
STEPS = 250  # of work between the turns of others: less than a millisecond
_DRAWERS = 64  # a large dictionary grows for many milliseconds at once
TOGETHER = 100  # parts of nodes to a piece
_NONE = 0xFFFFFFFF


class Pages(Protocol):
    """What a tree is made of: a Broker's."""

    async def subscriptions(
        self, filter: SubscriptionFilter, *, limit: int, after: int | None, count: bool
    ) -> Page[Subscription]: ...


class _Turns:
    """Gives the loop to others after so many steps."""

    def __init__(self) -> None:
        self._steps = 0

    async def count(self, steps: int) -> None:
        self._steps += steps
        if self._steps >= STEPS:
            self._steps = 0
            await asyncio.sleep(0)


class _Chains:
    """For each owner, its members in the order in which they came.

    They are chained in flat arrays: lists would keep the garbage collector busy.
    """

    def __init__(self) -> None:
        self.counts = array("I")  # by owner, like the next two
        self._first = array("I")
        self._last = array("I")
        self._next = array("I")  # by member

    def add_owner(self) -> None:
        self.counts.append(0)
        self._first.append(_NONE)
        self._last.append(_NONE)

    def append(self, owner: int) -> None:
        """Add the next member: they are numbered from 0 on."""
        member = len(self._next)
        self._next.append(_NONE)
        if self.counts[owner] == 0:
            self._first[owner] = member
        else:
            self._next[self._last[owner]] = member
        self._last[owner] = member
        self.counts[owner] += 1

    def of(self, owner: int) -> Iterator[int]:
        member = self._first[owner]
        while member != _NONE:
            yield member
            member = self._next[member]


class Tree:
    """Nodes are numbered; 0 is the root."""

    def __init__(self) -> None:
        self.texts: list[str] = [""]
        self.clients: list[str] = []  # of all nodes
        self.members = _Chains()  # numbers in ``clients``
        self.children = _Chains()  # numbers of nodes, less 1: the root is nobody's child
        # Numbers of nodes by PARENT/TEXT.
        self._drawers: list[dict[str, int]] = [{} for _ in range(_DRAWERS)]
        self.members.add_owner()
        self.children.add_owner()

    async def put(self, topic_filter: str, client_id: str, turns: _Turns) -> None:
        """Add a subscription. Raises Unexpected when the tree is too large."""
        node = 0
        for text in topic_filter.split("/"):
            node = self._child(node, text)
            await turns.count(1)
        if len(self.clients) >= MOST_ROWS:
            raise _too_large(f"{MOST_ROWS} subscriptions")
        self.clients.append(client_id)
        self.members.append(node)

    def _child(self, parent: int, text: str) -> int:
        key = f"{parent}/{text}"
        drawer = self._drawers[hash(key) % _DRAWERS]
        node = drawer.get(key)
        if node is not None:
            return node
        if len(self.texts) >= MOST_NODES:
            raise _too_large(f"{MOST_NODES} nodes")
        node = drawer[key] = len(self.texts)
        self.texts.append(text)
        self.children.append(parent)
        self.members.add_owner()
        self.children.add_owner()
        return node

    async def below(self, nodes: array[int], turns: _Turns) -> array[int]:
        """Return the children of a level, those of one node together and in their order."""
        level = array("I")
        for node in nodes:
            await turns.count(1)
            mine = array("I")
            for child in self.children.of(node):
                mine.append(child + 1)
                await turns.count(1)
            runs = []
            for begin in range(0, len(mine), STEPS):
                runs.append(sorted(mine[begin : begin + STEPS], key=self._rank))
                await turns.count(STEPS)
            for child in merge(*runs, key=self._rank):
                level.append(child)
                await turns.count(1)
        return level

    def _rank(self, node: int) -> tuple[bool, str]:
        text = self.texts[node]
        return text not in ("#", "+"), text

    def json_of(self, node: int, clients: str) -> Iterator[bytes]:
        """Yield the node in JSON, some of its clients, called ``clients``, at a time."""
        head = {"topic": self.texts[node], "cld_cnt": self.children.counts[node]}
        piece = orjson.dumps(head | {clients: []})[:-2]
        batch: list[str] = []
        comma = b""
        for member in self.members.of(node):
            batch.append(self.clients[member])
            if len(batch) == PIECE:
                yield piece + comma + orjson.dumps(batch)[1:-1]
                piece, comma, batch = b"", b",", []
        if batch:
            piece += comma + orjson.dumps(batch)[1:-1]
        yield piece + b"]}"

    async def drop(self, turns: _Turns) -> None:
        """Forget it, bit by bit."""
        for texts in (self.texts, self.clients):
            while texts:
                del texts[-STEPS:]
                await turns.count(STEPS)
        for drawer in self._drawers:
            await turns.count(len(drawer))
            drawer.clear()


def _too_large(bound: str) -> Unexpected:
    return Unexpected(f"the topic tree has more than {bound}")


async def _filled(tree: Tree, pages: Pages, turns: _Turns) -> None:
    every, after = SubscriptionFilter(), None
    while True:
        page = await pages.subscriptions(every, limit=PIECE, after=after, count=False)
        for row in page.rows:
            await tree.put(row.topic_filter, row.client_id, turns)
        if page.next is None:
            return
        after = page.next


async def tree_pieces(pages: Pages, clients: str) -> AsyncIterator[bytes]:
    """Yield the levels, in JSON that is to stand in a list. Raises Unexpected, at first only.

    clients   what the list of a node's clients is called
    """
    tree, turns = Tree(), _Turns()
    try:
        await _filled(tree, pages, turns)
        level, begin = array("I", [0]), b"["
        while level:
            ready = [begin]
            for node in level:
                for piece in tree.json_of(node, clients):
                    ready.append(piece)
                    if len(ready) >= TOGETHER:
                        yield b"".join(ready)
                        ready.clear()
                    await turns.count(1)
                ready.append(b",")
            ready[-1:] = [b"]"]
            yield b"".join(ready)
            level, begin = await tree.below(level, turns), b",["
    finally:
        await tree.drop(turns)
