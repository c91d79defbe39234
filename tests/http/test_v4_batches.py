"""Large batches of ``/api/v4``: what one may cost, and who gets the loop meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.mqtt import AT_ONCE, MOST_ITEMS, publish_batch
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.rest.endpoint import Call

pytestmark = pytest.mark.plain


class _Api:
    """A broker that counts what is published between two turns of the loop."""

    def __init__(self) -> None:
        self.broker = self
        self.published = 0
        self.most = 0  # between two turns
        self._before = 0

    async def publish_as(self, *given: object, **more: object) -> int:
        self.published += 1
        return 0

    async def watch(self) -> None:
        while True:
            self.most = max(self.most, self.published - self._before)
            self._before = self.published
            await asyncio.sleep(0)


async def _published(items: list[Any]) -> _Api:
    api = _Api()
    watching = asyncio.ensure_future(api.watch())
    await asyncio.sleep(0)
    await publish_batch(cast(Api, api), Call("somebody", body=items))
    await asyncio.sleep(0)
    watching.cancel()
    return api


@pytest.mark.parametrize("topics", [1, 2, AT_ONCE - 1, 1000])
def test_others_have_the_loop_while_a_batch_is_published(topics: int) -> None:
    items = [{"topics": ",".join(["a"] * topics)}] * 200
    api = asyncio.run(_published(items))
    assert api.published == 200 * topics
    assert api.most <= 2 * AT_ONCE


def test_batch_of_too_many_items_is_refused_whole() -> None:
    """An answer has an item for each: those of 1 MiB would take 18 MiB."""
    with pytest.raises(
        BadParameter, match=f"{MOST_ITEMS + 1} items: expected {MOST_ITEMS}"
    ):
        asyncio.run(_published([0] * (MOST_ITEMS + 1)))
