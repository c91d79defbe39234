"""Turns flat names of older versions of NanoMQ into those of keys; and names without meaning.

Source  etc/nanomq.conf of NanoMQ 0.3 to 0.24
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from nanomq_py.config.declare.walk import all_keys
from nanomq_py.config.faults import ConfigError, Faults
from nanomq_py.config.forms.entries import Entry
from nanomq_py.config.keys.bridges import Bridge
from nanomq_py.config.nanomq import missing
from nanomq_py.config.nanomq.missing import OFF, ON, belongs_to_missing, is_on

# The name of the bridge of NanoMQ 0.5, which had only one, without a name.
_ONLY_BRIDGE = "main"
# A flat name -> its name today. The first match counts.
_RENAMED = [
    (re.compile(pattern), name)
    for pattern, name in [
        (r"tls\.(key|cert|cacert)", r"tls.\1file"),
        (r"tls\.keypass", "tls.key_password"),
        (r"http_server\.ip_addr", "http_server.host"),
        (
            rf"bridge\.mqtt\.({'|'.join(at.pattern for at, _ in all_keys(Bridge))})",
            rf"bridge.mqtt.{_ONLY_BRIDGE}.\1",
        ),
        (r"web\.hook\.tls\.(cacertfile|certfile|keyfile)", r"web.hook.ssl.\1"),
        (r"rule\.event\.publish\.(\d{1,9})\.sql", r"plugins.rules.rule.\1.sql"),
        (r"rule\.sqlite\.path", "plugins.rules.sqlite_path"),
        (r"rule\.sqlite\.(\d{1,9})\.table", r"plugins.rules.rule.\1.table"),
        (r"rule\.repub\.(\d{1,9})\.(topic|address)", r"plugins.rules.rule.\1.\2"),
        (r"rule_engine_option", "rule_option.engine"),
        (r"rule_engine(?:_option)?\.(.+)", r"rule.\1"),
        (
            r"bridge\.mqtt\.([^.]+)\.subscription\.(\d+)\.remote_topic",
            r"bridge.mqtt.\1.subscription.\2.topic",
        ),
        (r"bridge\.mqtt\.([^.]+)\.forwards\.(\d+)\.(.+)", r"bridge.mqtt.\1.forward.\2.\3"),
        (
            r"bridge\.mqtt\.([^.]+)\.tls\.((?:cacert|cert|key)file|key_password)",
            r"bridge.mqtt.\1.ssl.\2",
        ),
    ]
]
# Names that mean nothing here; no client can notice that.
_MEANINGLESS = re.compile(
    r"max_inflight_window|max_awaiting_rel|await_rel_timeout|log_dropped_messages"
    r"|(?:hook|cmd|exchange)_ipc_url|enable_ipc_internal"
    r"|http_server\.(?:limit_conn|parallel)"
    r"|(?:auth|authorization)\.cache\..+|enable_acl_cache|acl_cache_\w+"
    r"|auth\.http\.(?:auth|super|acl)_req\.(?:tls|ssl)\..+"
    r"|web\.hook\.(?:(?:tls|ssl)\.(?:enable|key_password|verify|server_name_indication)"
    r"|enable_pipelining)"
    r"|bridge\.mqtt\.[^.]+\.(?:(?:connect\.properties|subscription\.properties|connector"
    r"|sub_properties|will\.properties|tcp)\..+|conn_propert(?:y|ies)\.[a-z_]+(?:\..+)?"
    r"|(?:ssl|tls)\.(?:enable|verify|fail_if_no_peer_cert)|quic_.+|q[a-z]+_(?:timeout|ms)"
    r"|(?:forward|subscription)\.\d+\.(?:retain_as_published|retain_handling|stream_id)"
    r"|max_recv_queue_len|resend_.+|cancel_timeout|password_encrypted|retry_qos_0"
    r"|congestion_control|multi_stream|host|port)"
)
# A switch -> the names that do not count where it is off.
_SWITCHED_OFF = {
    "acl_enable": re.compile(r"acl\.rule\..+|acl_nomatch|acl_file"),
    "auth_enable": re.compile(r"auth\.\d+\..+|allow_anonymous"),
    "rule_option": re.compile(r"rule_option\..+|plugins\.rules\.rule\..+"),
    "rule_option.sqlite": re.compile(r"plugins\.rules\.rule\.\d+\.table"),
    "rule_option.repub": re.compile(r"plugins\.rules\.rule\.\d+\.(?:topic|address)"),
}


def name_of(name: str) -> str:
    """Return today's name of a flat name.

    >>> name_of("tls.keypass"), name_of("msq_len")
    ('tls.key_password', 'msq_len')
    """
    for pattern, now in _RENAMED:
        if (found := pattern.fullmatch(name)) is not None:
            return found.expand(now)
    return name


def is_known(name: str) -> bool:
    """Return whether NanoMQ has the name. Where it is no key it is ignored."""
    return _MEANINGLESS.fullmatch(name) is not None or belongs_to_missing(name)


def is_any_switch(name: str) -> bool:
    """Return whether the name is a switch: its value is read, though it is no key."""
    return name in _SWITCHED_OFF or missing.is_feature_switch(name)


def renamed(given: Mapping[str, Entry], faults: Faults, *, once: bool) -> dict[str, Entry]:
    """Return the entries by today's names.

    once  two names for one key are a fault; otherwise the later one counts
    """
    made: dict[str, Entry] = {}
    for entry in given.values():
        name = name_of(entry.name)
        if name != entry.name:
            entry = replace(entry, name=name, written=entry.called)
        if once and name in made:
            faults.add(
                ConfigError(
                    f"{entry.where}: {entry.called}: given before, as"
                    f" {made[name].called} at {made[name].where}"
                )
            )
        made[name] = entry
    return made


def in_force(entries: Mapping[str, Entry], faults: Faults) -> dict[str, Entry]:
    """Return the entries without those that a switch of NanoMQ turns off."""
    left = dict(entries)
    for switch, pattern in _SWITCHED_OFF.items():
        entry = left.get(switch)
        if entry is None:
            continue
        if entry.value.lower() not in ON | OFF:
            faults.add(entry.error("true or false"))
        elif not is_on(entry.value):
            left = {n: e for n, e in left.items() if not pattern.fullmatch(n)}
    return left
