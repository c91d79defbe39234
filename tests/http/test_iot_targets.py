"""Callbacks and message routes of ``/iot/api/v1``: what is listed, and what is refused.

Source  iot-platform-api-v1.txt; http-dialects.md, "IoT platform"
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Process, StartBroker, free_port, running_broker
from tests.control.test_restart import restart
from tests.devices.http import Caller, logged_in
from tests.http.endpoints import find

pytestmark = pytest.mark.plain

CALLBACKS = "/monitor/devices/callbacks"
ROUTES = "/msgroute/configs"
URL = "http://127.0.0.1:9/hook"
LIST, SET = find("iot", "GET", CALLBACKS), find("iot", "POST", CALLBACKS)
ENABLE = find("iot", "POST", f"{CALLBACKS}/enable")
STATS = find("iot", "GET", f"{CALLBACKS}/device/stats")
ADD, CHANGE = find("iot", "POST", ROUTES), find("iot", "PUT", ROUTES)

REFUSED = [
    "",
    "x",
    "ftp://example.com/",
    "http://",
    "http://169.254.169.254/latest/meta-data",
    "https://[fe80::1]/",
    "http://u:p@example.com/",
    f"http://example.com/{'x' * 3000}",
    "http://exa mple.com/",
]


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    folder = tmp_path_factory.mktemp("targets")
    with running_broker(folder, **{"plugins.load": "devices"}) as process:
        yield logged_in(process)


def add_route(caller: Caller, topic: str = "a/#", url: str = URL) -> Any:
    body = {"topic": topic, "name": "test", "url": url}
    return caller.call("POST", ROUTES, body).data


@pytest.mark.parametrize("url", REFUSED)
@SET.shows("url_refused")
@ADD.shows("url_refused")
@CHANGE.shows("url_refused")
def test_url_that_cannot_be_told_is_refused(caller: Caller, url: str) -> None:
    id = add_route(caller)["id"]
    before = caller.call("GET", ROUTES).data, caller.call("GET", CALLBACKS).data
    for method, path, more in (
        ("POST", CALLBACKS, {"type": "device"}),
        ("POST", ROUTES, {"topic": "a"}),
        ("PUT", ROUTES, {"id": id}),
    ):
        said = caller.call(method, path, {"url": url, **more})
        said.assert_refused(400, "url_refused", "url: ")
    assert before == (caller.call("GET", ROUTES).data, caller.call("GET", CALLBACKS).data)


def test_url_that_the_keys_do_not_allow_is_refused(start_broker: StartBroker) -> None:
    process = start_broker(
        plugins__load="devices", plugins__devices__targets__allow="*.example.com"
    )
    caller = logged_in(process)
    body = {"type": "device", "url": "http://127.0.0.1/"}
    said = caller.call("POST", CALLBACKS, body)
    said.assert_refused(400, "url_refused", "127.0.0.1 is not allowed")
    body["url"] = "http://a.example.com/"
    assert caller.call("POST", CALLBACKS, body).data["enabled"] is True


def test_one_callback_of_each_type_is_kept(caller: Caller) -> None:
    body = {"type": "device", "url": URL, "enabled": False}
    made = caller.call("POST", CALLBACKS, body).data
    assert {k: made[k] for k in body} == body
    other = caller.call("POST", CALLBACKS, {"type": "peripheral", "url": URL}).data
    assert other["enabled"] is True
    body = {"type": "device", "url": "http://127.0.0.1:9/other"}
    again = caller.call("POST", CALLBACKS, body).data
    assert (again["id"], again["createTime"]) == (made["id"], made["createTime"])
    listed = caller.call("GET", CALLBACKS).data
    assert listed["count"] == 2
    assert [(row["type"], row["url"]) for row in listed["list"]] == [
        ("device", "http://127.0.0.1:9/other"),
        ("peripheral", URL),
    ]
    assert len({row["id"] for row in listed["list"]}) == 2


@ENABLE.shows("no_such_callback")
def test_callback_is_switched(caller: Caller) -> None:
    body = {"type": "device", "url": URL}
    id = caller.call("POST", CALLBACKS, body).data["id"]
    for enabled in (False, True):
        body = {"id": id, "enabled": enabled}
        row = caller.call("POST", f"{CALLBACKS}/enable", body).data
        assert (row["id"], row["enabled"]) == (id, enabled)
        assert caller.call("GET", CALLBACKS).data["list"][0]["enabled"] is enabled
    said = caller.call("POST", f"{CALLBACKS}/enable", {"id": 999, "enabled": True})
    said.assert_refused(404, "no_such_callback", "999")


@STATS.shows("not_found")
def test_statistics_of_another_type_are_not_there(caller: Caller) -> None:
    said = caller.call("GET", f"{CALLBACKS}/gateway/stats")
    said.assert_refused(404, "not_found", "device or peripheral")
    assert caller.call("GET", f"{CALLBACKS}/peripheral/stats").data == {
        "failed": 0,
        "succ": 0,
    }


@pytest.mark.parametrize("topic", ["", "a/#/b", "a+", "a\0", "$share/g", "$share//x"])
@ADD.shows("bad_topic")
@CHANGE.shows("bad_topic")
def test_topic_that_is_none_is_refused(caller: Caller, topic: str) -> None:
    made = add_route(caller)
    before = caller.call("GET", ROUTES).data
    said = caller.call("POST", ROUTES, {"topic": topic, "url": URL})
    said.assert_refused(400, "bad_topic", "Topic Filter")
    said = caller.call("PUT", ROUTES, {"id": made["id"], "topic": topic})
    said.assert_refused(400, "bad_topic", "Topic Filter")
    assert caller.call("GET", ROUTES).data == before


@CHANGE.shows("no_such_route")
def test_route_is_added_changed_and_deleted(caller: Caller) -> None:
    made = add_route(caller, "b/+")
    assert made["topic"] == "b/+"
    body = {"id": made["id"], "name": "other"}
    changed = caller.call("PUT", ROUTES, body).data
    assert changed == {**made, "name": "other", "updateTime": changed["updateTime"]}
    body = {"id": made["id"], "topic": "c", "url": "http://127.0.0.1:9/c"}
    changed = caller.call("PUT", ROUTES, body).data
    assert (changed["topic"], changed["url"]) == ("c", "http://127.0.0.1:9/c")
    (row,) = [e for e in caller.call("GET", ROUTES).data["list"] if e["id"] == made["id"]]
    assert (row["name"], row["topic"], row["url"]) == ("other", "c", changed["url"])
    path = f"{ROUTES}?id={made['id']}"
    assert caller.call("DELETE", path).data == {"rows": 1}
    assert caller.call("DELETE", path).data == {"rows": 0}
    caller.call("PUT", ROUTES, body).assert_refused(404, "no_such_route")
    assert add_route(caller)["id"] > made["id"]  # an id is never another route's


def test_callbacks_and_routes_are_there_after_a_restart(start_broker: StartBroker) -> None:
    process = start_broker(plugins__load="devices", http_server__port=str(free_port()))
    caller = logged_in(process)
    add_route(caller)
    caller.call("POST", CALLBACKS, {"type": "device", "url": URL, "enabled": False})
    before = caller.call("GET", ROUTES).data, caller.call("GET", CALLBACKS).data
    restart(process)
    assert before == (caller.call("GET", ROUTES).data, caller.call("GET", CALLBACKS).data)


def test_failures_are_counted(start_broker: StartBroker) -> None:
    process = start_broker(plugins__load="devices")
    caller = logged_in(process)
    nobody = f"http://127.0.0.1:{free_port()}/"
    add_route(caller, "a/#", nobody)
    caller.call("POST", CALLBACKS, {"type": "device", "url": nobody})
    with process.raw() as device:
        device.connect("A")
        device.publish("dma/report/sys", b'{"sn":"A","time":1,"d":{}}')
        device.publish("a/b", b"x")
        until = time.monotonic() + 20
        while (
            not caller.call("GET", ROUTES).data["list"][0]["failedCount"]
            or not caller.call("GET", f"{CALLBACKS}/device/stats").data["failed"]
        ):
            assert time.monotonic() < until
            time.sleep(0.01)
    (row,) = caller.call("GET", CALLBACKS).data["list"]
    assert (row["succCount"], row["failedCount"] > 0) == (0, True)


def test_changes_are_in_the_audit_log(start_broker: StartBroker) -> None:
    process: Process = start_broker(plugins__load="devices")
    caller = logged_in(process)
    id = add_route(caller, "a/\u202e")["id"]
    caller.call("DELETE", f"{ROUTES}?id={id}")
    process.waits_for(f"deleted message route {id}")
    assert any("added message route" in e and "a/\\u202e" in e for e in process.lines)
