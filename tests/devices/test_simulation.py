"""The short form of ``make devices``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.devices.simulation import Plan, simulate


@pytest.mark.plain
@pytest.mark.timeout(300)
async def test_broker_that_is_killed_loses_no_command(tmp_path: Path) -> None:
    plan = Plan(  # the store alone keeps commands; what durability does is in test_kill.py
        devices=50,
        seconds=20,
        kills=1,
        commands_per_s=5,
        report_s=5,
        seed=20261130,
        durability="off",
    )
    figures = await simulate(plan, tmp_path)
    assert figures["failed"]
    assert figures["expired"]
