"""What must be right of a configuration beyond its own text: features, keys, certificates."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from pathlib import Path

from nanomq_py.auth.acl import for_whom
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.entries import Faults
from nanomq_py.config.reader import Reading
from nanomq_py.config.sections import DEFAULT_HTTP_PASSWORD
from nanomq_py.config.settings import is_secret
from nanomq_py.http.guard import make_guard
from nanomq_py.http.tls import load_server_tls
from nanomq_py.listen.places import places_of
from nanomq_py.listen.tls import load_tls
from nanomq_py.run.folder import UnsafeError, judge

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
    """Log what the file asks for and will not happen, and in one line what is ignored."""
    for missing in config.said.missing:
        log.error("%s", missing)
    if (text := ignored_keys(config)) is not None:
        log.warning("%s", text)


def ignored_keys(config: Config, most: int = 8) -> str | None:
    """Return one line about NanoMQ's keys that mean nothing here; None: there are none."""
    names = list(dict.fromkeys(config.said.ignored))
    if not names:
        return None
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"keys without a meaning in this version: {', '.join(names[:most])}{more}"


def warn_of_proxies(config: Config) -> None:
    """Warn of listeners where anybody who connects can claim any address."""
    for place in places_of(config):
        if place.settings.proxy_protocol and not place.is_ipc and not config.proxy.trusted:
            log.warning(
                "%s=true: whoever connects there can take any address; proxy.trusted says"
                " which balancers may",
                config.said.called(f"listener.{place.name}.proxy_protocol"),
            )


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
            load_server_tls(config)
    faults.check()


def exposed_files(reading: Reading) -> Iterator[str]:
    """Yield a warning for each file that other users of the machine can read or keep from us.

    They may not read one with a secret, nor put anything where the log goes.

    A group may: who runs the broker as a user of its own gives the file to that group. Blocks.
    """
    secrets: dict[str, str] = {}  # by path
    for name, entry in reading.entries.items():
        if is_secret(name) and entry.value not in ("", DEFAULT_HTTP_PASSWORD):
            secrets.setdefault(entry.where.rpartition(":")[0], name)
    config = reading.config
    keys = {"tls.keyfile": config.tls.keyfile}
    keys["http_server.tls.keyfile"] = config.http_server.tls_keyfile
    keys |= {f"listener.{each.name}.tls.keyfile": each.keyfile for each in config.listeners}
    for name, path in keys.items():
        if path is not None:
            secrets.setdefault(path, name)
    for path, name in secrets.items():
        try:
            mode = stat.S_IMODE(Path(path).stat().st_mode)
        except OSError:
            continue  # whoever needs it says so
        if mode & stat.S_IROTH:
            yield (
                f"{path}: mode {mode:04o} lets every user of this machine read {name}:"
                " expected 0600 or 0640"
            )
    yield from _exposed_log(config)


def _exposed_log(config: Config) -> Iterator[str]:
    """Yield a warning when another user can keep the log from being written, as in /tmp."""
    if "file" not in config.log.to:
        return
    try:
        judge(Path(config.log.dir))
    except UnsafeError as fault:
        yield (
            f"log.dir={config.log.dir}: {fault}: another user can keep the log from being"
            " written; expected a folder where only this user can write"
        )
    except OSError:
        return  # whoever opens the file says so
