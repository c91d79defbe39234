"""Calls the platform's API as a program with a token does."""

from __future__ import annotations

import json
import sqlite3
import urllib.error
import urllib.request
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from tests.conftest import Process
from tests.http.documented import Client


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    json: Any

    @property
    def data(self) -> Any:
        assert (self.status, self.json["status"]) == (200, "ok"), self
        assert list(self.json) == ["status", "data"]
        return self.json["data"]

    def assert_refused(self, status: int, code: str, text: str = "") -> None:
        assert (self.status, self.json["status"]) == (status, "err"), self
        assert list(self.json) == ["status", "code", "msg"]
        assert self.json["code"] == code
        assert text in self.json["msg"]


@dataclass(frozen=True)
class Caller:
    """Somebody who calls; token: empty for none."""

    port: int
    token: str = ""

    def call(self, method: str, path: str, body: object = None) -> Said:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        url = f"http://127.0.0.1:{self.port}/iot/api/v1{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return Said(answer.status, json.load(answer))
        except urllib.error.HTTPError as fault:
            with fault:
                return Said(fault.code, json.load(fault))


def logged_in(process: Process, user: str = "admin", password: str = "public") -> Caller:
    said = Caller(process.http_port).call(
        "POST", "/auth/login", {"user": user, "password": password}
    )
    return Caller(process.http_port, said.data["token"])


def viewer(process: Process) -> Caller:
    """Return a caller who may only read."""
    said = Client(process.http_port).call(
        "POST", "/api/v2/users", {"username": "vic", "password": "vic's", "role": "viewer"}
    )
    assert said.status == 200, said
    return logged_in(process, "vic", "vic's")


def expired(process: Process) -> Caller:
    """Return a caller whose token was good."""
    caller = logged_in(process)
    with sqlite3.connect(process.conf.with_suffix(".db"), timeout=10) as file:
        hash = sha256(caller.token.encode()).digest()
        file.execute("UPDATE devices_token SET until = 1 WHERE hash = ?", (hash,))
    file.close()
    return caller
