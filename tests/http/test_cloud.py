"""What no page of calls can show under Cloud's paths: the end of an alarm, and of the broker.

Source  http-dialects.md, "EMQX v4 and Cloud"
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests import plugged
from tests.conftest import StartBroker
from tests.http.v4 import call

pytestmark = pytest.mark.plain

ALARM = "plugin_failed/broken"


@pytest.mark.endpoint("cloud", "POST /ctrl/{action}", "success")
def test_broker_stops(start_broker: StartBroker) -> None:
    broker = start_broker()
    said = call(broker, "POST", "/api/ctrl/stop")
    assert (said.status, said.json) == (200, {"code": 0})
    assert broker.ends() == 0


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            f"/api{path}", marks=pytest.mark.endpoint("cloud", f"POST {path}", "success")
        )
        for path in ("/alarms", "/alarms/deactivated")
    ],
)
def test_alarm_ends_by_each_path(
    start_broker: StartBroker, tmp_path: Path, path: str
) -> None:
    plugged.install(tmp_path, "broken", "raise RuntimeError('made up')\n")
    broker = start_broker(
        {"PYTHONPATH": str(tmp_path)},
        constants={"nanomq_py.alarms_part.LOOK_S": 0.05},
        plugins__load="broken",
    )
    (node,) = call(broker, "GET", "/api/alarms").json["data"]
    until = time.monotonic() + 20
    body = {"node": node["node"], "name": ALARM}
    while (said := call(broker, "POST", path, body)).status == 404:
        assert time.monotonic() < until, said
        time.sleep(0.02)
    assert (said.status, said.json) == (200, {"code": 0})
