"""Rules by v4, while the plugin is loaded: EMQX's paths and NanoMQ's.

Source  EMQX 4.4, emqx_rule_engine_api; NanoMQ 0.24, rest_api.c
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Process, StartBroker, running_broker
from tests.http.v4 import PREFIXES, assert_refused, call, done, get, refusals, shows
from tests.raw import PUBLISH, Raw

pytestmark = pytest.mark.plain

SQL = 'SELECT payload.t AS t, topic FROM "s/#" WHERE t > 10'
REPUBLISH = {"name": "republish", "params": {"target_topic": "hot/${t}"}}
HOOK = {"url": "http://127.0.0.1:9/", "headers": {"X-Key": "k"}}
NODE = "nanomq@edge"


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    given = {"plugins.load": "rules", "node.name": NODE}
    with running_broker(tmp_path_factory.mktemp("ruled"), **given) as process:
        yield process


@contextlib.contextmanager
def made(broker: Process, path: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Make a rule or a resource, and forget it at the end."""
    said = call(broker, "POST", f"/api/v4{path}", body)
    assert (said.status, said.json["code"]) == (200, 0), said
    yield said.json["data"]
    done(broker, "DELETE", f"{path}/{said.json['data']['id']}")


def rule_of(**given: Any) -> dict[str, Any]:
    return {"rawsql": SQL, "actions": [REPUBLISH], **given}


# --- rules


@shows("POST /rules", "GET /rules", "GET /rules/{id}", "DELETE /rules/{id}")
@pytest.mark.parametrize("prefix", PREFIXES)
def test_rule_is_made_told_and_forgotten(ruled: Process, prefix: str) -> None:
    body = rule_of(description="too hot", id="hot")
    told = call(ruled, "POST", f"{prefix}/rules", body).json["data"]
    action = told["actions"][0]
    assert isinstance(told.pop("created_at"), int)
    assert action.pop("id").startswith("republish_")
    assert told == {
        "id": "hot",
        "name": "republish",
        "rawsql": SQL,
        "for": ["s/#"],
        "actions": [
            {
                **REPUBLISH,
                "fallbacks": [],
                "metrics": [{"node": NODE, "success": 0, "failed": 0, "taken": 0}],
            }
        ],
        "on_action_failed": "continue",
        "metrics": [
            {
                **{"node": NODE, "matched": 0, "passed": 0, "failed": 0, "exception": 0},
                **{"no_result": 0, "dropped": 0, "speed": 0.0, "speed_max": 0.0},
                "speed_last5m": 0.0,
            }
        ],
        "enabled": True,
        "description": "too hot",
        "error": "",
    }
    one = call(ruled, "GET", f"{prefix}/rules/hot").json["data"]
    assert one["rawsql"] == SQL
    assert call(ruled, "GET", f"{prefix}/rules").json == {"data": [one], "code": 0}
    assert call(ruled, "DELETE", f"{prefix}/rules/hot").json == {"code": 0}
    assert get(ruled, "/rules")["data"] == []


@shows("GET /rules")
def test_rules_are_found_by_what_they_are(ruled: Process) -> None:
    off = rule_of(id="two", enabled=False, rawsql='SELECT * FROM "x"', description="d2")
    with made(ruled, "/rules", rule_of(id="one")), made(ruled, "/rules", off):
        for query, wanted in (
            ("enabled=false", ["two"]),
            ("for=x", ["two"]),
            ("_like_id=on", ["one"]),
            ("_like_for=s/", ["one"]),
            ("_like_description=d2", ["two"]),
            ("_limit=10000&_page=1", ["one", "two"]),
        ):
            assert [each["id"] for each in get(ruled, f"/rules?{query}")["data"]] == wanted


@shows("PUT /rules/{id}", "PUT /rules/{id}/reset_metrics", "GET /nodes/{node}/metrics")
@shows("PUT /rules/{id}/reset_metrics", dialect="cloud")
def test_rule_is_changed_and_counted(ruled: Process) -> None:
    with made(ruled, "/rules", rule_of(id="hot")), Raw(ruled.port) as client:
        client.connect("c")
        client.subscribe(("hot/#", 0))
        matched = get(ruled, f"/nodes/{NODE}/metrics")["data"]["rules.matched"]
        client.publish("s/1", b'{"t":5}')
        client.publish("s/1", b'{"t":50}')
        assert client.expect(PUBLISH).topic == "hot/50"
        metrics = get(ruled, "/rules/hot")["data"]["metrics"][0]
        assert (metrics["matched"], metrics["passed"], metrics["no_result"]) == (2, 1, 1)
        told = get(ruled, f"/nodes/{NODE}/metrics")["data"]
        assert told["rules.matched"] == matched + 2
        assert told["actions.success"] >= 1
        other = {"rawsql": 'SELECT payload.t AS t FROM "r"', "description": "r"}
        said = call(ruled, "PUT", "/api/v4/rules/hot", other)
        assert said.json["data"]["for"] == ["r"]
        assert said.json["data"]["metrics"][0]["matched"] == 2
        client.publish("r", b'{"t":1}')
        assert client.expect(PUBLISH).topic == "hot/1"
        done(ruled, "PUT", "/rules/hot/reset_metrics")
        assert get(ruled, "/rules/hot")["data"]["metrics"][0]["matched"] == 0
        client.publish("r", b'{"t":2}')
        assert client.expect(PUBLISH).topic == "hot/2"
        assert call(ruled, "PUT", "/api/rules/hot/reset_metrics").json == {"code": 0}
        assert get(ruled, "/rules/hot")["data"]["metrics"][0]["matched"] == 0
        said = call(ruled, "PUT", "/api/v4/rules/hot", {"enabled": False})
        assert said.json["data"]["enabled"] is False
        client.publish("r", b'{"t":1}')
        client.assert_silent()


TRIED = {"rawsql": SQL, "ctx": {"payload": '{"t": 11}', "topic": "s/9"}}


@shows("POST /rules")
@pytest.mark.parametrize(
    ("path", "test"), [("/rules?test=true", None), ("/rules?test", None), ("/rules", True)]
)
def test_rule_is_tried_out(ruled: Process, path: str, test: bool | None) -> None:
    body = TRIED if test is None else {**TRIED, "test": test}
    said = call(ruled, "POST", f"/api/v4{path}", body)
    assert said.json == {"data": {"t": 11, "topic": "s/9"}, "code": 0}
    rows = {
        "rawsql": 'FOREACH payload.l AS i DO i.n AS n FROM "s/#"',
        "ctx": {"payload": '{"l":[{"n":1},{"n":2}]}'},
        "test": "true",
    }
    said = call(ruled, "POST", f"/api/v4{path}", rows)
    assert said.json["data"] == [{"n": 1}, {"n": 2}]
    event = {"rawsql": 'SELECT clientid, keepalive FROM "$events/client_connected"'}
    said = call(ruled, "POST", f"/api/v4{path}", {**event, "test": "true"})
    assert said.json["data"] == {"clientid": "c_emqx", "keepalive": 60}
    assert get(ruled, "/rules")["data"] == []


# --- kinds


@shows("GET /actions", "GET /actions/{name}")
@pytest.mark.parametrize("prefix", PREFIXES)
def test_actions_are_told(ruled: Process, prefix: str) -> None:
    rows = call(ruled, "GET", f"{prefix}/actions").json["data"]
    assert [row["name"] for row in rows] == [
        *("inspect", "do_nothing", "republish", "repub", "data_to_webserver", "sqlite"),
        "file",
    ]
    for row in rows:
        assert call(ruled, "GET", f"{prefix}/actions/{row['name']}").json["data"] == row
    told = rows[2]["params"]["target_topic"]
    assert (told["type"], told["required"], told["order"]) == ("string", True, 1)


@shows(
    "GET /resource_types",
    "GET /resource_types/{name}",
    "GET /resource_types/{name}/resources",
    "GET /rule_events",
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_types_and_events_are_told(ruled: Process, prefix: str) -> None:
    (row,) = call(ruled, "GET", f"{prefix}/resource_types").json["data"]
    assert (row["name"], row["params"]["url"]["required"]) == ("web_hook", True)
    assert call(ruled, "GET", f"{prefix}/resource_types/web_hook").json["data"] == row
    path = f"{prefix}/resource_types/web_hook/resources"
    with made(ruled, "/resources", {"type": "web_hook", "config": HOOK}) as hook:
        assert [r["id"] for r in call(ruled, "GET", path).json["data"]] == [hook["id"]]
    assert call(ruled, "GET", path).json["data"] == []
    events = call(ruled, "GET", f"{prefix}/rule_events").json["data"]
    assert events[0]["event"] == "$events/message_publish"
    for event in events:
        assert set(event["test_columns"]) <= set(event["columns"])
        tried = {"rawsql": event["sql_example"], "ctx": event["test_columns"], "test": True}
        said = call(ruled, "POST", f"{prefix}/rules", tried)
        assert said.status == 200, (event, said)


# --- resources


@shows(
    "POST /resources",
    "GET /resources",
    "GET /resources/{id}",
    "GET /resource_status/{id}",
    "PUT /resources/{id}",
    "POST /resources/{id}",
    "DELETE /resources/{id}",
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_resource_is_made_told_changed_and_forgotten(ruled: Process, prefix: str) -> None:
    body = {"type": "web_hook", "config": HOOK, "description": "d"}
    assert call(ruled, "POST", f"{prefix}/resources", {**body, "test": True}).json == {
        "code": 0
    }
    assert get(ruled, "/resources")["data"] == []
    told = call(ruled, "POST", f"{prefix}/resources", body).json["data"]
    alive = [{"node": NODE, "is_alive": True}]
    path = f"{prefix}/resources/{told['id']}"
    assert told == {
        "id": told["id"],
        "type": "web_hook",
        "config": {"url": HOOK["url"], "headers": {"X-Key": "******"}},
        "description": "d",
        "created_at": told["created_at"],
        "status": alive,
    }
    assert call(ruled, "GET", path).json["data"] == told
    listed = call(ruled, "GET", f"{prefix}/resources").json["data"]
    assert listed == [{**told, "status": True}]
    status = call(ruled, "GET", f"{prefix}/resource_status/{told['id']}").json
    assert status == {"data": {"is_alive": True}, "code": 0}
    assert call(ruled, "POST", path).json == {"code": 0}
    changed = {"config": {**told["config"], "url": "http://127.0.0.1:7/"}}
    assert call(ruled, "PUT", path, changed).json == {"code": 0}
    assert call(ruled, "GET", path).json["data"]["config"]["url"] == "http://127.0.0.1:7/"
    assert call(ruled, "DELETE", path).json == {"code": 0}
    assert get(ruled, "/resources")["data"] == []


@shows("POST /resources")
def test_resource_is_only_looked_at(ruled: Process) -> None:
    body = {"type": "web_hook", "config": HOOK}
    for path in ("/resources?test=true", "/resources?test"):
        assert call(ruled, "POST", f"/api/v4{path}", body).json == {"code": 0}
    assert get(ruled, "/resources")["data"] == []


@shows("DELETE /resources/{id}", outcome="108")
def test_resource_that_a_rule_uses_stays(ruled: Process) -> None:
    sends = {"name": "data_to_webserver", "params": {"$resource": "hook"}}
    hook = {"id": "hook", "type": "web_hook", "config": HOOK}
    with made(ruled, "/resources", hook), made(ruled, "/rules", rule_of(actions=[sends])):
        said = call(ruled, "DELETE", "/api/v4/resources/hook")
        assert_refused(said, 400, 108, "rules depend on this resource")


# --- what cannot be

MASKED = {"type": "web_hook", "config": {"url": "http://x/", "headers": {"A": 1.5}}}
REFUSED = [
    ("POST", "/rules", {"rawsql": "SELEC"}, 400, 108, "line 1, column 1: expected FOREACH"),
    ("POST", "/rules", {"rawsql": 'SELECT * FROM "a/#/b"'}, 400, 108, "topic filter"),
    ("POST", "/rules", {"rawsql": SQL, "actions": [{"name": "x"}]}, 400, 108, "action 'x'"),
    ("POST", "/rules", {"rawsql": SQL, "actions": [{}]}, 400, 107, "name"),
    ("POST", "/rules", {"rawsql": SQL, "id": "a b"}, 400, 108, "id: 'a b'"),
    ("POST", "/rules", {"rawsql": SQL, "actions": [{"name": "data_to_mqtt_broker"}]},
     501, 102, "not here yet"),
    ("POST", "/rules?test=true", {"rawsql": SQL, "ctx": {"payload": '{"t":1}'}},
     404, 102, "SQL Not Match"),
    ("POST", "/rules?test=true", {"rawsql": SQL, "ctx": {"payload": "{"}}, 400, 108, "JSON"),
    ("PUT", "/rules/nobody", {}, 404, 102, "Not Found"),
    ("PUT", "/rules/nobody/reset_metrics", None, 404, 102, "Not Found"),
    ("GET", "/rules/nobody", None, 404, 102, "Not Found"),
    ("GET", "/actions/nobody", None, 404, 102, "Not Found"),
    ("GET", "/resources/nobody", None, 404, 102, "Not Found"),
    ("GET", "/resource_status/nobody", None, 404, 102, "Not Found"),
    ("GET", "/resource_types/nobody", None, 404, 102, "Not Found"),
    ("PUT", "/resources/nobody", {}, 404, 102, "Not Found"),
    ("POST", "/resources/nobody", None, 404, 102, "Not Found"),
    ("POST", "/resources", {"type": "mysql"}, 400, 108, "no such type"),
    ("POST", "/resources", {"type": "bridge_mqtt"}, 501, 102, "not here yet"),
    ("POST", "/resources", {"type": "web_hook"}, 400, 108, "url: missing"),
    ("POST", "/resources", MASKED, 400, 108, "headers: "),
]  # fmt: skip


@refusals(REFUSED)
def test_wrong_request_is_told_what_is_wrong(
    ruled: Process, method: str, path: str, body: Any, status: int, code: int, said: str
) -> None:
    assert_refused(call(ruled, method, f"/api/v4{path}", body), status, code, said)
    assert get(ruled, "/rules")["data"] == []
    assert get(ruled, "/resources")["data"] == []


@shows("POST /rules", "PUT /rules/{id}", outcome="108")
def test_rule_is_there_once_and_changes_as_a_whole(ruled: Process) -> None:
    with made(ruled, "/rules", rule_of(id="hot")) as before:
        assert_refused(
            call(ruled, "POST", "/api/v4/rules", rule_of(id="hot")),
            400,
            108,
            "Already Exists",
        )
        wrong = {"rawsql": SQL.replace("s/#", "r"), "actions": [{"name": "x"}]}
        assert_refused(call(ruled, "PUT", "/api/v4/rules/hot", wrong), 400, 108, "'x'")
        assert get(ruled, "/rules/hot")["data"]["for"] == before["for"]


@shows("POST /rules", outcome="108")
def test_fallbacks_in_each_other_are_refused(ruled: Process) -> None:
    action = b'{"name":"do_nothing"'
    body = b'{"rawsql":"SELECT * FROM t","actions":[%s}%s]}' % (
        (action + b',"fallbacks":[') * 480 + action,
        b"]}" * 480,
    )
    said = call(ruled, "POST", "/api/v4/rules", body)
    assert_refused(said, 400, 108, "a fallback has no fallbacks")


# --- loaded and not


def test_rules_are_loaded_and_unloaded_while_the_broker_runs(
    start_broker: StartBroker,
) -> None:
    broker = start_broker()
    refused = call(broker, "POST", "/api/v4/rules", rule_of())
    assert_refused(refused, 501, 102, "plugins.load=rules")
    done(broker, "PUT", "/plugins/rules/load")
    rule = call(broker, "POST", "/api/v4/rules", rule_of()).json["data"]
    topics = {each["topic"] for each in get(broker, "/routes")["data"]}
    assert "s/#" in topics
    done(broker, "PUT", "/plugins/rules/unload")
    assert get(broker, "/rules")["data"] == []
    assert get(broker, "/routes")["data"] == []
    done(broker, "PUT", "/plugins/rules/load")
    assert [each["id"] for each in get(broker, "/rules")["data"]] == [rule["id"]]
    done(broker, "PUT", "/plugins/rules/reload")
    with Raw(broker.port) as client:
        client.connect("c")
        client.subscribe(("hot/#", 0))
        client.publish("s/1", b'{"t":50}')
        assert client.expect(PUBLISH).topic == "hot/50"


def test_counters_are_sys_topics(start_broker: StartBroker) -> None:
    broker = start_broker(plugins__load="rules", sys_interval="1")
    call(broker, "POST", "/api/v4/rules", rule_of())
    with Raw(broker.port) as client:
        client.connect("c")
        client.publish("s/1", b'{"t":50}')
        client.subscribe(("$SYS/broker/rules/+", 0))
        told: dict[str, bytes] = {}
        while told.get("matched") != b"1" or told.get("success") != b"1":
            packet = client.expect(PUBLISH)
            told[packet.topic.rpartition("/")[2]] = packet.payload
    assert set(told) == {"matched", "success", "failure"}


LOADS_NOTHING = """
import sys
import nanomq_py.http.emqx_v4.dialect
print([name for name in sys.modules if "plugins.rules" in name or name == "lark"])
"""


def test_dialect_imports_nothing_of_the_plugin() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADS_NOTHING],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_store_has_no_rule_before_there_is_one(tmp_path: Path) -> None:
    with running_broker(tmp_path, **{"plugins.load": "rules"}) as broker:
        assert get(broker, "/rules")["data"] == []
        assert not broker.conf.with_suffix(".db").exists()
        assert json.loads(call(broker, "GET", "/api/v4/resources").text)["data"] == []
