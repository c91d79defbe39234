"""``data/export``, ``data/import`` and ``data/file`` of v4.

Source  EMQX 4.4, emqx_mgmt_api_data and emqx_mgmt_data_backup
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from nanomq_py.auth.hashing import hashed
from nanomq_py.http.emqx_v4.backup import understood
from nanomq_py.http.errors import BadRequest
from tests.conftest import Process, StartBroker, running_broker
from tests.http.documented import Client
from tests.http.v4 import assert_refused, call, get

pytestmark = pytest.mark.plain

LIST = ["version", "rules", "resources", "blacklist", "apps", "users", "auth_mnesia",
        "acl_mnesia", "date"]  # fmt: skip
HASH = hashed(b"p")
CODED = base64.b64encode(HASH.encode()).decode()
EMQX_HASH = base64.b64encode(b"salt" + bytes(32)).decode()
FUTURE = 4_000_000_000
# As EMQX 4.4 writes it, but for the hashes.
EXPORT: dict[str, Any] = {
    "version": "4.4",
    "rules": [],
    "resources": [],
    "blacklist": [
        {"who": {"peerhost": "192.0.2.7"}, "by": "ops", "reason": "scan", "at": 1,
         "until": FUTURE},
        {"who": {"clientid": "bad"}, "by": "", "reason": "", "at": 2, "until": "infinity"},
        {"who": {"username": "old"}, "by": "", "reason": "", "at": 2, "until": 3},
    ],
    "apps": [{"id": "grafana", "secret": "sesame", "name": "Grafana", "desc": "d",
              "status": True, "expired": "undefined"}],
    "users": [{"username": "root", "password": CODED, "tags": "administrator"},
              {"username": "vic", "password": CODED, "tags": "viewer"}],
    "auth_mnesia": [
        {"login": "device", "type": "username", "password": CODED, "created_at": 5},
        {"login": "c1", "type": "clientid", "password": CODED, "created_at": 5},
    ],
    "acl_mnesia": [
        {"type": "clientid", "type_value": "c1", "topic": "a/#", "action": "pubsub",
         "access": "deny", "created_at": 9},
        {"type": "all", "topic": "b", "action": "pub", "access": "allow", "created_at": 1},
    ],
    "date": "2026-11-30 12:00:00",
}  # fmt: skip
COUNTS = {"blacklist": 2, "apps": 1, "users": 2, "auth_mnesia": 2, "acl_mnesia": 2}
KEYS = {"auth.chain": "database,anonymous"}


def mark(endpoint: str, outcome: str = "success") -> pytest.MarkDecorator:
    return pytest.mark.endpoint("v4", endpoint, outcome)


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running_broker(tmp_path_factory.mktemp("data"), **KEYS) as process:
        yield process


def lists(export: dict[str, Any]) -> dict[str, Any]:
    """Return its lists without times that the broker notes itself."""
    return {
        name: [{k: v for k, v in row.items() if k != "created_at"} for row in export[name]]
        for name in COUNTS
    }


@mark("POST /data/export")
@mark("GET /data/export")
@mark("POST /data/import")
@mark("GET /data/file/{filename}")
@mark("POST /data/file")
@mark("DELETE /data/file/{filename}")
def test_what_was_imported_is_exported_and_imported_elsewhere(
    start_broker: StartBroker,
) -> None:
    first, second = start_broker(**KEYS), start_broker(**KEYS)
    said = call(first, "POST", "/api/v4/data/import", {**EXPORT, "rules": [{"id": "r"}]})
    assert said.json == {
        "data": {"imported": COUNTS, "left_out": ["rules"]}, "code": 0,
    }  # fmt: skip
    root = Client(first.http_port, "root:p")
    made = root.call("POST", "/api/v4/data/export").json["data"]
    assert list(made) == ["filename", "size", "created_at", "node"]
    assert root.get("/api/v4/data/export").json["data"] == [made]
    path = first.conf.parent / "nanomq-exports" / made["filename"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    text = root.get(f"/api/v4/data/file/{made['filename']}").json
    assert list(text) == ["filename", "file", "code"]
    export = json.loads(text["file"])
    assert list(export) == LIST
    assert export["blacklist"] == [EXPORT["blacklist"][1], EXPORT["blacklist"][0]]
    assert [row["login"] for row in export["auth_mnesia"]] == ["device", "c1"]

    up = {"filename": "copy.json", "file": text["file"]}
    assert call(second, "POST", "/api/v4/data/file", up).json["code"] == 0
    body = {"filename": "copy.json"}
    said = call(second, "POST", "/api/v4/data/import", body)
    assert said.json["data"] == {"imported": COUNTS, "left_out": []}
    root = Client(second.http_port, "root:p")
    again = root.call("POST", "/api/v4/data/export").json["data"]["filename"]
    copy = json.loads(root.get(f"/api/v4/data/file/{again}").json["file"])
    assert lists(copy) == lists(export)
    assert root.call("DELETE", f"/api/v4/data/file/{again}").json == {"code": 0}
    names = [row["filename"] for row in root.get("/api/v4/data/export").json["data"]]
    assert names == ["copy.json"]


def test_what_was_imported_counts(start_broker: StartBroker) -> None:
    broker = start_broker(**KEYS)
    assert call(broker, "POST", "/api/v4/data/import", EXPORT).json["code"] == 0
    for login in ("root:p", "grafana:sesame", "vic:p"):
        assert Client(broker.http_port, login).get("/api/v4/nodes").status == 200
    vic = Client(broker.http_port, "vic:p")
    assert_refused(vic.call("POST", "/api/v4/data/export"), 403, 103)
    assert_refused(vic.get("/api/v4/data/file/x.json"), 403, 103)  # hashes are in it
    for user, password, reason in ((b"device", b"p", 0), (b"device", b"x", 4)):
        with broker.raw() as client:
            options = {"user": user.decode(), "password": password}
            assert client.connect("d", **options).reason == reason
    with broker.raw() as client:
        assert client.connect("bad").reason != 0


def changed(**lists: object) -> dict[str, Any]:
    return {**EXPORT, **lists}


BAN, APP, USER = EXPORT["blacklist"][0], EXPORT["apps"][0], EXPORT["users"][0]
AUTH, ACL = EXPORT["auth_mnesia"][0], EXPORT["acl_mnesia"][0]
BAD: list[tuple[Any, int, str]] = [
    (b"{", 109, "expected JSON"),
    (b"[]", 108, "Expected `object`"),
    ({}, 107, "version: missing"),
    ({"version": "5.0"}, 108, "version: '5.0': expected an export of EMQX 4"),
    ({"version": 4}, 108, "version: "),
    (changed(blacklist=1), 108, "blacklist: "),
    (changed(blacklist=[{**BAN, "who": {}}]), 108, "blacklist[0]: who: expected one of"),
    (changed(blacklist=[BAN, {**BAN, "who": {"peerhost": "x"}}]), 108, "blacklist[1]: 'x'"),
    (changed(blacklist=[{**BAN, "at": FUTURE}]), 108, "blacklist[0]: since="),
    (changed(blacklist=[{**BAN, "who": {"group": "x"}}]), 108, "blacklist[0]"),
    (changed(apps=[{**APP, "id": "a b"}]), 108, "apps[0]: id='a b'"),
    (changed(apps=[{**APP, "secret": ""}]), 108, "apps[0]: secret: expected"),
    (changed(apps=[{**APP, "secret": "$x"}]), 108, "apps[0]: expected a hash"),
    (changed(apps=[{**APP, "expired": -1}]), 108, "apps[0]: expires_at=-1"),
    (changed(apps=[{**APP, "id": "root"}]), 108, "'root': a user and an app"),
    (changed(users=[{**USER, "tags": "boss"}]), 108, "users[0].tags: "),
    (changed(users=[{**USER, "tags": "viewer"}]), 108, "no administrator would be left"),
    (changed(users=[{**USER, "password": EMQX_HASH}]), 108, "EMQX's own hashes cannot"),
    (changed(auth_mnesia=[{**AUTH, "type": "x"}]), 108, "auth_mnesia[0].type: "),
    (changed(auth_mnesia=[AUTH, {**AUTH, "password": "!"}]), 108,
     "auth_mnesia[1]: password: expected Base64"),
    (changed(auth_mnesia=[{**AUTH, "password": EMQX_HASH}]), 108, "auth_mnesia[0]: passw"),
    (changed(auth_mnesia=[{**AUTH, "login": ""}]), 108, "auth_mnesia[0]: login=''"),
    (changed(acl_mnesia=[{**ACL, "topic": "a/#/b"}]), 108, "acl_mnesia[0]: topic="),
    (changed(acl_mnesia=[{**ACL, "type": "group"}]), 108, "acl_mnesia[0]: type: expected"),
    (changed(acl_mnesia=[{**ACL, "access": "maybe"}]), 108, "acl_mnesia[0].access: "),
    (changed(acl_mnesia=[{"topic": "a"}]), 107, ": missing"),
    ({"filename": 1}, 108, "filename: expected a text"),
    ({"filename": "../nanomq.conf"}, 108, "filename: '../nanomq.conf': expected letters"),
    ({"filename": ".json"}, 108, "filename: '.json': expected letters"),
]  # fmt: skip


@mark("POST /data/import", "108")
@pytest.mark.parametrize(("body", "code", "text"), BAD)
def test_import_that_has_a_fault_changes_nothing(
    nano: Process, body: Any, code: int, text: str
) -> None:
    said = call(nano, "POST", "/api/v4/data/import", body)
    assert_refused(said, 400, code, text)
    name = call(nano, "POST", "/api/v4/data/export").json["data"]["filename"]
    export = json.loads(get_file(nano, name))
    assert lists(export) == {name: [] for name in COUNTS}


def get_file(broker: Process, name: str) -> str:
    text: str = call(broker, "GET", f"/api/v4/data/file/{name}").json["file"]
    return text


def test_rule_about_users_needs_users_who_prove_their_names(
    start_broker: StartBroker,
) -> None:
    broker = start_broker()
    rule = {**ACL, "type": "username"}
    said = call(broker, "POST", "/api/v4/data/import", changed(acl_mnesia=[rule]))
    assert_refused(said, 400, 108, "no client has to prove its user name here")
    # The default login counts still: nothing was imported.
    assert get(broker, "/data/export")["data"] == []


@mark("GET /data/file/{filename}", "108")
@mark("DELETE /data/file/{filename}", "108")
@mark("POST /data/file", "108")
def test_file_has_a_name_of_its_own(nano: Process) -> None:
    for method in ("GET", "DELETE"):
        path = "/api/v4/data/file"
        assert_refused(call(nano, method, f"{path}/none.json"), 404, 108, "no file")
        for name in ("..%2Fnanomq.conf", "a%2Fb.json", "%2e%2e", "x.txt", "%00.json"):
            said = call(nano, method, f"{path}/{name}")
            assert_refused(said, 400, 108, "filename: ")
    for body, code in (
        (b"{", 109),
        ({}, 107),
        ({"file": 1}, 108),
        ({"file": "", "filename": "/x.json"}, 108),
    ):
        assert_refused(call(nano, "POST", "/api/v4/data/file", body), 400, code)
    said = call(nano, "POST", "/api/v4/data/import", {"filename": "none.json"})
    assert_refused(said, 404, 108, "there is no file 'none.json'")
    up = {"filename": "bad.json", "file": "[1"}
    call(nano, "POST", "/api/v4/data/file", up)
    said = call(nano, "POST", "/api/v4/data/import", {"filename": "bad.json"})
    assert_refused(said, 400, 109, "bad.json: expected JSON")
    said = call(
        nano, "POST", "/api/v4/data/import", {"filename": "bad.json", "node": "other"}
    )
    assert_refused(said, 404, 101, "node 'other'")


@mark("POST /data/export", "108")
def test_exports_are_bounded(start_broker: StartBroker) -> None:
    broker = start_broker()
    folder = broker.conf.parent / "nanomq-exports"
    folder.mkdir()
    for number in range(100):
        (folder / f"{number}.json").touch()
    said = call(broker, "POST", "/api/v4/data/export")
    assert_refused(said, 400, 108, "100 exports are there: delete some")


def test_export_of_another_time_is_told_what_is_too_much() -> None:
    rows = [{**ACL, "topic": str(number)} for number in range(10_001)]
    with pytest.raises(BadRequest, match="10001 rows: expected 10000 at most"):
        understood(changed(acl_mnesia=rows))


@mark("POST /data/export", "102")
def test_broker_without_a_place_exports_nothing(start_broker: StartBroker) -> None:
    environ = {
        "NANOMQ_URL": "nmq-tcp://127.0.0.1:0",
        "NANOMQ_WEBSOCKET__ENABLE": "false",
        "NANOMQ_HTTP_SERVER__PORT": "0",
    }
    broker = start_broker(environ, with_conf=False)
    said = call(broker, "POST", "/api/v4/data/export")
    assert_refused(said, 501, 102, "there is no folder for exports")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/data/export"), ("GET", "/data/export"), ("POST", "/data/import"),
        ("GET", "/data/file/x.json"), ("POST", "/data/file"),
        ("DELETE", "/data/file/x.json"),
    ],
)  # fmt: skip
def test_stranger_is_not_let_in(nano: Process, method: str, path: str) -> None:
    assert_refused(call(nano, method, f"/api/v4{path}", auth=""), 401, 104)
