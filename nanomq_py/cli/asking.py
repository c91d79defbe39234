"""Asks a broker that runs, by its HTTP API."""

from __future__ import annotations

import argparse
import base64
import http.client
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.values.texts import shown
from nanomq_py.fetch.message import FetchError
from nanomq_py.fetch.tls import client_tls

PATIENCE_S = 20.0
MOST_BYTES = 1 << 16  # of an answer, and of a login file
_ANY = ("", "0.0.0.0", "::")


def add_asking_options(command: argparse.ArgumentParser) -> None:
    """Declare the arguments of a command that asks a broker."""
    command.add_argument(
        "--running", action="store_true", help="ask the broker that runs, by its HTTP API"
    )
    command.add_argument(
        "--url", help="where its HTTP API is; left out: where the configuration says"
    )
    command.add_argument(
        "--login-file",
        type=Path,
        metavar="F",
        help="its first line is NAME:PASSWORD, or Bearer TOKEN; left out: the login of the"
        " configuration",
    )
    command.add_argument(
        "--cacertfile", metavar="F", help="PEM file of the CAs for https; else the system's"
    )


def _authorization(login_file: Path | None, config: Config) -> str:
    """Return the header. Raises ConfigError."""
    server = config.http_server
    login = f"{server.username}:{server.password}"
    if login_file is not None:
        try:
            with login_file.open("rb") as file:
                login = file.readline(MOST_BYTES).decode().rstrip("\r\n")
        except (OSError, ValueError) as fault:
            why = getattr(fault, "strerror", None) or "expected UTF-8"
            raise ConfigError(f"--login-file {login_file}: {why}") from None
        if login.startswith("Bearer ") and login.isascii() and login.isprintable():
            return login
        if ":" not in login:
            raise ConfigError(
                f"--login-file {login_file}: expected NAME:PASSWORD, or Bearer TOKEN"
            )
    elif server.auth_type != "basic":
        raise ConfigError(
            f"http_server.auth_type={server.auth_type}: give --login-file with Bearer TOKEN"
        )
    return f"Basic {base64.b64encode(login.encode()).decode()}"


def _url(url: str | None, config: Config) -> str:
    """Return where the HTTP API is. Raises ConfigError."""
    if url is not None:
        return url
    server = config.http_server
    if not server.enable or not server.port:
        raise ConfigError(
            "the configuration does not say where the HTTP API is: give --url"
        )
    host = "127.0.0.1" if server.host in _ANY else server.host
    host = f"[{host}]" if ":" in host else host
    return f"http{'s' if server.tls_enable else ''}://{host}:{server.port}"


def _connection(url: str, cacertfile: str | None) -> http.client.HTTPConnection:
    """Return it, not open yet. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in ("http", "https") or parts.username:
        raise ConfigError(f"--url {shown(url)}: expected such as http://127.0.0.1:8081")
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
    try:
        tls = client_tls(cacertfile, None, None)
    except FetchError as fault:
        raise ConfigError(f"--cacertfile {fault}") from None
    return http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=tls)


def asked(args: argparse.Namespace, config: Config, path: str, body: object) -> Any:
    """POST to a path of the broker's ``/api/v4``; return the data of its answer.

    args    of a command with :func:`add_asking_options`
    Raises  ConfigError saying why there is none
    """
    url = _url(args.url, config)
    headers = {"Authorization": _authorization(args.login_file, config)}
    connection = _connection(url, args.cacertfile)
    try:
        connection.request("POST", f"/api/v4{path}", orjson.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read(MOST_BYTES)
    except (OSError, http.client.HTTPException) as fault:
        why = str(fault) if isinstance(fault, ssl.SSLError) else _reason(fault)
        raise ConfigError(f"{shown(url)}: {shown(why)}") from None
    finally:
        connection.close()
    return _data(url, answer.status, text)


def _reason(fault: Exception) -> str:
    return getattr(fault, "strerror", None) or str(fault) or type(fault).__name__


def _data(url: str, status: int, text: bytes) -> Any:
    try:
        said = orjson.loads(text)
    except orjson.JSONDecodeError:
        said = None
    if status == 200 and isinstance(said, dict) and said.get("code") == 0:
        return said.get("data")
    message = said.get("message") if isinstance(said, dict) else None
    why = f": {shown(str(message))}" if message else ""
    hint = ": expected a login, see --login-file" if status == 401 else ""
    if status == 404:
        hint = ": is v4 in its http_server.dialects?"
    raise ConfigError(f"{shown(url)}: HTTP status {status}{why}{hint}")
