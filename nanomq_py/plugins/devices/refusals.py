"""Reports that are refused: counted by reason, and logged once a device and minute."""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict

from nanomq_py.config.values.texts import shown
from nanomq_py.plugins.devices.reports import BadReport, Why

AGAIN_S = 60.0
MOST_KNOWN = 10_000  # devices; the one that was told of first is forgotten


class Refusals:
    """Counts them.

    counts   by reason, since the start
    """

    def __init__(self, log: logging.Logger) -> None:
        self.counts: Counter[Why] = Counter()
        self._log = log
        self._told: OrderedDict[str, float] = OrderedDict()  # on the monotonic clock

    def add(self, client_id: str, topic: str, fault: BadReport) -> None:
        self.counts[fault.why] += 1
        now = time.monotonic()
        if now - self._told.get(client_id, float("-inf")) < AGAIN_S:
            return
        self._told[client_id] = now
        self._told.move_to_end(client_id)
        if len(self._told) > MOST_KNOWN:
            self._told.popitem(last=False)
        self._log.warning(
            "device '%s': a report on %s is refused: %s",
            shown(client_id),
            shown(topic[:200]),
            shown(str(fault)[:200]),
        )
