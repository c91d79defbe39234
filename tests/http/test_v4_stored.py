"""Credentials of clients, access rules and bans by ``/api/v4`` and ``/api``.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4's emqx_auth_mnesia and emqx_mgmt
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import Process, StartBroker, running_broker
from tests.http.documented import differences
from tests.http.v4 import PREFIXES, assert_refused, call, done, get, refusals, shows
from tests.raw import PUBLISH

pytestmark = pytest.mark.plain

KINDS = ["username", "clientid"]
REFUSED_LOGIN = (134, 135)  # of MQTT 5.0: bad user name or password, not authorized
BANNED = 138


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A broker that lets users of its store in, and anonymous clients."""
    given = {"auth.chain": "database,anonymous"}
    with running_broker(tmp_path_factory.mktemp("stored"), **given) as process:
        yield process


def login(broker: Process, kind: str, name: str, password: str) -> int:
    """Return the reason code of a login as that user."""
    with broker.raw(5) as raw:
        client_id, user = (name, "x") if kind == "clientid" else ("", name)
        return raw.connect(client_id, user=user, password=password.encode()).reason


# --- credentials


@shows(
    "POST /auth_username",
    "POST /auth_clientid",
    "GET /auth_username/{username...}",
    "PUT /auth_username/{username...}",
    "DELETE /auth_username/{username...}",
    "GET /auth_clientid/{clientid...}",
    "PUT /auth_clientid/{clientid...}",
    "DELETE /auth_clientid/{clientid...}",
)
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("kind", KINDS)
def test_user_is_added_changed_and_forgotten(
    stored: Process, name: str, prefix: str, kind: str
) -> None:
    path = f"{prefix}/auth_{kind}"
    before = time.time() * 1000 - 1
    body = {kind: name, "password": "one"}
    said = call(stored, "POST", path, body)
    assert (said.status, said.json) == (200, {"code": 0})
    assert login(stored, kind, name, "one") == 0
    assert login(stored, kind, name, "two") in REFUSED_LOGIN

    one = call(stored, "GET", f"{path}/{name}").json
    assert list(one) == ["data", "code"]
    assert list(one["data"]) == [kind, "created_at"]
    assert one["data"][kind] == name
    assert before < one["data"]["created_at"] < time.time() * 1000 + 1

    said = call(stored, "PUT", f"{path}/{name}", {"password": "two"})
    assert (said.status, said.json) == (200, {"code": 0})
    assert login(stored, kind, name, "two") == 0
    assert login(stored, kind, name, "one") in REFUSED_LOGIN

    for _ in range(2):  # EMQX does not tell whether there was one
        said = call(stored, "DELETE", f"{path}/{name}")
        assert (said.status, said.json) == (200, {"code": 0})
    assert call(stored, "GET", f"{path}/{name}").json == {"data": {}, "code": 0}


@pytest.mark.parametrize("kind", KINDS)
def test_many_users_are_added_and_each_is_told(
    stored: Process, name: str, kind: str
) -> None:
    done(stored, "POST", f"/auth_{kind}", {kind: f"{name}-0", "password": "p"})
    items = [
        {kind: f"{name}-1", "password": "p"},
        {kind: f"{name}-0", "password": "other"},
        {kind: f"{name}-2"},
        {kind: f"{name}-3", "password": 7},
        {kind: f"{name}\0", "password": "p"},
        {"password": "p"},
    ]
    said = call(stored, "POST", f"/api/v4/auth_{kind}", items)
    assert (said.status, list(said.json)) == (200, ["data", "code"])
    assert said.json["data"] == {
        f"{name}-1": "ok",
        f"{name}-0": "{error,existed}",
        f"{name}-2": "{error,password}",
        f"{name}-3": "{error,password}",
        f"{name}\0": "{error,login}",
        "undefined": "{error,login}",
    }
    assert login(stored, kind, f"{name}-0", "p") == 0
    assert get(stored, f"/auth_{kind}/{name}-2")["data"] == {}


@shows(
    "GET /auth_username",
    "GET /auth_clientid",
)
@pytest.mark.parametrize("kind", KINDS)
def test_users_are_listed_by_pages(stored: Process, name: str, kind: str) -> None:
    items = [{kind: f"{name}-{n}", "password": "p"} for n in range(3)]
    call(stored, "POST", f"/api/v4/auth_{kind}", items)
    whole = get(stored, f"/auth_{kind}")
    assert list(whole) == ["meta", "data", "code"]
    count = len(whole["data"])
    meta = {"page": 1, "limit": 10_000, "count": count, "hasnext": False}
    assert list(whole["meta"].items()) == list(meta.items())
    assert all({kind: f"{name}-{n}"} in whole["data"] for n in range(3))
    rows = []
    for page in range(1, count + 1):
        part = get(stored, f"/auth_{kind}?_page={page}&_limit=1")
        assert part["meta"]["hasnext"] is (page < count)
        rows += part["data"]
    assert rows == whole["data"]
    assert get(stored, f"/auth_{kind}?_page=1000")["data"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_name_may_have_any_letters(stored: Process, kind: str) -> None:
    name = "a/b é%#+?&"
    done(stored, "POST", f"/auth_{kind}", {kind: name, "password": "p"})
    path = f"/auth_{kind}/{quote(name, safe='')}"
    assert get(stored, path)["data"][kind] == name
    done(stored, "PUT", path, {"password": "q"})
    assert login(stored, kind, name, "q") == 0
    done(stored, "DELETE", path)
    assert get(stored, path)["data"] == {}


def test_many_rows_are_sent_in_pieces(stored: Process) -> None:
    rules = [{"topic": f"many/{n}", "action": "pub", "access": "deny"} for n in range(600)]
    call(stored, "POST", "/api/v4/acl", [{**rule, "clientid": "many"} for rule in rules])
    rows = get(stored, "/acl/clientid/many")["data"]
    assert [row["topic"] for row in rows] == [rule["topic"] for rule in reversed(rules)]
    part = get(stored, "/acl/clientid?_page=1&_limit=500")
    assert len(part["data"]) == 500


# --- access rules

WHOM = [
    ({"clientid": "acl/c"}, "clientid", quote("acl/c", safe="")),
    ({"username": "acl u"}, "username", "acl%20u"),
    ({}, "$all", ""),
]


@shows(
    "POST /acl",
    "GET /acl/clientid",
    "GET /acl/username",
    "GET /acl/$all",
    "GET /acl/clientid/{clientid}",
    "GET /acl/username/{username}",
    "DELETE /acl/clientid/{clientid}/topic/{topic...}",
    "DELETE /acl/username/{username}/topic/{topic...}",
)
@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(("whom", "kind", "spelled"), WHOM)
def test_rule_is_added_listed_and_forgotten(
    stored: Process, prefix: str, whom: dict[str, str], kind: str, spelled: str
) -> None:
    rule = {**whom, "topic": "Topic/A", "action": "pub", "access": "allow"}
    said = call(stored, "POST", f"{prefix}/acl", rule)
    shown = whom or {"all": "$all"}
    expected = {"topic": "Topic/A", "result": "ok", **shown, "action": "pub"}
    expected["access"] = "allow"
    assert (said.status, said.json) == (200, {"data": expected, "code": 0})
    assert list(said.json["data"]) == list(expected)

    row = {"topic": "Topic/A", "action": "pub", "access": "allow", **shown}
    listed = call(stored, "GET", f"{prefix}/acl/{kind}").json
    assert list(listed) == ["meta", "data", "code"]
    assert row in listed["data"]
    meta = {"page": 1, "limit": 50, "count": listed["meta"]["count"]}
    assert list(listed["meta"].items()) == list(meta.items())
    if spelled:
        one = call(stored, "GET", f"{prefix}/acl/{kind}/{spelled}").json
        assert one == {"data": [row], "code": 0}

    path = f"{prefix}/acl/{kind}{'/' * bool(spelled)}{spelled}/topic/Topic%2FA"
    for _ in range(2):
        said = call(stored, "DELETE", path)
        assert (said.status, said.json) == (200, {"code": 0})
    assert row not in call(stored, "GET", f"{prefix}/acl/{kind}?_limit=10000").json["data"]


@shows(
    "GET /acl/%24all",
    "DELETE /acl/$all/topic/{topic...}",
    "DELETE /acl/%24all/topic/{topic...}",
    "DELETE /acl/all/$all/topic/{topic...}",
    "DELETE /acl/all/%24all/topic/{topic...}",
)
@pytest.mark.parametrize(
    "path",
    [
        "/acl/$all/topic/t%2F%2B",
        "/acl/%24all/topic/t/+",
        "/acl/all/$all/topic/t/%2b",
        "/acl/all/%24all/topic/t%2F+",
    ],
)
def test_rule_of_everybody_is_forgotten_by_each_path(stored: Process, path: str) -> None:
    rule = {"topic": "t/+", "action": "sub", "access": "deny"}
    call(stored, "POST", "/api/v4/acl", rule)
    row = {**rule, "all": "$all"}
    assert row in get(stored, "/acl/$all")["data"]
    assert row in get(stored, "/acl/%24all")["data"]
    done(stored, "DELETE", path)
    assert row not in get(stored, "/acl/$all")["data"]


def test_subpub_is_pubsub(stored: Process, name: str) -> None:
    rule = {"clientid": name, "topic": "t", "action": "subpub", "access": "deny"}
    said = call(stored, "POST", "/api/v4/acl", rule).json
    assert said["data"] == {**rule, "result": "ok"}
    (row,) = get(stored, f"/acl/clientid/{name}")["data"]
    assert row["action"] == "pubsub"


def test_rule_counts_at_once(stored: Process, name: str) -> None:
    with stored.raw() as raw:
        raw.connect(name)
        raw.subscribe((f"{name}/#", 0))
        raw.publish(f"{name}/a", b"1")
        assert raw.expect(PUBLISH).payload == b"1"
        rule = {"clientid": name, "topic": f"{name}/a", "action": "pub", "access": "deny"}
        call(stored, "POST", "/api/v4/acl", rule)
        raw.publish(f"{name}/a", b"2")
        raw.assert_silent()
        done(stored, "DELETE", f"/acl/clientid/{name}/topic/{name}/a")
        raw.publish(f"{name}/a", b"3")
        assert raw.expect(PUBLISH).payload == b"3"


def test_each_rule_of_many_is_told(stored: Process, name: str) -> None:
    good = {"topic": "t", "action": "pub", "access": "allow"}
    items: list[Any] = [
        {**good, "clientid": name},
        {**good, "username": name, "action": "sub"},
        {**good, "topic": f"{name}/+", "action": "pubsub", "access": "deny"},
        {**good, "clientid": name, "action": "read"},
        {**good, "clientid": name, "access": True},
        {**good, "clientid": ""},
        {**good, "clientid": name, "topic": "a/#/b"},
        {"action": "pub", "access": "allow"},
    ]
    said = call(stored, "POST", "/api/v4/acl", items)
    assert (said.status, said.json["code"]) == (200, 0)
    rows = said.json["data"]
    assert [row["result"] for row in rows] == [
        *["ok"] * 3,
        "{error,action}",
        "{error,access}",
        "{error,clientid}",
        "{error,topic}",
        "{error,topic}",
    ]
    example = {
        "topic": "t", "result": "ok", "clientid": "c", "action": "pub", "access": "allow",
    }  # fmt: skip
    assert differences(example, rows[0]) == []
    assert rows[2]["all"] == "$all"
    assert rows[4]["access"] is True
    assert len(get(stored, f"/acl/clientid/{name}")["data"]) == 1
    assert len(get(stored, f"/acl/username/{name}")["data"]) == 1
    done(stored, "DELETE", f"/acl/$all/topic/{name}/+")


def test_rule_about_users_needs_users_who_prove_their_name(broker: Process) -> None:
    rule = {"username": "u", "topic": "t", "action": "pub", "access": "deny"}
    assert_refused(call(broker, "POST", "/api/v4/acl", rule), 400, 108, "auth.chain")
    (row,) = call(broker, "POST", "/api/v4/acl", [rule]).json["data"]
    assert row == {**rule, "result": "{error,topic}"}


@pytest.mark.parametrize("kind", KINDS)
def test_rules_of_nobody_are_none(stored: Process, kind: str) -> None:
    assert get(stored, f"/acl/{kind}/nobody") == {"data": [], "code": 0}


@pytest.mark.parametrize("kind", KINDS)
def test_rules_and_users_that_fit_are_listed(stored: Process, name: str, kind: str) -> None:
    rules = {
        "a": {"topic": "t/1", "action": "pub", "access": "allow", kind: f"{name}-x"},
        "b": {"topic": "t/2", "action": "sub", "access": "deny", kind: f"{name}-x"},
        "c": {"topic": "t/1", "action": "pubsub", "access": "deny", kind: f"{name}-y"},
    }
    call(stored, "POST", "/api/v4/acl", list(rules.values()))
    for query, found in (
        ("", "bac"),
        ("topic=t/1", "ac"),
        ("action=sub", "b"),
        ("action=subpub", "c"),
        ("access=deny", "bc"),
        ("access=deny&topic=t/2", "b"),
        (f"{kind}={quote(f'{name}-x')}", "ba"),
        (f"{kind}={quote(name)}", ""),
    ):
        path = f"/acl/{kind}?_like_{kind}={quote(name)}&{query}"
        listed = get(stored, path)
        rows = [{key: row[key] for key in rules["a"]} for row in listed["data"]]
        assert rows == [rules[each] for each in found], query
        assert listed["meta"]["count"] == len(found)
    users = [{kind: f"{name}-{each}", "password": "p"} for each in "12"]
    call(stored, "POST", f"/api/v4/auth_{kind}", users)
    for query, found in (
        (f"_like_{kind}={quote(name)}-", "12"),
        (f"_like_{kind}={quote(name)}-%25", ""),
        (f"{kind}={quote(name)}-2", "2"),
        (f"{kind}={quote(name)}", ""),
    ):
        listed = get(stored, f"/auth_{kind}?{query}")
        assert listed["data"] == [{kind: f"{name}-{each}"} for each in found], query
        assert listed["meta"]["count"] == len(found)


# --- bans


@shows(
    "GET /banned",
    "POST /banned",
    "DELETE /banned/{as}/{who...}",
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_client_is_banned_and_let_in_again(stored: Process, name: str, prefix: str) -> None:
    body = {"who": name, "as": "clientid"}
    before = int(time.time())
    with stored.raw(5) as raw:
        raw.connect(name)
        said = call(stored, "POST", f"{prefix}/banned", body)
        assert (said.status, said.json) == (200, {"data": body, "code": 0})
        assert list(said.json["data"]) == ["who", "as"]
        raw.read_until_closed()
    with stored.raw(5) as raw:
        assert raw.connect(name).reason == BANNED
    listed = call(stored, "GET", f"{prefix}/banned").json
    (row,) = [row for row in listed["data"] if row["who"] == name]
    # The example of EMQX 4's own document.
    example = {
        "meta": {"page": 1, "limit": 10000, "count": 1},
        "data": [
            {
                "who": "example",
                "until": 1582265833,
                "reason": "undefined",
                "by": "user",
                "at": 1582265533,
                "as": "clientid",
            }
        ],
        "code": 0,
    }
    assert differences(example, listed) == []
    assert before <= row["at"] <= time.time()
    assert before + 300 <= row["until"] <= time.time() + 301
    assert (row["reason"], row["by"], row["as"]) == ("undefined", "user", "clientid")
    for _ in range(2):  # EMQX does not tell whether there was one
        said = call(stored, "DELETE", f"{prefix}/banned/clientid/{name}")
        assert (said.status, said.json) == (200, {"code": 0})
    with stored.raw(5) as raw:
        assert raw.connect(name).reason == 0


def test_all_of_a_ban_is_kept_and_echoed(stored: Process, name: str) -> None:
    now = int(time.time())
    body = {
        "who": name, "as": "username", "by": "me", "reason": "noise", "at": now - 60,
        "until": now + 600,
    }  # fmt: skip
    assert call(stored, "POST", "/api/v4/banned", body).json == {"data": body, "code": 0}
    (row,) = [row for row in get(stored, "/banned")["data"] if row["who"] == name]
    assert row == body
    done(stored, "DELETE", f"/banned/username/{name}")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("192.0.2.9", "192.0.2.9"),
        ("198.51.100.0/24", "198.51.100.0/24"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:db8:1::/48", "2001:db8:1::/48"),
    ],
)
def test_address_and_network_are_banned(stored: Process, said: str, kept: str) -> None:
    call(stored, "POST", "/api/v4/banned", {"who": said, "as": "peerhost"})
    rows = get(stored, "/banned")["data"]
    assert (kept, "peerhost") in [(row["who"], row["as"]) for row in rows]
    done(stored, "DELETE", f"/banned/peerhost/{quote(kept)}")
    assert kept not in [row["who"] for row in get(stored, "/banned")["data"]]


def test_bans_are_listed_by_pages(stored: Process, name: str) -> None:
    for number in range(3):
        body = {"who": f"{name}-{number}", "as": "clientid"}
        call(stored, "POST", "/api/v4/banned", body)
    whole = get(stored, "/banned")["data"]
    rows = []
    for page in range(1, len(whole) + 1):
        part = get(stored, f"/banned?_page={page}&_limit=1")
        assert part["meta"] == {"page": page, "limit": 1, "count": len(whole)}
        rows += part["data"]
    assert rows == whole


# --- errors

GOOD = {"clientid": "x", "topic": "t", "action": "pub", "access": "allow"}
LONG = "x" * 65_536
SHORT = {"who": "x", "as": "clientid"}
MISSING = "missing mandatory params: ['who', 'as']"
REFUSED = [
    ("POST", "/auth_username", {"username": "x"}, 400, 107, "password"),
    ("POST", "/auth_username", {"password": "x"}, 400, 107, "username"),
    ("POST", "/auth_username", {"username": "", "password": "x"}, 400, 107, "username"),
    ("POST", "/auth_username", {"username": "x", "password": ""}, 400, 107, "password"),
    ("POST", "/auth_username", {"username": 1, "password": "x"}, 400, 108, "username"),
    ("POST", "/auth_username", {"username": "a\0", "password": "x"}, 400, 108, "user_name"),
    ("POST", "/auth_username", {"username": LONG, "password": "x"}, 400, 108, "user_name"),
    ("POST", "/auth_username", {"username": "there", "password": "x"}, 400, 113, "there"),
    ("POST", "/auth_username", [{}] * 1001, 400, 108, "1001 users"),
    ("POST", "/auth_username", 7, 400, 108, ""),
    ("PUT", "/auth_username/nobody", {"password": "x"}, 404, 105, "nobody"),
    ("PUT", "/auth_username/there", {}, 400, 107, "password"),
    ("PUT", "/auth_username/there", {"password": ""}, 400, 107, "password"),
    ("PUT", "/auth_username/there", {"password": 7}, 400, 108, "password"),
    ("GET", "/auth_username?_page=0", None, 400, 108, "_page"),
    ("GET", "/auth_username?_limit=x", None, 400, 108, "_limit"),
    ("GET", "/auth_username/a%2u", None, 400, 108, "percent-encoded"),
    ("DELETE", "/auth_username/%ff", None, 400, 108, "percent-encoded"),
    ("POST", "/auth_clientid", {"clientid": "x"}, 400, 107, "password"),
    ("POST", "/auth_clientid", {"clientid": "", "password": "x"}, 400, 107, "clientid"),
    ("POST", "/auth_clientid", {"clientid": "there", "password": "x"}, 400, 113, "there"),
    ("PUT", "/auth_clientid/nobody", {"password": "x"}, 404, 105, "nobody"),
    ("PUT", "/auth_clientid/there", {}, 400, 107, "password"),
    ("GET", "/auth_clientid?_page=0", None, 400, 108, "_page"),
    ("POST", "/acl", {**GOOD, "topic": None}, 400, 107, "topic"),
    ("POST", "/acl", {"clientid": "x", "topic": "t", "access": "deny"}, 400, 107, "action"),
    ("POST", "/acl", {"clientid": "x", "topic": "t", "action": "pub"}, 400, 107, "access"),
    ("POST", "/acl", {**GOOD, "clientid": ""}, 400, 107, "clientid"),
    ("POST", "/acl", {**GOOD, "action": "read"}, 400, 108, "action: "),
    ("POST", "/acl", {**GOOD, "access": "maybe"}, 400, 108, "access: "),
    ("POST", "/acl", {**GOOD, "topic": "a/#/b"}, 400, 108, "topic"),
    ("POST", "/acl", {**GOOD, "topic": 7}, 400, 108, "topic: "),
    ("POST", "/acl", {**GOOD, "clientid": 7}, 400, 108, "clientid: "),
    ("POST", "/acl", {**GOOD, "username": "y"}, 400, 108, "not both"),
    ("POST", "/acl", [GOOD, 7], 400, 108, "[1]: "),
    ("POST", "/acl", 7, 400, 108, ""),
    ("GET", "/acl/clientid?_page=0", None, 400, 108, "_page"),
    ("GET", "/acl/username?_limit=0", None, 400, 108, "_limit"),
    ("GET", "/acl/$all?_limit=x", None, 400, 108, "_limit"),
    ("GET", "/acl/clientid?action=read", None, 400, 108, "action: "),
    ("GET", "/acl/$all?access=maybe", None, 400, 108, "access: "),
    ("GET", "/acl/clientid/%2", None, 400, 108, "percent-encoded"),
    ("DELETE", "/acl/clientid/emqx_c/topic/topic%2uA", None, 400, 108, "percent-encoded"),
    ("DELETE", "/acl/username/emqx_u/topic/topic%2uA", None, 400, 108, "percent-encoded"),
    ("DELETE", "/acl/$all/topic/topic%2uA", None, 400, 108, "percent-encoded"),
    ("DELETE", "/acl/clientid/x", None, 405, 102, ""),
    ("POST", "/banned", {}, 400, 107, MISSING),
    ("POST", "/banned", {"who": "x"}, 400, 107, MISSING),
    ("POST", "/banned", {"as": "clientid"}, 400, 107, MISSING),
    ("POST", "/banned", {**SHORT, "as": "zone"}, 400, 108,
     "value of 'as' must be one of: ['clientid', 'username', 'peerhost']"),
    ("POST", "/banned", {**SHORT, "who": 7}, 400, 108, "who: "),
    ("POST", "/banned", {**SHORT, "who": ""}, 400, 108, "client_id"),
    ("POST", "/banned", {**SHORT, "as": "peerhost"}, 400, 108, "192.0.2.1"),
    ("POST", "/banned", {**SHORT, "until": 1}, 400, 108, "until"),
    ("POST", "/banned", {**SHORT, "until": "soon"}, 400, 108, "until: "),
    ("POST", "/banned", {**SHORT, "until": 1 << 60}, 400, 108, "until"),
    ("POST", "/banned", {**SHORT, "at": 1 << 60}, 400, 108, "since"),
    ("POST", "/banned", {**SHORT, "reason": "a\nb"}, 400, 108, "reason"),
    ("POST", "/banned", {**SHORT, "by": LONG}, 400, 108, "made_by"),
    ("DELETE", "/banned/zone/x", None, 400, 108, "value of 'as' must be one of"),
    ("DELETE", "/banned/peerhost/x", None, 400, 108, "192.0.2.1"),
    ("DELETE", "/banned/clientid/%2", None, 400, 108, "percent-encoded"),
    ("GET", "/banned?_limit=0", None, 400, 108, "_limit"),
]  # fmt: skip


def test_store_that_cannot_be_used_is_500(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    path = tmp_path / "store"
    broker = start_broker(store__path=str(path), http_server__password="mine")
    path.mkdir()
    for method, asked, body in (
        ("GET", "/auth_username", None),
        ("POST", "/auth_username", {"username": "x", "password": "x"}),
        ("POST", "/acl", {**GOOD, "clientid": "x"}),
        ("GET", "/acl/$all", None),
        ("GET", "/banned", None),
        ("POST", "/banned", SHORT),
        ("POST", "/topic-metrics", {"topic": "t"}),
    ):
        said = call(broker, method, f"/api/v4{asked}", body, "admin:mine")
        assert_refused(said, 500, 102, "store.path")
    said = call(broker, "GET", "/api/v4/topic-metrics", auth="admin:mine")
    assert said.json["data"] == []  # it is not counted until the next start only


@refusals(REFUSED)
def test_wrong_request_is_told_what_is_wrong(
    stored: Process, method: str, path: str, body: Any, status: int, code: int, said: str
) -> None:
    if code == 113:
        call(stored, "POST", f"/api/v4{path}", body)
    assert_refused(call(stored, method, f"/api/v4{path}", body), status, code, said)
