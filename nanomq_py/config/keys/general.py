"""Keys that NanoMQ writes without a section: url, the process, what a client may do."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Applies, Checked, key
from nanomq_py.config.values.kind import Optional
from nanomq_py.config.values.numbers import Thousandths, Whole
from nanomq_py.config.values.texts import Text
from nanomq_py.config.values.urls import Url
from nanomq_py.config.values.words import Choice, Flag

MOST_PACKET_BYTES = 268_435_460  # that a packet can have


def _packet_bytes(kib: int) -> int:
    return min(kib * 1024, MOST_PACKET_BYTES)


@dataclass(frozen=True, kw_only=True)
class General(Checked):
    url: str | None = key(
        "url",
        Optional(Url(("nmq-tcp",))),
        "nmq-tcp://0.0.0.0:1883",
        "Where to listen for MQTT over TCP; empty: nowhere.",
        heading="MQTT over TCP",
    )
    daemon: bool = key(
        "daemon",
        Flag(),
        False,
        "Run in the background, once it serves; a start that fails is told on the terminal.",
        applies=Applies.RESTART,
        heading="The process",
    )
    user: str | None = key(
        "user",
        Optional(Text(empty=False)),
        None,
        "Own key: started by root, the broker becomes this user once it has opened what only"
        " root can. Default: it stays who started it.",
        applies=Applies.RESTART,
    )
    num_taskq_thread: int = key(
        "num_taskq_thread",
        Whole(0, 256),
        4,
        "Threads that move messages (and as many of nng for TLS); 0: one for each processor.",
        applies=Applies.RESTART,
    )
    max_taskq_thread: int = key(
        "max_taskq_thread",
        Whole(0, 256),
        4,
        "Most task threads; 0: no bound.",
        applies=Applies.RESTART,
    )
    parallel: int = key(
        "parallel",
        Whole(0, 65535),
        32,
        "NanoMQ's number of work contexts; kept for its API, this core needs none.",
        applies=Applies.NEVER,
    )
    property_size: int = key(
        "property_size",
        Whole(0, 65535),
        0,
        "Most user properties in a packet; 0: no bound but the packet's. Clients cannot be"
        " told of it, and one that sends more is disconnected.",
        heading="What a client may do",
        core="user_properties_max",
    )
    msq_len: int | None = key(
        "msq_len",
        Optional(Whole(1, 65535)),
        None,
        "Messages in flight to a client, and in its queue. Default: 1024 in flight, and 10000"
        " that wait.",
    )
    qos_duration: int = key(
        "qos_duration",
        Whole(0, 1_000_000, "s"),
        60,
        "Time after which unanswered QoS 1 and 2 messages go out again, before MQTT 5.0;"
        " 0: only when the client connects again.",
        core="retry_interval_s",
    )
    allow_anonymous: bool = key(
        "allow_anonymous",
        Flag(),
        True,
        "Let clients in that give no user name, or an empty one.",
    )
    max_packet_size: int = key(
        "max_packet_size",
        Whole(1, 266240, "KiB"),
        10240,
        "Largest packet from a client.",
        core="packet_max_bytes",
        to_core=_packet_bytes,
    )
    client_max_packet_size: int = key(
        "client_max_packet_size",
        Whole(1, 266240, "KiB"),
        10240,
        "Largest packet to a client.",
        core="send_packet_max_bytes",
        to_core=_packet_bytes,
    )
    keepalive_backoff: int = key(
        "keepalive_backoff",
        Thousandths(1000, 100_000),
        1250,
        "Of its keep alive, how long a client may be silent. Below 1500 it counts as 1500, the"
        " one and a half times that the specification grants.",
        core="keep_alive_permille",
    )
    acl_nomatch: str = key(
        "acl_nomatch",
        Choice(("allow", "deny")),
        "allow",
        "What applies when no rule does.",
        heading="Where no access rule applies, or one denies",
    )
    acl_deny_action: str = key(
        "acl_deny_action",
        Choice(("ignore", "disconnect")),
        "ignore",
        "What follows a denied publish or subscribe.",
    )
    acl_file: str | None = key(
        "acl_file",
        Optional(Text(empty=False)),
        None,
        "Own key: a file of access rules as mosquitto's acl_file has them. They come after"
        " acl.rule.N, and what none of all allows is denied then, whatever acl_nomatch says.",
    )
