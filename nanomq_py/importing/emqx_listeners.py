"""Makes our listeners of those of an ``emqx.conf``, of EMQX 4 or 5."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nanomq_py.importing.draft import Draft, Option
from nanomq_py.importing.options import (
    SWITCH,
    Take,
    as_it_is,
    look_up,
    lost,
    needless,
    number,
    word,
)

_LISTENER = re.compile(r"listeners?\.(tcp|ssl|ws|wss|quic)\.([^.]+)(?:\.(.+))?")
_SCHEMES = {"tcp": "nmq-tcp", "ssl": "tls+nmq-tcp", "ws": "nmq-ws", "wss": "nmq-wss"}
# EMQX 5 has listeners of these names whether the file names them or not.
_OF_EMQX_5 = {"tcp": "1883", "ssl": "8883", "ws": "8083", "wss": "8084"}


def is_of_listener(option: Option) -> bool:
    """Return whether a line belongs to a listener."""
    return _LISTENER.fullmatch(option.name) is not None


def _oldest_tls(key: str) -> Take:
    """Take the oldest of the versions that is spoken here."""

    def take(draft: Draft, option: Option) -> None:
        if "1.2" in option.value:
            draft.put(key, "1.2", option)
        elif key not in draft.entries and "1.3" in option.value:
            draft.put(key, "1.3", option)

    return take


def _of_one(at: str) -> Mapping[str, Take]:
    """Return what becomes of the options of the listener whose keys begin with that."""
    verify = word(
        f"{at}tls.verify_peer",
        {"verify_peer": "true", "verify_none": "false"},
        "expected verify_peer or verify_none",
    )
    tls = {
        "keyfile": as_it_is(f"{at}tls.keyfile"),
        "certfile": as_it_is(f"{at}tls.certfile"),
        "cacertfile": as_it_is(f"{at}tls.cacertfile"),
        "key_password": as_it_is(f"{at}tls.key_password"),
        "password": as_it_is(f"{at}tls.key_password"),
        "verify": verify,
        "fail_if_no_peer_cert": word(
            f"{at}tls.fail_if_no_peer_cert", SWITCH, "expected true or false"
        ),
        "versions*": _oldest_tls(f"{at}tls.min_version"),
        "tls_versions": _oldest_tls(f"{at}tls.min_version"),
        "ciphers*": lost("the default ciphers hold; tls.ciphers names others"),
    }
    return {
        "max_connections": number(f"{at}max_connections", instead={"infinity": "0"}),
        "mountpoint": as_it_is(f"{at}mountpoint"),
        "proxy_protocol": word(f"{at}proxy_protocol", SWITCH, "expected true or false"),
        "peer_cert_as_username": word(
            f"{at}username_from", {"cn": "cn"}, "expected cn here"
        ),
        "mqtt_path": as_it_is(f"{at}websocket.path"),
        "websocket.mqtt_path": as_it_is(f"{at}websocket.path"),
        "enable_authn": lost("allow_anonymous of the listener is the key for it here"),
        **tls,
        **{f"ssl_options.{name}": take for name, take in tls.items()},
        **{
            name: needless("the broker chooses it")
            for name in ("acceptors", "active_n", "zone", "backlog", "nodelay")
        },
    }


def _url(kind: str, bind: str, path: str) -> str:
    """Return our URL of an address; a port alone stands for all addresses."""
    host, _, port = bind.rpartition(":")
    tail = (path or "/mqtt") if kind in ("ws", "wss") else ""
    return f"{_SCHEMES[kind]}://{host or '0.0.0.0'}:{port}{tail}"


def take_listeners(draft: Draft, lines: list[Option]) -> None:
    """Put the listeners into the draft, those of our file that are built in switched off."""
    groups: dict[tuple[str, str], dict[str, Option]] = {}
    for option in lines:
        found = _LISTENER.fullmatch(option.name)
        assert found is not None
        groups.setdefault((found[1], found[2]), {})[found[3] or "bind"] = option
    if not groups:
        return
    whole = next(iter(lines))
    draft.put("url", "", whole)
    draft.put("websocket.enable", "false", whole)
    for (kind, name), options in groups.items():
        bind = options.pop("bind", None)
        begins = bind or next(iter(options.values()))
        off = options.pop("enable", options.pop("enabled", None))
        if off is not None and off.value in ("false", "off"):
            continue
        text = _OF_EMQX_5.get(kind, "") if bind is None else bind.value
        if kind == "quic" or not text:
            draft.lose(begins, "this version has no QUIC")
            continue
        at = f"listener.{kind}-{name}."
        draft.put(f"{at}url", _url(kind, text, ""), begins)
        table = _of_one(at)
        for name, option in options.items():
            take = look_up(table, name)
            if take is None:
                draft.lose(option, "an option that is not known here")
            else:
                take(draft, option)
