"""Where callbacks and message routes are posted to: targets of the broker's deliveries.

What delivers is imported when the first one is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nanomq_py.plugins.devices.words import Refused

if TYPE_CHECKING:
    from nanomq_py.broker import Broker
    from nanomq_py.delivery.target import Counts, Post, Target
    from nanomq_py.plugins.devices.keys import Keys

MOST_URL = 2048  # letters


class Targets:
    """Makes them of the keys, which may change.

    Errors   Refused: the URL cannot be told; KeyError: the target is not set; StoreError
    """

    def __init__(self, broker: Broker, keys: Keys) -> None:
        self.keys = keys
        self._broker = broker
        self._urls: dict[str, str] = {}  # of those that are set

    def _target(self, name: str, url: str) -> Target:
        from nanomq_py.delivery.target import Target

        return Target(
            name=name,
            url=url,
            secret=self.keys.targets_secret,
            allow=self.keys.targets_allow,
            cacertfile=self.keys.targets_cacertfile or None,
        )

    def check(self, url: str) -> None:
        """Raise Refused for a URL that nothing may be posted to."""
        from nanomq_py.delivery.target import check_target

        if len(url) > MOST_URL or not url.isprintable() or " " in url:
            text = f"url: expected {MOST_URL} letters at most, without spaces"
            raise Refused("url_refused", text)
        if "@" in url.partition("://")[2].partition("/")[0]:  # lists would show it
            text = "url: expected no user name and password in it"
            raise Refused("url_refused", text)
        try:
            check_target(self._target("x", url))
        except ValueError as fault:
            raise Refused("url_refused", str(fault)) from None

    async def set(self, name: str, url: str) -> None:
        """Have what is put under that name posted there from now on."""
        self._urls[name] = url
        try:
            await self._broker.deliveries.set_target(self._target(name, url))
        except ValueError as fault:
            raise Refused("url_refused", str(fault)) from None

    async def set_again(self) -> dict[str, str]:
        """Have all follow other keys; return why some cannot be told."""
        faults = {}
        for name, url in list(self._urls.items()):
            try:
                await self.set(name, url)
            except Refused as fault:
                await self._broker.deliveries.release(name)
                faults[name] = fault.message
        return faults

    async def switch_on(self, name: str) -> None:
        """Tell one again that has answered 410."""
        await self._broker.deliveries.switch_on(name)

    async def put(self, name: str, posts: Sequence[Post]) -> None:
        """Have these sent; return once they are on the disk."""
        await self._broker.deliveries.put(name, posts, patient=True)

    async def remove(self, name: str) -> None:
        """Forget one, and what waits for it."""
        self._urls.pop(name, None)
        await self._broker.deliveries.remove_target(name)

    async def release(self) -> None:
        """Send nothing any more; what waits stays on the disk."""
        for name in self._urls:
            await self._broker.deliveries.release(name)
        self._urls.clear()

    def sums(self, name: str) -> tuple[int, int]:
        """Return how many posts it took, and how many attempts failed; 0: it is not set."""
        counts = self.counts(name)
        return (0, 0) if counts is None else (counts.succeeded, counts.failed)

    def counts(self, name: str) -> Counts | None:
        """Return what became of what was put; None: the target is not set."""
        try:
            return self._broker.deliveries.counts(name)
        except KeyError:
            return None
