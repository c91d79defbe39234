"""Configurations that are refused: what they ask for would be unsafe to leave out."""

from __future__ import annotations

from nanomq_py.auth.acl import for_whom
from nanomq_py.auth.roster import check_chain, proves_names
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.faults import Faults


def refuse_unsupported(config: Config) -> None:
    """Refuse what would be unsafe to leave out.

    Raises   ConfigError
    """
    faults = Faults()
    if config.auth_http.enable:
        from nanomq_py.auth.http.template import check_requests

        with faults.gathered():
            check_requests(config.auth_http)
    with faults.gathered():
        check_chain(config)
    with faults.gathered():
        if not proves_names(config):
            _refuse_rules_for_users(config)
    faults.check()


def _refuse_rules_for_users(config: Config) -> None:
    """Refuse rules about users where no client can prove a user name."""
    for number, rule in enumerate(config.acl_rules, start=1):
        named = for_whom(rule)
        if named is not None:
            raise ConfigError(
                f"{rule.where or f'acl.rule.{number}'}: {named}: no client can prove its user"
                " name here: expected users (auth.N.login and auth.N.password), a password"
                " file (auth.password_file), tokens (auth.jwt.enable), an HTTP server"
                " (auth.http.auth_req), or a TLS listener with username_from"
            )
