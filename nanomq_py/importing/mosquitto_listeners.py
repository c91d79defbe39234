"""Makes our listeners of those of a ``mosquitto.conf``, and who may come in through them.

Options before the first ``listener`` line are those of the default listener, which exists if
any of them says more than the defaults, or if there is no other one.

Source  mosquitto.conf(5) of mosquitto 2.0 and 2.1, its sources for the default listener
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nanomq_py.importing.draft import Draft, Option
from nanomq_py.importing.options import (
    Take,
    as_it_is,
    both,
    lost,
    needless,
    number,
    unless,
    word,
)


def _of_one(at: str, *, has_psks: bool = False) -> Mapping[str, Take]:
    """Return what becomes of the options of the listener whose keys begin with that."""
    true = {"true": "true"}
    return {
        "max_connections": number(f"{at}max_connections", instead={"-1": "0"}),
        "mount_point": as_it_is(f"{at}mountpoint"),
        "use_identity_as_username": word(
            f"{at}username_from",
            {"true": "psk" if has_psks else "cn", "false": "NULL"},
            "expected true or false",
        ),
        "use_subject_as_username": unless(
            "false", lost("a user name is one name of the certificate (username_from)")
        ),
        "use_username_as_clientid": unless(
            "false", lost("a client chooses its client identifier")
        ),
        "certfile": as_it_is(f"{at}tls.certfile"),
        "keyfile": as_it_is(f"{at}tls.keyfile"),
        "cafile": as_it_is(f"{at}tls.cacertfile"),
        "capath": lost("expected one file of CAs here: tls.cacertfile"),
        "require_certificate": unless(
            "false",
            both(
                word(f"{at}tls.verify_peer", true, "expected true or false"),
                word(f"{at}tls.fail_if_no_peer_cert", true, "expected true or false"),
            ),
        ),
        "crlfile": as_it_is(f"{at}tls.crlfile"),
        "tls_version": word(
            f"{at}tls.min_version",
            {"tlsv1.2": "1.2", "tlsv1.3": "1.3"},
            "TLS 1.2 is the oldest that is spoken here",
        ),
        "ciphers": lost("the default ciphers hold; tls.ciphers names others"),
        "ciphers_tls1.3": lost("all ciphers of TLS 1.3 are allowed"),
        "dhparamfile": needless("the ciphers here need none"),
        "tls_engine": lost("keys come from files"),
        "tls_engine_kpass_sha1": lost("keys come from files", secret=True),
        "tls_keyform": unless("pem", lost("keys come from PEM files")),
        "bind_interface": lost("a listener is bound to an address"),
        "http_dir": lost("no files are served"),
        "websockets_headers_size": needless("headers have a bound of their own"),
        "websockets_origin": lost("pages of any origin may connect"),
        "max_topic_alias": lost("all listeners share one: max_topic_alias"),
        "max_qos": unless("2", lost("all listeners share one: max_qos_allowed")),
    }


# What says where a listener is, and who may come in there.
_PLACE = (
    *("listener", "port", "bind_address", "protocol", "socket_domain"),
    *("allow_anonymous", "psk_hint", "psk_file"),
)
OF_LISTENERS = frozenset([*_PLACE, *_of_one("")])
# Lines before the first listener that make no default listener.
_NEUTRAL = ("allow_anonymous", "max_topic_alias", "psk_file")


@dataclass
class _Listener:
    """One listener, and the lines that belong to it."""

    begins: Option
    port: str = "1883"
    host: str = ""
    lines: list[Option] = field(default_factory=list)

    def value(self, name: str) -> str:
        """Return the value of an option; the last line counts, empty: there is none."""
        return next((s.value for s in reversed(self.lines) if s.name == name), "")


def _listeners(lines: list[Option], path: Path) -> tuple[list[_Listener], bool]:
    """Return the listeners, and whether mosquitto would serve this machine only."""
    found: list[_Listener] = []
    before: list[Option] = []
    for option in lines:
        if option.name == "listener":
            port, _, host = option.value.partition(" ")
            found.append(_Listener(option, port, host.strip()))
        elif found and option.name not in ("port", "bind_address"):
            found[-1].lines.append(option)
        else:
            before.append(option)
    if any(option.name not in _NEUTRAL for option in before):
        first = _Listener(before[0], lines=before)
        first.port = first.value("port") or "1883"
        first.host = first.value("bind_address")
        found.insert(0, first)
    if found:
        return found, False
    nothing = Option("listener", "", f"{path}: without a listener")
    return [_Listener(nothing, host="127.0.0.1", lines=before)], True


def _url(listener: _Listener) -> str:
    """Return where it listens, as our URL."""
    if listener.port == "0" and listener.host:
        return f"nmq-ipc://{listener.host}"
    schemes = {
        (False, False): "nmq-tcp",
        (True, False): "tls+nmq-tcp",
        (False, True): "nmq-ws",
        (True, True): "nmq-wss",
    }
    is_web = listener.value("protocol") == "websockets"
    has_tls = bool(listener.value("certfile") or listener.value("psk_hint"))
    scheme = schemes[has_tls, is_web]
    everywhere = "::" if listener.value("socket_domain") == "ipv6" else "0.0.0.0"
    host = listener.host or everywhere
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{listener.port}{'/mqtt' if is_web else ''}"


def _take(draft: Draft, at: str, listener: _Listener, psks: Option | None) -> None:
    """Put one listener into the draft, whose keys begin with ``at``.

    psks   the file of pre-shared keys, for a listener that has them (``psk_hint``)
    """
    protocol = listener.value("protocol")
    if protocol not in ("", "mqtt", "websockets"):
        draft.lose(listener.begins, f"protocol {protocol} is not spoken here")
        return
    draft.put(f"{at}url", _url(listener), listener.begins)
    if protocol == "websockets":
        draft.put(f"{at}websocket.path", "*", listener.begins)
    if not listener.value("psk_hint"):
        psks = None
    if psks is not None:
        draft.put(f"{at}tls.psk_file", psks.value, psks)
    table = _of_one(at, has_psks=psks is not None)
    for option in listener.lines:
        if option.name in table:
            table[option.name](draft, option)


def _names(listeners: list[_Listener]) -> Iterator[tuple[str, _Listener]]:
    """Yield each listener with a name of its own."""
    ports: Counter[str] = Counter()
    for listener in listeners:
        port = re.sub(r"\W", "", listener.port)
        ports[port] += 1
        yield f"m{port}" + (f"-{ports[port]}" if ports[port] > 1 else ""), listener


def take_listeners(
    draft: Draft, lines: list[Option], path: Path, *, each_for_itself: bool
) -> None:
    """Put the listeners, and who may come in without a name, into the draft.

    each_for_itself  ``per_listener_settings``: a listener says whom it lets in
    """
    found, is_local = _listeners(lines, path)
    whole = Option("listener", "", str(path))
    draft.put("url", "", whole)  # only the listeners below
    draft.put("websocket.enable", "false", whole)
    given = [option for option in lines if option.name == "allow_anonymous"]
    psks = [option for option in lines if option.name == "psk_file"]
    for name, listener in _names(found):
        at = f"listener.{name}."
        own_psks = [s for s in listener.lines if s.name == "psk_file"] or psks
        _take(draft, at, listener, own_psks[-1] if own_psks else None)
        if each_for_itself and (own := listener.value("allow_anonymous")):
            draft.put(f"{at}allow_anonymous", own, listener.begins)
    if given and not each_for_itself:
        draft.put("allow_anonymous", given[-1].value, given[-1])
    else:
        draft.put("allow_anonymous", "true" if is_local else "false", whole)
