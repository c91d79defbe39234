"""What must be right of a configuration beyond its own text: features, keys, certificates."""

from __future__ import annotations

import logging

from nanomq_py.auth.acl import for_whom
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.entries import Faults
from nanomq_py.http.guard import make_guard
from nanomq_py.listeners import places_of
from nanomq_py.tls import load_tls

log = logging.getLogger("nanomq")


def refuse_unsupported(config: Config) -> None:
    """Refuse what would be unsafe to leave out.

    Raises   ConfigError
    """
    faults = Faults()
    if config.auth_http.enable:
        name = config.said.called("auth.http.enable")
        faults.add(ConfigError(f"{name}: this version cannot enforce it yet; take it out"))
    with faults.gathered():
        if not _proves_users(config):
            _refuse_rules_for_users(config)
    faults.check()


def tell_what_is_missing(config: Config) -> None:
    """Log what the file asks for and will not happen, and in one line what is read over."""
    for missing in config.said.missing:
        log.error("%s", missing)
    if (text := read_over(config)) is not None:
        log.warning("%s", text)


def read_over(config: Config, most: int = 8) -> str | None:
    """Return one line about NanoMQ's keys that mean nothing here; None: there are none."""
    names = list(dict.fromkeys(config.said.read_over))
    if not names:
        return None
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"keys without a meaning in this version: {', '.join(names[:most])}{more}"


def _proves_users(config: Config) -> bool:
    """Return whether a client can prove who it is: by a password, or by a certificate."""
    return bool(config.users) or any(
        place.has_tls and place.settings.cn_as_username for place in places_of(config)
    )


def _refuse_rules_for_users(config: Config) -> None:
    """Refuse rules about users where there is no way to be one."""
    for number, rule in enumerate(config.acl_rules, start=1):
        named = for_whom(rule)
        if named is not None:
            raise ConfigError(
                f"{rule.where or f'acl.rule.{number}'}: {named}: no client can prove its user"
                " name here: expected users (auth.N.login and auth.N.password), or a TLS"
                " listener with cn_as_username"
            )


def check_files(config: Config) -> None:
    """Read what the configuration names, and look whether a broker could start with it.

    Raises   ConfigError naming the keys
    """
    faults = Faults()
    with faults.gathered():
        for place in places_of(config):
            if place.has_tls:
                with faults.gathered():
                    load_tls(config, place.settings)
    with faults.gathered():
        if config.http_server.enable:
            make_guard(config.http_server)
    faults.check()
