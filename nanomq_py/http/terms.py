"""What a configuration says of the HTTP API: where it listens, and whom it lets in."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.keys.http_server import DEFAULT_HTTP_PASSWORD, HttpServer
from nanomq_py.http.front import Manners
from nanomq_py.http.guard import Guard, make_guard
from nanomq_py.http.tls import ServerTls, load_server_tls, renewed_keys
from nanomq_py.http.token_guard import JwtGuard


@dataclass(frozen=True)
class Bounds:
    """How many connections there may be; 0: no bound."""

    in_all: int
    of_address: int

    @staticmethod
    def of(http: HttpServer) -> Bounds:
        return Bounds(http.max_connections, http.max_connections_per_address)


def http_address(config: Config) -> tuple[str, int] | None:
    """Return where the HTTP API listens; None: nowhere."""
    http = config.http_server
    if not http.enable:
        return None
    open_to_all = http.auth_type == "jwt" or http.password != DEFAULT_HTTP_PASSWORD
    return http.host or ("0.0.0.0" if open_to_all else "127.0.0.1"), http.port


@dataclass(frozen=True)
class Terms:
    """What callers are let in by: login, bounds, TLS; and what they find."""

    guard: Guard
    bounds: Bounds
    tls: ServerTls | None
    manners: Manners
    dialects: tuple[str, ...]

    @staticmethod
    def load(config: Config) -> Terms:
        """Read keys and certificates. Raises ConfigError. Blocks."""
        http = config.http_server
        return Terms(
            make_guard(http),
            Bounds.of(http),
            load_server_tls(config),
            Manners.of(http),
            http.dialects,
        )

    def renewed(self, old: Terms) -> list[str]:
        """Return the keys whose file has another content than it had."""
        names = renewed_keys(old.tls, self.tls)
        keys = [
            guard.keys.get("RS256")
            for guard in (old.guard, self.guard)
            if isinstance(guard, JwtGuard)
        ]
        if len(keys) == 2 and keys[0] != keys[1]:
            names.append("http_server.jwt.public.keyfile")
        return names


def check_terms(config: Config) -> None:
    """Read keys and certificates where the API is switched on. Raises ConfigError. Blocks."""
    if config.http_server.enable:
        make_guard(config.http_server)
        load_server_tls(config)


def cannot_serve(fault: BaseException | None) -> ConfigError:
    """Return the error of a server that does not come up."""
    why = getattr(fault, "strerror", None) or repr(fault)
    return ConfigError(f"http_server.enable=true: it cannot serve: {why}")
