"""Warnings about a configuration that can be used, but may not be what was meant."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from nanomq_py.config import Config
from nanomq_py.config.keys.http_server import DEFAULT_HTTP_PASSWORD
from nanomq_py.config.reader import Reading
from nanomq_py.config.settings import is_secret, settings_of
from nanomq_py.listen.places import Place, places_of
from nanomq_py.run.folder import UnsafeError, judge

log = logging.getLogger("nanomq")


def tell_oddities(config: Config) -> None:
    """Log all that can be told of a configuration without a look at its files."""
    _tell_what_is_missing(config)
    for text in forgeable(config):
        log.warning("%s", text)
    if (line := open_as_root(config)) is not None:
        log.warning("%s", line)


def _tell_what_is_missing(config: Config) -> None:
    """Log what the file asks for but will not happen, and in one line what is ignored."""
    for missing in config.said.missing:
        log.error("%s", missing)
    if (text := ignored_keys(config)) is not None:
        log.warning("%s", text)


def ignored_keys(config: Config) -> str | None:
    """Return one line about keys without an effect; None: there are none.

    These are NanoMQ's that mean nothing here, and those of plugins that are not loaded.
    """
    texts = [
        f"{what}: {_some(names)}"
        for what, names in (
            ("keys without a meaning in this version", config.said.ignored),
            ("keys of plugins that are not loaded", config.said.unplugged),
        )
        if names
    ]
    return "; ".join(texts) or None


def _some(names: Sequence[str], most: int = 8) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"


def forgeable(config: Config) -> Iterator[str]:
    """Yield a warning for each thing that others can forge: addresses, keys of tokens."""
    for place in places_of(config):
        if place.settings.proxy_protocol and not place.is_ipc and not config.proxy.trusted:
            name = config.said.called(f"listener.{place.name}.proxy_protocol")
            yield (
                f"{name}=true: whoever connects there can take any address; proxy.trusted"
                " says which balancers may"
            )
    url = urlsplit(config.auth_jwt.jwks_url or "")
    if config.auth_jwt.enable and url.scheme == "http" and not _is_here(url.hostname or ""):
        yield (
            f"auth.jwt.jwks.url={url.geturl()}: whoever is on the way can put keys of their"
            " own in place; expected https to another machine"
        )


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def exposed_files(reading: Reading) -> Iterator[str]:
    """Yield a warning for each file that other users of the machine can read or withhold.

    They must not be able to read a file with a secret, nor to put anything where the log goes.
    A group may read it: a broker that runs as a user of its own needs this. Blocks.
    """
    secrets: dict[str, str] = {}  # by path
    for name, entry in reading.entries.items():
        if is_secret(name, reading.brought) and entry.value not in (
            "",
            DEFAULT_HTTP_PASSWORD,
        ):
            secrets.setdefault(entry.where.rpartition(":")[0], name)
    for name, setting in settings_of(reading.config).items():
        if setting.private_file and setting.text:
            secrets.setdefault(setting.text, name)
    for path, name in secrets.items():
        try:
            mode = stat.S_IMODE(Path(path).stat().st_mode)
        except OSError:
            continue  # the part that needs it reports that
        if mode & stat.S_IROTH:
            yield (
                f"{path}: mode {mode:04o} lets every user of this machine read {name}:"
                " expected 0600 or 0640"
            )
    yield from _exposed_log(reading.config)


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
        return  # the part that opens the file reports that


def open_as_root(config: Config) -> str | None:
    """Return a line about listeners where a process of root lets in anybody, or None."""
    if os.geteuid() != 0 or config.user is not None:
        return None
    where = [
        f"{place.called or place.key}={place.url}"
        for place in places_of(config)
        if place.allows_anonymous(config) and _is_public(place)
    ]
    if not where:
        return None
    return (
        f"user: missing: the broker runs as root, and {_some(where)} lets in anybody"
        " (allow_anonymous=true): name a user that it becomes, or user=root if that is meant"
    )


def _is_public(place: Place) -> bool:
    """Return whether other machines may reach the listener's address."""
    host = urlsplit(place.url).hostname
    if place.is_ipc or host is None or host == "localhost":
        return False
    try:
        return not ip_address(host).is_loopback
    except ValueError:  # a name
        return True
