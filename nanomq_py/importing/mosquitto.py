"""Makes our configuration of a ``mosquitto.conf``.

Source  mosquitto.conf(5) of mosquitto 2.0 and 2.1
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from nanomq_py.config.values.numbers import U32
from nanomq_py.importing.draft import Draft, Option
from nanomq_py.importing.mosquitto_bridges import is_of_bridge, take_bridges
from nanomq_py.importing.mosquitto_lines import lines_of
from nanomq_py.importing.mosquitto_listeners import OF_LISTENERS, take_listeners
from nanomq_py.importing.options import (
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

_NO_DISK = "nothing is kept on disk in this version: messages end with the process"
_NO_PLUGIN = "a plugin of mosquitto cannot run here"
_BOOL = {"true": "true", "false": "false"}


def _expiry(draft: Draft, option: Option) -> None:
    """Take a time such as 14d; m is a month here."""
    months = re.fullmatch(r"(\d{1,9})m", option.value)
    text = seconds_of(f"{int(months[1]) * 30}d" if months else option.value)
    if text is None:
        draft.lose(
            option, "expected a number and h, d, w, m or y; sessions are kept for ever"
        )
    else:
        draft.put("max_session_expiry", str(min(int(text), U32)), option)


_OUR_LEVELS = {
    "all": "debug",
    "debug": "debug",
    "information": "info",
    "notice": "info",
    "subscribe": "info",
    "unsubscribe": "info",
    "websockets": "info",
    "warning": "warn",
    "error": "error",
    "none": "fatal",
}
_LOUDEST = ("debug", "info", "warn", "error", "fatal")


def _log_type(draft: Draft, option: Option) -> None:
    """Log at the least of the levels that are named."""
    level = _OUR_LEVELS.get(option.value)
    if level is None:
        draft.lose(option, "there is no such level here")
        return
    before = draft.entries.get("log.level")
    if before is None or _LOUDEST.index(level) < _LOUDEST.index(before.value):
        draft.put("log.level", level, option)


def _log_dest(draft: Draft, option: Option) -> None:
    kind, _, path = option.value.partition(" ")
    before = draft.entries.get("log.to")
    to = [] if before is None else before.value.split(",")
    if kind == "file":
        file = Path(path.strip())
        draft.put("log.dir", str(file.parent), option)
        draft.put("log.file", file.name, option)
    elif kind not in ("stdout", "stderr", "syslog"):
        draft.lose(option, "expected file, stdout, stderr or syslog here")
        return
    to.append({"stdout": "console", "stderr": "console"}.get(kind, kind))
    draft.put("log.to", ",".join(dict.fromkeys(to)), option)


def _one_file(key: str) -> Take:
    """Take a file; listeners that have several cannot."""

    def take(draft: Draft, option: Option) -> None:
        before = draft.entries.get(key)
        if before is None or before.value == option.value:
            draft.put(key, option.value, option)
        else:
            draft.lose(option, f"all listeners share one file: {key}")

    return take


_OF_ALL: Mapping[str, Take] = {
    # --- who may come in
    "allow_zero_length_clientid": as_it_is("allow_empty_clientid"),
    "auto_id_prefix": lost("client identifiers that the broker assigns have no prefix"),
    "clientid_prefixes": lost("every client identifier may come"),
    "check_retain_source": unless(
        "true",
        lost("a retained message is not sent once its publisher may not publish it"),
    ),
    "plugin": lost(_NO_PLUGIN),
    "auth_plugin": lost(_NO_PLUGIN),
    "global_plugin": lost(_NO_PLUGIN),
    "plugin_*": lost(_NO_PLUGIN, secret=True),
    "auth_*": lost(_NO_PLUGIN, secret=True),
    "password_file": _one_file("auth.password_file"),
    "acl_file": _one_file("acl_file"),
    # --- bounds
    "max_inflight_messages": unless("0", number("receive_maximum")),
    "max_inflight_bytes": unless("0", lost("messages in flight have a bound by number")),
    "max_keepalive": as_it_is("max_keepalive"),
    "max_packet_size": number("max_packet_size", instead={"0": "266240"}, divided_by=1024),
    "message_size_limit": unless(
        "0", lost("max_packet_size bounds the whole packet, not its payload")
    ),
    "max_queued_bytes": number("max_queue_size"),
    "max_queued_messages": number("msq_len", instead={"0": "65535"}),
    "memory_limit": number("max_memory"),
    "global_max_connections": number("max_connections", instead={"-1": "0"}),
    "global_max_clients": number("max_sessions", instead={"-1": "0"}),
    "persistent_client_expiration": _expiry,
    "queue_qos0_messages": unless(
        "false", lost("messages of QoS 0 are not kept for a client that is away")
    ),
    "upgrade_outgoing_qos": unless(
        "false", lost("a message never has a higher QoS than it was published with")
    ),
    "retain_available": word("retain_available", _BOOL, "expected true or false"),
    # --- the process
    "daemon": as_it_is("daemon"),
    "pid_file": as_it_is("pid_file"),
    "sys_interval": as_it_is("sys_interval"),
    "user": lost("the broker stays the user that starts it"),
    "log_type": _log_type,
    "log_dest": _log_dest,
    "log_facility": lost("syslog gets the facility daemon"),
    "log_timestamp": unless("true", lost("lines in files always have a time")),
    "log_timestamp_format": lost("times are written as ISO 8601"),
    "connection_messages": lost("log.level says what is logged"),
    "websockets_log_level": lost("log.level says what is logged"),
    # --- the disk
    "persistence": unless("false", lost(_NO_DISK)),
    "persistence_*": lost(_NO_DISK),
    "retained_persistence": unless("false", lost(_NO_DISK)),
    "autosave_*": needless("nothing is saved at intervals"),
    # --- without a meaning here
    "allow_duplicate_messages": needless(
        "a client gets a message once for each subscription that matches, as MQTT says"
    ),
    "set_tcp_nodelay": needless("it is always set"),
    "retry_interval": needless("mosquitto does not use it either"),
    "per_listener_settings": needless("each listener has its own settings"),
    "auth_plugin_deny_special_chars": needless("there are no plugins of mosquitto"),
}


def read_mosquitto(path: Path) -> Draft:
    """Return what that file says, as our keys.

    Raises   ConfigError where it cannot be read
    """
    draft = Draft()
    of_listeners: list[Option] = []
    of_bridges: list[Option] = []
    lines = lines_of(path)
    for option in lines:
        if option.name in OF_LISTENERS:
            of_listeners.append(option)
        elif is_of_bridge(option):
            of_bridges.append(option)
        elif (take := look_up(_OF_ALL, option.name)) is not None:
            take(draft, option)
        else:
            draft.lose(option, "an option that is not known here", secret=True)
    alone = any(s.name == "per_listener_settings" and s.value == "true" for s in lines)
    take_listeners(draft, of_listeners, path, each_for_itself=alone)
    take_bridges(draft, of_bridges)
    return draft
