"""Alarms, counters of topics, plugins, modules and the rule engine by ``/api/v4`` and ``/api``.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4, emqx_mgmt_api_* and emqx_modules
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests import plugged
from tests.conftest import Process, running_broker
from tests.http.documented import differences
from tests.http.v4 import PREFIXES, assert_refused, call, done, get, refusals, shows
from tests.raw import PUBLISH

pytestmark = pytest.mark.plain

LOOK = {"nanomq_py.alarms_part.LOOK_S": 0.05}
BROKEN = "plugin_failed/broken"
LOADED = "broken,broken1,broken2,broken3"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plugins: one that is good, one that is not, and one that comes to be."""
    made = tmp_path_factory.mktemp("plugins")
    plugged.install(made, "counter", plugged.GOOD)
    for name in LOADED.split(","):
        plugged.install(made, name, "raise RuntimeError('made up')\n")
    return made


@pytest.fixture(scope="module")
def featured(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    environ = {"PYTHONPATH": str(folder)}
    given = {"plugins.load": LOADED}
    path = tmp_path_factory.mktemp("featured")
    with running_broker(path, environ, constants=LOOK, **given) as process:
        yield process


@pytest.fixture(scope="module")
def its_node(featured: Process) -> str:
    name: str = get(featured, "/brokers")["data"][0]["node"]
    return name


def until(look: Callable[[], Any]) -> Any:
    """Return what a look finds, as soon as it finds anything."""
    end = time.monotonic() + 20
    while not (found := look()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


# --- alarms


def alarms(broker: Process, kind: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = get(broker, f"/alarms{kind}")["data"][0]["alarms"]
    return [row for row in rows if row["name"] == BROKEN]


@shows(
    "GET /alarms",
    "GET /alarms/activated",
    "GET /alarms/deactivated",
    "GET /nodes/{node}/alarms",
    "GET /nodes/{node}/alarms/activated",
    "GET /nodes/{node}/alarms/deactivated",
    "POST /alarms/deactivated",
    "DELETE /alarms/deactivated",
)
def test_alarm_is_told_ended_and_forgotten(featured: Process, its_node: str) -> None:
    (alarm,) = until(lambda: alarms(featured, "/activated"))
    example = {
        "name": "high_cpu_usage",
        "details": {"plugin": "broken"},
        "message": "88% cpu usage",
        "activate_at": 1700000000000000,
        "deactivate_at": "infinity",
        "activated": True,
    }
    assert differences(example, alarm) == []
    assert 0 <= time.time() * 1e6 - alarm["activate_at"] < 600e6
    assert "made up" in alarm["message"]
    for prefix in PREFIXES:
        listed = call(featured, "GET", f"{prefix}/alarms").json
        whole = {"data": [{"node": its_node, "alarms": [example]}], "code": 0}
        assert differences(whole, listed) == []
    at_node = f"/nodes/{quote(its_node)}/alarms"
    assert alarm in get(featured, f"{at_node}/activated")["data"]
    assert alarm in get(featured, at_node)["data"]
    assert alarms(featured, "/deactivated") == []

    done(featured, "POST", "/alarms/deactivated", {"node": its_node, "name": BROKEN})
    assert alarms(featured, "/activated") == []
    (past,) = alarms(featured, "/deactivated")
    assert past["deactivate_at"] >= past["activate_at"] == alarm["activate_at"]
    assert past == {**alarm, "deactivate_at": past["deactivate_at"], "activated": False}
    assert past in alarms(featured, "")
    assert past in get(featured, at_node)["data"]
    assert past in get(featured, f"{at_node}/deactivated")["data"]
    body = {"node": its_node, "name": BROKEN}
    said = call(featured, "POST", "/api/v4/alarms/deactivated", body)
    assert_refused(said, 404, 102, "not_found")

    done(featured, "DELETE", "/alarms/deactivated")
    assert alarms(featured, "") == []


@shows(
    "DELETE /alarms",
    "DELETE /nodes/{node}/alarms/deactivated",
)
@pytest.mark.parametrize("path", ["/alarms", "/nodes/NODE/alarms/deactivated"])
def test_past_alarms_are_forgotten_by_each_path(
    featured: Process, its_node: str, path: str
) -> None:
    done(featured, "DELETE", path.replace("NODE", quote(its_node)))


@shows("POST /alarms")
@shows("POST /alarms/deactivated", "POST /alarms", dialect="cloud")
@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/v4/alarms", "broken1"),
        ("/api/alarms/deactivated", "broken2"),
        ("/api/alarms", "broken3"),
    ],
)
def test_alarm_is_ended_by_each_path(
    featured: Process, its_node: str, path: str, name: str
) -> None:
    def lasting() -> set[str]:
        (of_node,) = get(featured, "/alarms/activated")["data"]
        return {row["name"] for row in of_node["alarms"]}

    alarm = f"plugin_failed/{name}"
    until(lambda: alarm in lasting())
    said = call(featured, "POST", path, {"node": its_node, "name": alarm})
    assert (said.status, said.json) == (200, {"code": 0})
    assert alarm not in lasting()


# --- counters of topics

# The example of EMQX 4's own document.
METRICS = {
    f"messages.{name}.{kind}": value
    for name in (
        *("qos2.out", "qos2.in", "qos1.out", "qos1.in", "qos0.out", "qos0.in"),
        *("out", "in", "dropped"),
    )
    for kind, value in (("rate", 0.0), ("count", 0))
}


@shows(
    "GET /topic-metrics",
    "POST /topic-metrics",
    "GET /topic-metrics/{topic...}",
    "DELETE /topic-metrics/{topic...}",
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_messages_of_a_topic_are_counted(featured: Process, name: str, prefix: str) -> None:
    topic, path = f"{name}/é", f"{prefix}/topic-metrics/{quote(f'{name}/é', safe='')}"
    assert call(featured, "GET", path).json == {"data": {}, "code": 0}
    for _ in range(2):  # one that is counted goes on
        said = call(featured, "POST", f"{prefix}/topic-metrics", {"topic": topic})
        assert (said.status, said.json) == (200, {"code": 0})
        with featured.raw() as raw:
            raw.connect()
            raw.subscribe((topic, 1))
            done(featured, "POST", "/mqtt/publish", {"topic": topic, "qos": 2})
            raw.expect(PUBLISH)
            raw.leave()
    with featured.raw() as raw:
        raw.connect()
        raw.publish(topic)  # nobody wants it
        raw.ping()
    said = call(featured, "GET", path)
    assert (said.status, list(said.json)) == (200, ["data", "code"])
    metrics = said.json["data"]
    assert differences(METRICS, metrics) == []
    counts = {key: value for key, value in metrics.items() if key.endswith(".count")}
    assert counts == {
        "messages.qos2.out.count": 0,
        "messages.qos2.in.count": 2,
        "messages.qos1.out.count": 2,
        "messages.qos1.in.count": 0,
        "messages.qos0.out.count": 0,
        "messages.qos0.in.count": 1,
        "messages.out.count": 2,
        "messages.in.count": 3,
        "messages.dropped.count": 1,
    }
    rows = call(featured, "GET", f"{prefix}/topic-metrics").json
    assert (
        differences({"data": [{"topic": topic, "metrics": METRICS}], "code": 0}, rows) == []
    )
    assert [row["topic"] for row in rows["data"]] == [topic]
    for _ in range(2):  # EMQX does not tell whether it was counted
        said = call(featured, "DELETE", path)
        assert (said.status, said.json) == (200, {"code": 0})
    assert call(featured, "GET", path).json["data"] == {}


@shows(
    "DELETE /topic-metrics",
)
def test_topics_are_counted_after_a_restart_too(tmp_path: Path) -> None:
    with running_broker(tmp_path) as broker:
        for topic in ("a/1", "a/2", "b"):
            done(broker, "POST", "/topic-metrics", {"topic": topic})
        done(broker, "DELETE", "/topic-metrics/b")
    with running_broker(tmp_path) as broker:
        rows = get(broker, "/topic-metrics")["data"]
        assert [row["topic"] for row in rows] == ["a/1", "a/2"]
        done(broker, "POST", "/mqtt/publish", {"topic": "a/2"})
        assert get(broker, "/topic-metrics/a/2")["data"]["messages.in.count"] == 1
        done(broker, "DELETE", "/topic-metrics")
        assert get(broker, "/topic-metrics") == {"data": [], "code": 0}
    with running_broker(tmp_path) as broker:
        assert get(broker, "/topic-metrics") == {"data": [], "code": 0}


def test_as_many_topics_are_counted_as_may_be(featured: Process) -> None:
    # No restart: 512 topics, and one more.
    for number in range(512):
        done(featured, "POST", "/topic-metrics", {"topic": f"many/{number}"})
    said = call(featured, "POST", "/api/v4/topic-metrics", {"topic": "many/512"})
    assert_refused(said, 400, 102, "512 topics")
    assert len(get(featured, "/topic-metrics")["data"]) == 512
    done(featured, "DELETE", "/topic-metrics")
    assert get(featured, "/topic-metrics")["data"] == []


# --- plugins


@shows(
    "PUT /plugins/{plugin}/load",
    "PUT /plugins/{plugin}/unload",
    "PUT /plugins/{plugin}/reload",
    "PUT /nodes/{node}/plugins/{plugin}/load",
    "PUT /nodes/{node}/plugins/{plugin}/unload",
    "PUT /nodes/{node}/plugins/{plugin}/reload",
    "GET /plugins",
    "GET /nodes/{node}/plugins",
)
@shows(
    *("PUT /plugins/{plugin}/load", "PUT /nodes/{node}/plugins/{plugin}/load"),
    outcome="110",
)
@shows(
    *[f"PUT /plugins/{{plugin}}/{what}" for what in ("unload", "reload")],
    *[f"PUT /nodes/{{node}}/plugins/{{plugin}}/{what}" for what in ("unload", "reload")],
    outcome="111",
)
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("at_node", [True, False])
def test_plugin_is_loaded_reloaded_and_unloaded(
    featured: Process, its_node: str, folder: Path, prefix: str, at_node: bool
) -> None:
    below = f"{prefix}/nodes/{quote(its_node)}" if at_node else prefix

    def told() -> dict[str, Any]:
        (of_all,) = call(featured, "GET", f"{prefix}/plugins").json["data"]
        assert list(of_all) == ["node", "plugins"]
        assert of_all["node"] == its_node
        rows = call(featured, "GET", f"{prefix}/nodes/{quote(its_node)}/plugins").json
        assert rows == {"data": of_all["plugins"], "code": 0}
        (row,) = [row for row in rows["data"] if row["name"] == "counter"]
        return dict(row)

    def put(what: str) -> None:
        said = call(featured, "PUT", f"{below}/plugins/counter/{what}")
        assert (said.status, said.json) == (200, {"code": 0})

    def refuse(what: str, code: int, message: str) -> None:
        said = call(featured, "PUT", f"{below}/plugins/counter/{what}")
        assert_refused(said, 400, code, message)

    off = {"name": "counter", "version": "1.2", "description": "the counter"}
    assert list(told().items()) == list({**off, "active": False, "type": "feature"}.items())
    refuse("unload", 111, "not_started")
    refuse("reload", 111, "not_started")
    put("load")
    assert told()["active"] is True
    refuse("load", 110, "already_started")
    put("reload")
    assert told()["active"] is True
    assert f"plugins.load={LOADED},counter" in featured.conf.read_text()
    put("unload")
    assert told()["active"] is False
    assert f"plugins.load={LOADED}\n" in featured.conf.read_text()


def test_plugin_that_fails_is_told(featured: Process) -> None:
    said = call(featured, "PUT", "/api/v4/plugins/broken/reload")
    assert_refused(said, 400, 102, "made up")
    (of_all,) = get(featured, "/plugins")["data"]
    assert {row["name"]: row["active"] for row in of_all["plugins"]}["broken"] is False


# --- modules

NAMES = [
    "emqx_mod_acl_internal",
    "emqx_mod_topic_metrics",
    "flapping_detect",
    "auth_http",
    "auth_jwt",
]


@shows(
    "PUT /modules/{module}/load",
    "PUT /modules/{module}/unload",
    "PUT /modules/{module}/reload",
    "PUT /nodes/{node}/modules/{module}/load",
    "PUT /nodes/{node}/modules/{module}/unload",
    "PUT /nodes/{node}/modules/{module}/reload",
    "GET /modules",
    "GET /nodes/{node}/modules",
)
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("at_node", [True, False])
def test_module_is_switched(
    featured: Process, its_node: str, prefix: str, at_node: bool
) -> None:
    below = f"{prefix}/nodes/{quote(its_node)}" if at_node else prefix

    def active() -> dict[str, bool]:
        (of_all,) = call(featured, "GET", f"{prefix}/modules").json["data"]
        assert list(of_all) == ["node", "modules"]
        assert of_all["node"] == its_node
        rows = call(featured, "GET", f"{prefix}/nodes/{quote(its_node)}/modules").json
        assert rows == {"data": of_all["modules"], "code": 0}
        example = {"name": "x", "description": "x", "active": True}
        assert differences([example], rows["data"]) == []
        return {row["name"]: row["active"] for row in rows["data"]}

    def put(name: str, what: str, code: int = 0, message: str = "") -> None:
        said = call(featured, "PUT", f"{below}/modules/{name}/{what}")
        if code:
            assert_refused(said, 400, code, message)
        else:
            assert (said.status, said.json) == (200, {"code": 0})

    assert active() == dict(zip(NAMES, [True, True, False, False, False], strict=True))
    put("flapping_detect", "unload", 111, "not_started")
    put("flapping_detect", "load")
    put("flapping_detect", "load", 110, "already_started")
    assert active()["flapping_detect"] is True
    assert "flapping_detect.enable=true" in featured.conf.read_text()
    put("flapping_detect", "reload")
    put("flapping_detect", "unload")
    assert active()["flapping_detect"] is False
    put("auth_http", "load", 102, "auth.http")  # it has no server
    put("auth_jwt", "load", 102, "auth.jwt")  # it has no key
    for name in ("emqx_mod_acl_internal", "emqx_mod_topic_metrics"):
        put(name, "load", 110, "already_started")
        put(name, "unload", 102, "not switched off")
    put("emqx_mod_acl_internal", "reload")


def test_reload_of_a_module_reads_the_configuration(featured: Process) -> None:
    text = featured.conf.read_text()
    featured.conf.write_text(text + "flapping_detect.max_count=x\n")
    said = call(featured, "PUT", "/api/v4/modules/flapping_detect/reload")
    assert_refused(said, 400, 102, "flapping_detect.max_count")
    featured.conf.write_text(text)


# --- the rule engine

LISTS = ["rules", "actions", "resources", "resource_types", "resource_types/x/resources"]
LISTS += ["rule_events"]


@shows(
    "GET /rules",
    "GET /actions",
    "GET /resources",
    "GET /resource_types",
    "GET /resource_types/{name}/resources",
    "GET /rule_events",
)
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("path", LISTS)
def test_there_are_no_rules(featured: Process, prefix: str, path: str) -> None:
    said = call(featured, "GET", f"{prefix}/{path}")
    assert (said.status, said.json) == (200, {"data": [], "code": 0})


@shows(
    "DELETE /rules/{id}",
    "DELETE /resources/{id}",
)
@pytest.mark.parametrize("path", ["/rules/x", "/resources/x"])
def test_rule_that_is_absent_is_forgotten(featured: Process, path: str) -> None:
    done(featured, "DELETE", path)


# --- errors

OTHER = "emqx@nowhere"
REFUSED = [
    ("POST", "/alarms/deactivated", {"name": "x"}, 400, 107, "node"),
    ("POST", "/alarms", {"node": "NODE"}, 400, 107, "name"),
    ("POST", "/alarms/deactivated", {"node": "NODE", "name": 7}, 400, 108, "name: "),
    ("POST", "/alarms/deactivated", {"node": "NODE", "name": "x"}, 404, 102, "not_found"),
    ("POST", "/alarms/deactivated", {"node": OTHER, "name": "x"}, 404, 101, OTHER),
    ("GET", f"/nodes/{OTHER}/alarms", None, 404, 101, OTHER),
    ("GET", f"/nodes/{OTHER}/alarms/activated", None, 404, 101, OTHER),
    ("GET", f"/nodes/{OTHER}/alarms/deactivated", None, 404, 101, OTHER),
    ("DELETE", f"/nodes/{OTHER}/alarms/deactivated", None, 404, 101, OTHER),
    ("POST", "/topic-metrics", {}, 400, 107, "topic"),
    ("POST", "/topic-metrics", {"topic": 7}, 400, 108, "topic: "),
    ("POST", "/topic-metrics", {"topic": "a/+"}, 400, 115, "invalid_topic_name"),
    ("POST", "/topic-metrics", {"topic": ""}, 400, 115, "invalid_topic_name"),
    ("GET", "/topic-metrics/a%2F%23", None, 400, 115, "invalid_topic_name"),
    ("DELETE", "/topic-metrics/%2B", None, 400, 115, "invalid_topic_name"),
    ("GET", "/topic-metrics/a%2", None, 400, 108, "percent-encoded"),
    ("GET", f"/nodes/{OTHER}/plugins", None, 404, 101, OTHER),
    *[("PUT", f"/nodes/{OTHER}/{kind}/{what}", None, 404, 101, OTHER)
      for kind in ("plugins/counter", "modules/flapping_detect")
      for what in ("load", "unload", "reload")],
    ("PUT", "/plugins/nobody/load", None, 404, 102, "not_found"),
    ("PUT", "/plugins/nobody/unload", None, 400, 111, "not_started"),
    ("PUT", "/plugins/nobody/reload", None, 400, 111, "not_started"),
    ("PUT", "/plugins/counter/start", None, 404, 102, ""),
    ("GET", f"/nodes/{OTHER}/modules", None, 404, 101, OTHER),
    ("PUT", "/modules/emqx_mod_presence/load", None, 404, 102, "not_found"),
    ("PUT", "/modules/emqx_mod_presence/unload", None, 404, 102, "not_found"),
    ("PUT", "/modules/emqx_mod_presence/reload", None, 404, 102, "not_found"),
    ("GET", "/rules/x", None, 404, 102, "Not Found"),
    ("GET", "/actions/x", None, 404, 102, "Not Found"),
    ("GET", "/resources/x", None, 404, 102, "Not Found"),
    ("GET", "/resource_status/x", None, 404, 102, "Not Found"),
    ("GET", "/resource_types/x", None, 404, 102, "Not Found"),
    ("POST", "/rules", {"rawsql": "x"}, 501, 102, "plugins.load=rules"),
    ("POST", "/resources", {"type": "x"}, 501, 102, "plugins.load=rules"),
    ("PUT", "/rules/x", {}, 404, 102, "Not Found"),
    ("PUT", "/resources/x", {}, 404, 102, "Not Found"),
    ("POST", "/resources/x", None, 404, 102, "Not Found"),
]  # fmt: skip


@refusals(REFUSED)
def test_wrong_request_is_told_what_is_wrong(
    featured: Process, its_node: str, method: str, path: str, body: Any, status: int,
    code: int, said: str,
) -> None:  # fmt: skip
    if body and body.get("node") == "NODE":
        body = {**body, "node": its_node}
    assert_refused(call(featured, method, f"/api/v4{path}", body), status, code, said)
