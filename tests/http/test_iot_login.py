"""``/iot/api/v1/auth/login``: tokens, how long they are good, and what they let do.

Source  http-dialects.md, "IoT platform"
"""

from __future__ import annotations

import re
import sqlite3
import time
from hashlib import sha256
from pathlib import Path

import pytest

from tests.conftest import Process, StartBroker, free_port
from tests.control.test_restart import restart
from tests.devices.http import Caller, logged_in, viewer
from tests.http.documented import Client
from tests.http.endpoints import find

pytestmark = pytest.mark.plain

BROKERS = "/monitor/brokers"
LOGIN = find("iot", "POST", "/auth/login")


def start(start_broker: StartBroker, **given: str) -> Process:
    return start_broker(plugins__load="devices", **given)


def file_of(process: Process) -> Path:
    return process.conf.with_suffix(".db")


def until(process: Process, caller: Caller, value: int | None = None) -> int:
    """Return when a token ends; set it first, if a value is given."""
    hash = sha256(caller.token.encode()).digest()
    file = sqlite3.connect(file_of(process), timeout=10, isolation_level=None)
    try:
        if value is not None:
            file.execute("UPDATE devices_token SET until = ? WHERE hash = ?", (value, hash))
        row = file.execute("SELECT until FROM devices_token WHERE hash = ?", (hash,))
        (found,) = row.fetchone()
        return int(found)
    finally:
        file.close()


def test_login_tells_roles_and_privileges_and_gives_a_token(
    start_broker: StartBroker,
) -> None:
    process = start(start_broker)
    stranger = Caller(process.http_port)
    body = {"user": "admin", "password": "public"}
    data = stranger.call("POST", "/auth/login", body).data
    assert data["user"] == {
        "user": "admin",
        "roles": ["admin"],
        "privileges": ["admin", "view"],
    }
    assert re.fullmatch("[0-9a-f]{64}", data["token"])
    again = stranger.call("POST", "/auth/login", body).data
    assert again["token"] != data["token"]
    viewer(process)
    body = {"user": "vic", "password": "vic's"}
    data = stranger.call("POST", "/auth/login", body).data
    assert data["user"] == {"user": "vic", "roles": ["viewer"], "privileges": ["view"]}


@pytest.mark.parametrize(
    "body",
    [
        {"user": "admin", "password": "wrong"},
        {"user": "nobody", "password": "public"},
        {"user": "", "password": ""},
    ],
)
@LOGIN.shows("login_wrong")
def test_wrong_login_gets_no_token(start_broker: StartBroker, body: dict[str, str]) -> None:
    process = start(start_broker)
    said = Caller(process.http_port).call("POST", "/auth/login", body)
    said.assert_refused(401, "login_wrong")


def test_token_may_come_in_three_ways(start_broker: StartBroker) -> None:
    process = start(start_broker)
    token = logged_in(process).token
    client = Client(process.http_port, "")
    path = f"/iot/api/v1{BROKERS}"
    assert client.get(f"{path}?page=1&token={token}").status == 200
    assert client.get(f"{path}?token={token[:-1]}x").status == 401
    assert client.get(path, {"X-Token": token}).status == 200
    assert client.get(path, {"Authorization": f"bearer {token.upper()}"}).status == 200
    said = client.get(path, {"Authorization": "Basic YWRtaW46cHVibGlj"})
    assert (said.status, said.json["code"]) == (401, "login_missing")
    assert said.headers["www-authenticate"].startswith("Bearer")
    assert client.get(f"{path}?" + "a=1&" * 300 + f"token={token}").status == 401


def test_neither_token_nor_password_is_in_the_store_or_the_log(
    start_broker: StartBroker,
) -> None:
    process = start(start_broker, http_server__access_log="true")
    caller = logged_in(process)
    client = Client(process.http_port, "")
    assert client.get(f"/iot/api/v1{BROKERS}?token={caller.token}").status == 200
    assert process.stop() == 0
    assert caller.token not in "".join(process.lines)
    assert sum("/iot/api/v1" in line for line in process.lines) >= 2
    kept = b"".join(each.read_bytes() for each in process.conf.parent.glob("*.db*"))
    assert b"devices_token" in kept
    assert caller.token.encode() not in kept
    assert bytes.fromhex(caller.token) not in kept
    assert b"public" not in kept


def test_use_of_a_token_puts_its_end_off(start_broker: StartBroker) -> None:
    process = start(start_broker, plugins__devices__token_life="2h")
    caller = logged_in(process)
    now = int(time.time())
    assert until(process, caller) - now in range(7195, 7206)
    until(process, caller, now + 60)
    assert caller.call("GET", BROKERS).data
    assert until(process, caller) - now in range(7195, 7206)
    until(process, caller, now - 1)
    caller.call("GET", BROKERS).assert_refused(401, "token_expired")


def test_token_is_good_after_a_restart(start_broker: StartBroker) -> None:
    process = start(start_broker, http_server__port=str(free_port()))
    caller = logged_in(process)
    restart(process)
    assert caller.call("GET", BROKERS).data


def test_password_of_a_user_that_changes_ends_its_tokens(
    start_broker: StartBroker,
) -> None:
    process = start(start_broker)
    caller, other = viewer(process), logged_in(process)
    assert caller.call("GET", BROKERS).data
    body = {"old_pwd": "vic's", "new_pwd": "another"}
    said = Client(process.http_port).call("PUT", "/api/v2/change_pwd/vic", body)
    assert said.json["code"] == 0
    caller.call("GET", BROKERS).assert_refused(401, "token_expired")
    assert other.call("GET", BROKERS).data
    assert logged_in(process, "vic", "another").call("GET", BROKERS).data


def test_password_of_the_configuration_that_changes_ends_its_tokens(
    start_broker: StartBroker,
) -> None:
    process = start(start_broker, http_server__host="127.0.0.1")
    caller = logged_in(process)
    process.reload(http_server__password="another")
    caller.call("GET", BROKERS).assert_refused(401, "token_expired")


def test_user_that_is_deleted_ends_its_tokens(start_broker: StartBroker) -> None:
    process = start(start_broker)
    caller = viewer(process)
    client = Client(process.http_port)
    assert client.call("DELETE", "/api/v2/users/vic").json["code"] == 0
    caller.call("GET", BROKERS).assert_refused(401, "token_expired")


def test_role_counts_as_it_is_now(start_broker: StartBroker) -> None:
    process = start(start_broker)
    caller = viewer(process)
    path = "/msgroute/configs?id=7"
    caller.call("DELETE", path).assert_refused(403, "forbidden")
    body = {"role": "administrator"}
    said = Client(process.http_port).call("PUT", "/api/v2/users/vic", body)
    assert said.json["code"] == 0
    assert caller.call("DELETE", path).data == {"rows": 0}


def test_default_password_that_counts_no_more_ends_its_tokens(
    start_broker: StartBroker,
) -> None:
    process = start(start_broker)
    caller = logged_in(process)
    body = {"username": "boss", "password": "boss's", "role": "administrator"}
    said = Client(process.http_port).call("POST", "/api/v2/users", body)
    assert said.json["code"] == 0
    caller.call("GET", BROKERS).assert_refused(401, "token_expired")


def test_app_may_log_in_until_it_is_disabled(start_broker: StartBroker) -> None:
    process = start(start_broker)
    client = Client(process.http_port)
    body = {"app_id": "exporter", "name": "exporter", "secret": "s3cret"}
    assert client.call("POST", "/api/v4/apps", body).json["code"] == 0
    caller = logged_in(process, "exporter", "s3cret")
    assert caller.call("GET", BROKERS).data
    said = client.call("PUT", "/api/v4/apps/exporter", {"name": "x", "status": False})
    assert said.json["code"] == 0, said
    caller.call("GET", BROKERS).assert_refused(401, "token_expired")


def test_failed_logins_slow_the_next_ones(start_broker: StartBroker) -> None:
    process = start(start_broker)
    stranger = Caller(process.http_port)
    body = {"user": "admin", "password": "wrong"}
    for _ in range(7):
        stranger.call("POST", "/auth/login", body).assert_refused(401, "login_wrong")
    began = time.monotonic()
    logged_in(process)
    assert time.monotonic() - began > 0.1


def test_api_is_there_and_described_while_the_plugin_is_loaded(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    client = Client(process.http_port)

    def is_described() -> bool:
        paths = client.get("/api/openapi.json").json["paths"]
        return "/iot/api/v1/auth/login" in paths

    path = "/iot/api/v1/monitor/brokers"
    assert client.get(path).status == 404
    assert not is_described()
    process.reload(plugins__load="devices")
    caller = logged_in(process)
    assert caller.call("GET", BROKERS).data
    assert is_described()
    document = client.get("/api/openapi.json").json["paths"]
    login, listed = document["/iot/api/v1/auth/login"], document[path]
    assert login["post"]["security"] == []
    error = listed["get"]["responses"]["401"]["content"]["application/json"]["schema"]
    assert list(error["properties"]) == ["status", "code", "msg"]
    process.reload(plugins__load="")
    assert client.get(path).status == 404
    assert not is_described()
    process.reload(plugins__load="devices")
    assert caller.call("GET", BROKERS).data
