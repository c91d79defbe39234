"""The actions that only look: ``inspect`` and ``do_nothing``.

Source  EMQX 4.4, emqx_rule_actions: both take any parameters
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from nanomq_py.plugins.rules.action import (
    NO_FAULTS,
    Action,
    Faults,
    Selected,
    Tools,
    json_row,
)
from nanomq_py.plugins.rules.model import Params

log = logging.getLogger("nanomq.plugins.rules")

MOST_LETTERS = 1000  # of a row in the log
MOST_LINES = 10  # of one batch


class DoNothing(Action):
    async def act(self, selected: Sequence[Selected]) -> Faults:
        return NO_FAULTS


class Inspect(Action):
    """Writes rows to the log, the first of a batch."""

    def __init__(self, rule_id: str) -> None:
        super().__init__()
        self._rule_id = rule_id

    async def act(self, selected: Sequence[Selected]) -> Faults:
        for each in selected[:MOST_LINES]:
            told = json_row(each.row).decode()[:MOST_LETTERS]
            log.warning("rule %s: inspect: %s", self._rule_id, told)
        if len(selected) > MOST_LINES:
            more = len(selected) - MOST_LINES
            log.warning("rule %s: inspect: and %d more rows", self._rule_id, more)
        return NO_FAULTS


def do_nothing(params: Params, tools: Tools) -> DoNothing:
    return DoNothing()


def inspect(params: Params, tools: Tools) -> Inspect:
    return Inspect(tools.rule_id)
