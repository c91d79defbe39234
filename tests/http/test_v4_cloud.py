"""What this broker has beside Cloud's own paths answers below ``/api`` as below ``/api/v4``."""

from __future__ import annotations

import pytest

from tests.conftest import Process, StartBroker
from tests.http.v4 import assert_refused, call

pytestmark = pytest.mark.plain


def cloud(endpoint: str, outcome: str = "success") -> pytest.MarkDecorator:
    return pytest.mark.endpoint("cloud", endpoint, outcome)


def answered(broker: Process, method: str, path: str, body: object = None) -> object:
    said = call(broker, method, f"/api{path}", body)
    assert (said.status, said.json["code"]) == (200, 0), said
    return said.json.get("data")


@cloud("GET /configuration")
@cloud("GET /configuration/{part}")
@cloud("POST /configuration")
@cloud("POST /configuration/{part}")
@cloud("GET /configuration/{part}", "101")
@cloud("POST /configuration/{part}", "101")
@cloud("POST /reload")
@cloud("POST /config_update")
@cloud("GET /bridges")
@cloud("GET /bridges/{name}")
@cloud("PUT /bridges/{name}")
@cloud("POST /bridges")
@cloud("DELETE /bridges/{name}")
@cloud("POST /ctrl/{action}")
def test_configuration_is_changed(start_broker: StartBroker) -> None:
    broker = start_broker(bridge__mqtt__emqx__address="mqtt-tcp://127.0.0.1:1")
    basic = {"basic": {"qos_duration": 7}}
    for path in ("/configuration", "/configuration/basic"):
        answered(broker, "POST", path, {"data": basic})
        said = answered(broker, "GET", path)
        assert isinstance(said, dict)
        assert said["basic"]["qos_duration"] == 7
    for method in ("GET", "POST"):
        said = call(broker, method, "/api/configuration/foo", {"data": {}})
        assert_refused(said, 404, 101)
    answered(broker, "POST", "/reload", {"data": {"qos_duration": 8}})
    assert "qos_duration=8\n" in broker.conf.read_text()
    answered(broker, "POST", "/config_update", broker.conf.read_bytes() + b"#\n")
    assert broker.conf.read_text().endswith("#\n")
    answered(broker, "PUT", "/bridges/emqx", {"emqx": {"keepalive": 5}})
    for path in ("/bridges", "/bridges/emqx"):
        said = answered(broker, "GET", path)
        assert isinstance(said, dict)
        assert said["bridge"]["nodes"][0]["connector"]["keepalive"] == 5
    answered(broker, "POST", "/bridges", {"name": "b", "server": "mqtt-tcp://127.0.0.1:1"})
    answered(broker, "DELETE", "/bridges/emqx")
    said = answered(broker, "GET", "/bridges")
    assert isinstance(said, dict)
    assert [node["name"] for node in said["bridge"]["nodes"]] == ["b"]
    answered(broker, "POST", "/ctrl/stop")
    assert broker.ends() == 0


@cloud("POST /data/export")
@cloud("GET /data/export")
@cloud("POST /data/import")
@cloud("GET /data/file/{filename}")
@cloud("POST /data/file")
@cloud("DELETE /data/file/{filename}")
def test_data_goes_out_and_in(start_broker: StartBroker) -> None:
    broker = start_broker()
    made = answered(broker, "POST", "/data/export")
    assert answered(broker, "GET", "/data/export") == [made]
    assert isinstance(made, dict)
    path = f"/data/file/{made['filename']}"
    text = call(broker, "GET", f"/api{path}").json["file"]
    answered(broker, "POST", "/data/file", {"filename": "a.json", "file": text})
    said = answered(broker, "POST", "/data/import", {"filename": "a.json"})
    assert isinstance(said, dict)
    assert set(said["imported"].values()) == {0}
    answered(broker, "DELETE", path)
    assert call(broker, "GET", f"/api{path}").status == 404


@cloud("GET /prometheus")
@cloud("GET /emqx_prometheus")
@cloud("POST /acl/test")
def test_metrics_and_rules_are_told(broker: Process) -> None:
    assert "\nnanomq_connected " in call(broker, "GET", "/api/prometheus").text
    text = call(broker, "GET", "/api/emqx_prometheus?type=prometheus").text
    assert "\nemqx_connections_count " in text
    trial = {"action": "publish", "topic": "a"}
    assert answered(broker, "POST", "/acl/test", trial) == {
        "result": "allow", "decided_by": "acl_nomatch=allow",
    }  # fmt: skip
