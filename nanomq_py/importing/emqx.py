"""Makes our configuration of an ``emqx.conf``: HOCON of EMQX 5, ``key = value`` of EMQX 4.

Source  the configuration manuals of EMQX 4.4 and 5.8
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

from nanomq_py.config.faults import ConfigError, Faults
from nanomq_py.config.forms import flat, nested
from nanomq_py.config.reader import read_text
from nanomq_py.config.values.kind import BadValue
from nanomq_py.config.values.numbers import Size
from nanomq_py.importing.draft import Draft, Option
from nanomq_py.importing.emqx_listeners import is_of_listener, take_listeners
from nanomq_py.importing.options import (
    SWITCH,
    Take,
    as_it_is,
    look_up,
    lost,
    needless,
    number,
    seconds_of,
    unless,
    word,
)

_NO_BOUND = {"infinity": "0", "disabled": "0"}
_SIZE = Size(0, 1 << 40)


def _kib(draft: Draft, option: Option) -> None:
    """Take a size in KiB, rounded up."""
    try:
        size = _SIZE.parse(option.value)
    except BadValue:
        draft.lose(option, "expected a size such as 1MB")
        return
    draft.put("max_packet_size", str(-(-size // 1024)), option)


def _seconds(key: str) -> Take:
    def take(draft: Draft, option: Option) -> None:
        text = seconds_of(option.value)
        if text is None:
            draft.lose(option, "expected a time such as 2h or 30s")
        else:
            draft.put(key, text, option)

    return take


def _backoff(draft: Draft, option: Option) -> None:
    """EMQX 4 waits for twice the factor; ours is the whole."""
    try:
        factor = float(option.value) * 2
    except ValueError:
        draft.lose(option, "expected a factor such as 0.75")
        return
    draft.put("keepalive_backoff", f"{factor:.3f}", option)


def _to(draft: Draft, option: Option) -> None:
    both = {"both": "file,console"}
    draft.put("log.to", both.get(option.value, option.value), option)


_LEVELS = {
    **{name: "error" for name in ("error", "critical")},
    **{name: "fatal" for name in ("alert", "emergency")},
    **{"debug": "debug", "info": "info", "notice": "info", "warning": "warn"},
}
_LEVEL = word("log.level", _LEVELS, "there is no such level here")
_FLAG = "expected true or false"
# What mqtt.NAME of EMQX 5, and mqtt.NAME and zone.external.NAME of EMQX 4 become.
_OF_MQTT: Mapping[str, Take] = {
    "max_packet_size": _kib,
    "max_clientid_len": as_it_is("max_clientid_length"),
    "max_topic_levels": number("max_topic_levels", instead={"0": "65535"}),
    "max_qos_allowed": as_it_is("max_qos_allowed"),
    "max_topic_alias": as_it_is("max_topic_alias"),
    "max_subscriptions": number("max_subscriptions", instead=_NO_BOUND),
    "max_mqueue_len": number("msq_len", instead={"infinity": "65535", "0": "65535"}),
    "max_awaiting_rel": number("receive_maximum", instead={"infinity": "65535"}),
    "max_inflight": lost("msq_len bounds what is in flight, too"),
    "retain_available": word("retain_available", SWITCH, _FLAG),
    "wildcard_subscription": word("wildcard_subscription", SWITCH, _FLAG),
    "shared_subscription": word("shared_subscription", SWITCH, _FLAG),
    "server_keepalive": number("server_keepalive", instead=_NO_BOUND),
    "keepalive_multiplier": as_it_is("keepalive_backoff"),
    "keepalive_backoff": _backoff,
    "idle_timeout": as_it_is("connect_timeout"),
    "session_expiry_interval": _seconds("max_session_expiry"),
    "response_information": as_it_is("response_information"),
    "retry_interval": needless(
        "a message is sent again when its client comes again, as MQTT says"
    ),
    "strict_mode": needless("packets are always checked"),
    "upgrade_qos": unless(
        "false", lost("a message never has a higher QoS than it was published with")
    ),
    "mqueue_store_qos0": unless(
        "false", lost("messages of QoS 0 are not kept for a client that is away")
    ),
    "ignore_loop_deliver": unless("false", lost("MQTT 5.0 has No Local for it")),
    "use_username_as_clientid": unless(
        "false", lost("a client chooses its client identifier")
    ),
    "acl_deny_action": as_it_is("acl_deny_action"),
}
_OF_ALL: Mapping[str, Take] = {
    "allow_anonymous": word("allow_anonymous", SWITCH, _FLAG),
    "acl_nomatch": as_it_is("acl_nomatch"),
    "acl_deny_action": as_it_is("acl_deny_action"),
    "authorization.no_match": as_it_is("acl_nomatch"),
    "authorization.deny_action": as_it_is("acl_deny_action"),
    "authorization.cache.*": needless("rules are looked up fast enough"),
    "authorization.*": lost("its rules are not taken", secret=True),
    "authentication.*": lost("its users are not taken", secret=True),
    "enable_acl_cache": needless("rules are looked up fast enough"),
    "acl_cache_*": needless("rules are looked up fast enough"),
    "acl_file": lost("its rules are in Erlang; acl.rule.N is the form here"),
    "sys_topics.sys_msg_interval": _seconds("sys_interval"),
    "broker.sys_interval": _seconds("sys_interval"),
    "retainer.max_retained_messages": as_it_is("max_retained_messages"),
    "retainer.backend.max_retained_messages": as_it_is("max_retained_messages"),
    "log.level": _LEVEL,
    "log.console.level": _LEVEL,
    "log.file.level": _LEVEL,
    "log.to": _to,
    "log.dir": as_it_is("log.dir"),
    "log.file": as_it_is("log.file"),
    "log.rotation.size": as_it_is("log.rotation.size"),
    "log.rotation.count": as_it_is("log.rotation.count"),
    "dashboard.listeners.http.bind": lambda draft, option: draft.put(
        "http_server.port", option.value.rpartition(":")[2], option
    ),
    "dashboard.default_username": as_it_is("http_server.username"),
    "dashboard.default_password": as_it_is("http_server.password"),
    "dashboard.*": lost("there is no dashboard in this version", secret=True),
    "node.*": needless("there is one process"),
    "cluster.*": needless("there is one process"),
    "rpc.*": needless("there is one process"),
}
_MQTT = re.compile(r"(?:mqtt|zone\.external|zones\.default\.mqtt)\.([a-z0-9_]+)")


def _leaves(node: nested.Node, path: str) -> Iterator[Option]:
    """Yield each value below a node, by its dotted path; of a list each item by its number."""
    if isinstance(node, nested.Scalar):
        yield Option(path, node.text, node.where)
    elif isinstance(node, nested.Items):
        for number_, item in enumerate(node.items, start=1):
            yield from _leaves(item, f"{path}.{number_}")
    else:
        for name, below in node.parts.items():
            yield from _leaves(below, f"{path}.{name}" if path else name)


def _refuse_include(name: str, where: str, order: count[int]) -> nested.Section:
    raise ConfigError(f"{where}: include {name!r}: expected one file; import each alone")


def _lines(path: Path) -> list[Option]:
    """Return the values of a file in either form. Raises ConfigError."""
    text = read_text(path)
    if re.search(r"^\s*[\w.\"-]+\s*(?:[{\[]|[=:]\s*[{\[])", text, re.MULTILINE):
        return list(_leaves(nested.read(text, str(path), _refuse_include), ""))
    faults = Faults()
    entries = flat.read(text, str(path), faults)
    faults.check()
    return [Option(e.name, e.value.strip('"'), e.where) for e in entries.values()]


def read_emqx(path: Path) -> Draft:
    """Return what that file says, as our keys.

    Raises   ConfigError where it cannot be read
    """
    draft = Draft()
    of_listeners: list[Option] = []
    for option in _lines(path):
        of_mqtt = _MQTT.fullmatch(option.name)
        take = look_up(_OF_MQTT, of_mqtt[1]) if of_mqtt else look_up(_OF_ALL, option.name)
        if is_of_listener(option):
            of_listeners.append(option)
        elif take is not None:
            take(draft, option)
        else:
            draft.lose(option, "an option that is not known here", secret=True)
    take_listeners(draft, of_listeners)
    if "allow_anonymous" not in draft.entries and (asks := _login(draft)) is not None:
        draft.put("allow_anonymous", "false", asks)  # rather nobody than anybody
    return draft


def _login(draft: Draft) -> Option | None:
    """Return the place that says how clients log in, which is not taken."""
    found = (left for left in draft.left if left.shown.startswith("authentication"))
    first = next(found, None)
    return None if first is None else Option("authentication", "", first.where)
