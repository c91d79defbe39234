"""Apps, users, passwords and logins by ``/api/v4`` and ``/api``; who may only read.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4, emqx_mgmt_api_apps, emqx_dashboard_api
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Process, StartBroker, running_broker
from tests.http.documented import differences
from tests.http.v4 import PREFIXES, assert_refused, call, done, get, refusals, shows

pytestmark = pytest.mark.plain

BOARD = "board:only looks"  # a viewer


@pytest.fixture(scope="module")
def called(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A broker whose configured user has a password of its own, and a viewer."""
    given = {"http_server.password": "public2"}
    with running_broker(tmp_path_factory.mktemp("called"), **given) as process:
        body = {"username": "board", "password": "only looks", "tags": "viewer"}
        said = call(process, "POST", "/api/v4/users", body, ADMIN)
        assert said.json == {"code": 0}
        yield process


ADMIN = "admin:public2"


def asked(
    broker: Process, method: str, path: str, body: object = None, auth: str = ADMIN
) -> Any:
    """Return what a path answers that is good."""
    said = call(broker, method, f"/api/v4{path}", body, auth)
    assert (said.status, said.json["code"]) == (200, 0), said
    return said.json


def may_read(broker: Process, auth: str) -> bool:
    return call(broker, "GET", "/api/v4/brokers", auth=auth).status == 200


# --- apps


@shows(
    "GET /apps",
    "POST /apps",
    "GET /apps/{app_id}",
    "PUT /apps/{app_id}",
    "DELETE /apps/{app_id}",
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_app_is_added_changed_and_deleted(called: Process, name: str, prefix: str) -> None:
    body = {"app_id": name, "name": "exporter", "desc": "of metrics"}
    said = call(called, "POST", f"{prefix}/apps", body, ADMIN)
    assert (said.status, list(said.json)) == (200, ["data", "code"])
    assert list(said.json["data"]) == ["secret"]
    secret = said.json["data"]["secret"]
    assert may_read(called, f"{name}:{secret}")
    assert not may_read(called, f"{name}:wrong")

    path = f"{prefix}/apps/{name}"
    row = {**body, "status": True, "expired": "undefined"}
    one = call(called, "GET", path, auth=f"{name}:{secret}")
    assert (one.status, one.json) == (200, {"data": row, "code": 0})
    assert list(one.json["data"]) == list(row)
    listed = call(called, "GET", f"{prefix}/apps", auth=ADMIN).json
    assert differences({"data": [row], "code": 0}, listed) == []
    assert row in listed["data"]
    assert secret not in str(listed) + one.text

    def put(**change: object) -> None:
        said = call(called, "PUT", path, change, ADMIN)
        assert (said.status, said.json) == (200, {"code": 0})

    put(status=False)
    assert not may_read(called, f"{name}:{secret}")
    put(status=True, name="other", desc="")
    assert may_read(called, f"{name}:{secret}")
    put(expired=1)
    assert not may_read(called, f"{name}:{secret}")
    end = int(time.time()) + 1000
    put(expired=end)
    assert may_read(called, f"{name}:{secret}")
    one = call(called, "GET", path, auth=ADMIN)
    assert one.json["data"]["expired"] == end
    assert (one.json["data"]["name"], one.json["data"]["desc"]) == ("other", "")
    put(expired="undefined")
    assert call(called, "GET", path, auth=ADMIN).json["data"]["expired"] == "undefined"

    for _ in range(2):  # EMQX does not tell whether there was one
        said = call(called, "DELETE", path, auth=ADMIN)
        assert (said.status, said.json) == (200, {"code": 0})
    assert not may_read(called, f"{name}:{secret}")
    absent = call(called, "GET", path, auth=ADMIN)
    assert (absent.status, absent.json) == (200, {"data": {}, "code": 0})


def test_secret_of_an_app_may_be_given(called: Process, name: str) -> None:
    body = {"app_id": name, "name": "x", "secret": "of my own", "expired": None}
    said = asked(called, "POST", "/apps", body)
    assert said["data"] == {"secret": "of my own"}
    assert may_read(called, f"{name}:of my own")
    asked(called, "DELETE", f"/apps/{name}")


# --- users


def tags(broker: Process) -> dict[str, str]:
    rows = asked(broker, "GET", "/users")["data"]
    assert all(list(row) == ["username", "tags"] for row in rows)
    return {row["username"]: row["tags"] for row in rows}


@shows(
    "GET /users",
    "POST /users",
    "PUT /users/{name}",
    "DELETE /users/{name}",
    "PUT /change_pwd/{username}",
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_user_is_added_changed_and_deleted(called: Process, name: str, prefix: str) -> None:
    name = name.replace("[", "").replace("]", "")
    body = {"username": name, "password": "p", "tags": "administrator"}
    said = call(called, "POST", f"{prefix}/users", body, ADMIN)
    assert (said.status, said.json) == (200, {"code": 0})
    assert tags(called)[name] == "administrator"
    assert tags(called)["admin"] == "administrator"
    assert may_read(called, f"{name}:p")

    def put(text: str) -> None:
        change = {"tags": text}
        said = call(called, "PUT", f"{prefix}/users/{name}", change, ADMIN)
        assert (said.status, said.json) == (200, {"code": 0})
        assert tags(called)[name] == text

    def may_change() -> bool:
        path = "/api/v4/banned/clientid/x"
        return call(called, "DELETE", path, auth=f"{name}:p").status == 200

    put("of the night shift")  # no role: it stays what it was
    assert may_change()
    put("viewer")
    assert not may_change()
    put("administrator")
    assert may_change()
    path = f"{prefix}/change_pwd/{name}"
    said = call(called, "PUT", path, {"old_pwd": "p", "new_pwd": "q"}, ADMIN)
    assert (said.status, said.json) == (200, {"code": 0})
    assert may_read(called, f"{name}:q")
    assert not may_read(called, f"{name}:p")
    said = call(called, "DELETE", f"{prefix}/users/{name}", auth=ADMIN)
    assert (said.status, said.json) == (200, {"code": 0})
    assert name not in tags(called)
    assert not may_read(called, f"{name}:q")


@pytest.mark.parametrize("said", [{}, {"tags": "a note"}])
def test_user_without_a_role_may_read(
    called: Process, name: str, said: dict[str, str]
) -> None:
    asked(called, "POST", "/users", {"username": name, "password": "p", **said})
    assert tags(called)[name] == said.get("tags", "viewer")
    assert may_read(called, f"{name}:p")
    path = "/api/v4/banned/clientid/x"
    assert_refused(call(called, "DELETE", path, auth=f"{name}:p"), 403, 103, name)
    asked(called, "DELETE", f"/users/{name}")


@shows(
    "POST /auth",
)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_login_is_judged_without_a_login(called: Process, prefix: str) -> None:
    for name, password in (("board", "only looks"), ("admin", "public2")):
        body = {"username": name, "password": password}
        said = call(called, "POST", f"{prefix}/auth", body, auth="")
        assert (said.status, said.json) == (200, {"code": 0})
    body = {"username": "board", "password": "wrong"}
    said = call(called, "POST", f"{prefix}/auth", body, auth="")
    assert_refused(said, 401, 103, "Username or password error")


def test_viewer_changes_its_own_password_and_no_other(called: Process) -> None:
    body = {"old_pwd": "only looks", "new_pwd": "looks on"}
    asked(called, "PUT", "/change_pwd/board", body, BOARD)
    assert may_read(called, "board:looks on")
    body = {"old_pwd": "looks on", "new_pwd": "only looks"}
    asked(called, "PUT", "/change_pwd/board", body, "board:looks on")
    body = {"old_pwd": "public2", "new_pwd": "mine"}
    said = call(called, "PUT", "/api/v4/change_pwd/admin", body, BOARD)
    assert_refused(said, 403, 103, "no password but its own")


def test_first_administrator_replaces_the_default_password(
    start_broker: StartBroker,
) -> None:
    broker = start_broker()
    body = {"username": "ops", "password": "p", "tags": "administrator"}
    done(broker, "POST", "/users", body)
    assert not may_read(broker, "admin:public")
    rows = asked(broker, "GET", "/users", auth="ops:p")["data"]
    assert rows == [{"username": "ops", "tags": "administrator"}]
    said = call(broker, "DELETE", "/api/v4/users/ops", auth="ops:p")
    assert_refused(said, 400, 106)  # the default password would count again
    said = call(broker, "PUT", "/api/v4/users/ops", {"tags": "viewer"}, "ops:p")
    assert_refused(said, 400, 106)


def test_store_that_is_not_there_is_not_made_by_a_look(start_broker: StartBroker) -> None:
    broker = start_broker()
    files = set(broker.conf.parent.iterdir())
    assert get(broker, "/apps") == {"data": [], "code": 0}
    assert get(broker, "/users")["data"] == [{"username": "admin", "tags": "administrator"}]
    assert get(broker, "/topic-metrics")["data"] == []
    assert set(broker.conf.parent.iterdir()) == files


# --- errors

GOOD_APP = {"app_id": "x", "name": "x"}
GOOD_USER = {"username": "x", "password": "x"}
REFUSED = [
    ("POST", "/apps", {"name": "x"}, 400, 107, "app_id"),
    ("POST", "/apps", {"app_id": "x"}, 400, 107, "name"),
    ("POST", "/apps", {**GOOD_APP, "app_id": 7}, 400, 108, "app_id: "),
    ("POST", "/apps", {**GOOD_APP, "app_id": "a:b"}, 400, 108, "app_id"),
    ("POST", "/apps", {**GOOD_APP, "app_id": "board"}, 400, 113, "board"),
    ("POST", "/apps", {**GOOD_APP, "secret": "x" * 1025}, 400, 108, "password"),
    ("POST", "/apps", {**GOOD_APP, "status": "yes"}, 400, 108, "status: "),
    ("POST", "/apps", {**GOOD_APP, "expired": "soon"}, 400, 108, "expired: "),
    ("POST", "/apps", {**GOOD_APP, "expired": -1}, 400, 108, "expires_at"),
    ("PUT", "/apps/nobody", {"name": "x"}, 404, 105, "nobody"),
    ("PUT", "/apps/nobody", {"name": 7}, 400, 108, "name: "),
    ("PUT", "/apps/nobody", {"status": 1}, 400, 108, "status: "),
    ("GET", "/apps/a%2u", None, 400, 108, "percent-encoded"),
    ("POST", "/users", {"username": "x"}, 400, 107, "password"),
    ("POST", "/users", {"password": "x"}, 400, 107, "username"),
    ("POST", "/users", {**GOOD_USER, "username": ""}, 400, 104, "undefined"),
    ("POST", "/users", {**GOOD_USER, "password": ""}, 400, 104, "undefined"),
    ("POST", "/users", {**GOOD_USER, "username": "a b"}, 400, 108, "name"),
    ("POST", "/users", {**GOOD_USER, "username": "board"}, 400, 113, "board"),
    ("POST", "/users", {**GOOD_USER, "username": "admin"}, 400, 113, "admin"),
    ("POST", "/users", {**GOOD_USER, "tags": 7}, 400, 108, "tags: "),
    ("PUT", "/users/nobody", {"tags": "x"}, 404, 105, "nobody"),
    ("PUT", "/users/nobody", {}, 400, 107, "tags"),
    ("PUT", "/users/admin", {"tags": "viewer"}, 400, 102, "http_server.username"),
    ("DELETE", "/users/admin", None, 400, 106, "Cannot delete admin"),
    ("DELETE", "/users/nobody", None, 404, 105, "nobody"),
    ("PUT", "/change_pwd/board", {"old_pwd": "x"}, 400, 107, "new_pwd"),
    ("PUT", "/change_pwd/board", {"new_pwd": "x"}, 400, 107, "old_pwd"),
    ("PUT", "/change_pwd/board", {"old_pwd": 7, "new_pwd": "x"}, 400, 108, "old_pwd: "),
    ("PUT", "/change_pwd/board", {"old_pwd": "", "new_pwd": "x"}, 400, 104, ""),
    ("PUT", "/change_pwd/board", {"old_pwd": "x", "new_pwd": "y"}, 400, 114, "old password"),
    ("PUT", "/change_pwd/nobody", {"old_pwd": "x", "new_pwd": "y"}, 404, 105, "nobody"),
    ("PUT", "/change_pwd/admin", {"old_pwd": "public2", "new_pwd": "y"}, 400, 102,
     "http_server.password"),
    ("POST", "/auth", {"username": "x"}, 400, 107, "password"),
    ("POST", "/auth", {"password": "x"}, 400, 107, "username"),
    ("POST", "/auth", {"username": 7, "password": "x"}, 400, 108, "username: "),
    ("POST", "/auth", {"username": "", "password": "x"}, 400, 104, ""),
    ("POST", "/auth", {"username": "nobody", "password": "x"}, 401, 103, ""),
]  # fmt: skip


@refusals(REFUSED)
def test_wrong_request_is_told_what_is_wrong(
    called: Process, method: str, path: str, body: Any, status: int, code: int, said: str
) -> None:
    answer = call(called, method, f"/api/v4{path}", body, ADMIN)
    assert_refused(answer, status, code, said)
