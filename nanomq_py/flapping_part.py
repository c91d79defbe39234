"""Flapping detection as a part of the broker: it follows ``flapping_detect``.

::

    flapping_detect.enable ──> Detector ──> Bans of the store

While it is off, the detector is not imported.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nanomq_py.config import Config
from nanomq_py.config.keys.flapping import FlappingDetect
from nanomq_py.core.binding import Core
from nanomq_py.core.message import ListenerName
from nanomq_py.kernel.part import Change, Part, Swap
from nanomq_py.store_part import StorePart

if TYPE_CHECKING:
    from nanomq_py.flapping import Detector


def _load_detector() -> type[Detector]:
    from nanomq_py.flapping import Detector

    return Detector


class Flapping(Part):
    """Flapping detection, while ``flapping_detect.enable``. It comes before the listeners."""

    name = "flapping"

    def __init__(self, core: Core, listener_name: ListenerName, store: StorePart) -> None:
        self._core = core
        self._listener_name = listener_name
        self._store = store
        self.keys = FlappingDetect()  # in force
        self._detectors: list[Detector] = []  # the last one works; others may be ending

    async def prepare(self, config: Config) -> Change | None:
        new = config.flapping_detect
        if new == self.keys:
            return None
        if new.enable:
            await asyncio.to_thread(_load_detector)
        return Swap(self.use, self.keys, new)

    def use(self, keys: FlappingDetect) -> None:
        """Count by these from now on. Raises CoreError; then all is as it was."""
        if keys.enable and not self.keys.enable:
            bans = self._store.bans
            made = _load_detector()(self._core, self._listener_name, bans, keys)
            self._detectors.append(made)
        elif not keys.enable:
            self.leave()
        self.keys = keys
        if self._detectors:
            self._detectors[-1].keys = keys

    def leave(self) -> None:
        for detector in self._detectors:
            detector.leave()

    async def stop(self) -> None:
        for detector in self._detectors:
            await detector.stop()
