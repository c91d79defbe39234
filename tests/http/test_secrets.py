"""Passwords of the API's users and of MQTT users are nowhere to be read."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest

from nanomq_py import Broker, Config
from tests.conftest import StartBroker
from tests.http.documented import Client

pytestmark = pytest.mark.plain


def test_passwords_of_users_of_the_api_are_nowhere_to_be_read(
    start_broker: StartBroker,
) -> None:
    process = start_broker(log__level="trace", http_server__password="geheim-1")
    api = Client(process.http_port, "admin:geheim-1")
    body = {"username": "ann", "password": "geheim-2", "role": "viewer"}
    said = [api.call("POST", "/api/v2/users", body)]
    said += [api.call("POST", "/api/v2/users", body)]  # there is one
    said += [api.call("POST", "/api/v2/users", {**body, "password": ["geheim-3"]})]
    assert said[0].json["code"] == 0
    said += [api.get("/api/v2/users"), api.get("/api/v2/users/ann")]
    change = {"new_pwd": "geheim-4", "old_pwd": "geheim-2"}
    said += [api.call("PUT", "/api/v2/change_pwd/ann", change)]
    said += [Client(process.http_port, "ann:geheim-9").get("/api/v2/users")]
    assert said[-1].status == 401
    told = "".join(process.lines) + json.dumps([[one.text, one.headers] for one in said])
    told += Path(f"/proc/{process.pid}/cmdline").read_text()
    told += Path(f"/proc/{process.pid}/environ").read_text()
    assert "geheim" not in told
    assert "$scrypt" not in told
    assert_kept_well(process.conf.parent)


async def test_secrets_of_apps_and_users_are_kept_as_hashes_in_a_private_file(
    tmp_path: Path,
) -> None:
    config = Config(url="nmq-tcp://127.0.0.1:0")
    async with Broker(config, conf=tmp_path / "nanomq.conf") as broker:
        accounts = broker.api_accounts
        made = await accounts.create_app("exporter", who="test")
        await accounts.create_app("other", secret="geheim-5", who="test")
        await broker.put_user("u", b"geheim-6")
        await broker.put_user("c", b"geheim-7", by_client_id=True)
        files = await asyncio.to_thread(assert_kept_well, tmp_path)
        assert made.encode() not in files


def assert_kept_well(folder: Path) -> bytes:
    """Assert that no file of the store can be read by others, or holds a password."""
    files = list(folder.glob("nanomq.db*"))
    assert files
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO) == 0
    content = b"".join(file.read_bytes() for file in files)
    assert b"geheim" not in content
    assert b"$scrypt" in content
    return content
