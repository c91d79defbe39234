"""Keys of bridges to other brokers: bridge.mqtt.NAME.

Source  etc/nanomq_old.conf and etc/nanomq_example.conf of NanoMQ 0.5 to 0.24
"""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.family import NUMBER, family
from nanomq_py.config.declare.key import Checked, key, planned
from nanomq_py.config.keys.access import is_filter
from nanomq_py.config.values.kind import BadValue, Listed, Optional, Verbatim
from nanomq_py.config.values.numbers import U32, Duration, Size, Whole
from nanomq_py.config.values.texts import List, Text, is_text
from nanomq_py.config.values.urls import Url, Urls
from nanomq_py.config.values.words import Choice, Flag

_SCHEMES = (
    *("mqtt-tcp", "tls+mqtt-tcp", "mqtt-quic", "nmq-tcp", "tls+nmq-tcp"),
    *("nmq-ws", "nmq-wss", "nmq-ipc"),
)
KEEP_RETAIN = 2


def _is_plain(text: str) -> bool:
    return is_text(text) and is_filter(text) and not text.startswith("$share/")


@dataclass(frozen=True)
class Filter(Verbatim):
    """A Topic Filter; ``empty``: or nothing."""

    empty: bool = False

    @property
    def expected(self) -> str:
        return "a topic filter without $share" + (", or nothing" if self.empty else "")

    def parse(self, text: str) -> str:
        if not _is_plain(text) and (text or not self.empty):
            raise BadValue
        return text


@dataclass(frozen=True)
class FilterList(Listed):
    expected: str = "topic filters without $share, with commas between"

    def parse(self, text: str) -> tuple[str, ...]:
        given = List().parse(text)
        if not all(map(_is_plain, given)):
            raise BadValue
        return given


@dataclass(frozen=True)
class TopicPart(Verbatim):
    """What is put before or behind a topic."""

    expected: str = "a part of a topic, without + and #, or nothing"

    def parse(self, text: str) -> str:
        if not is_text(text) or set(text) & set("+#"):
            raise BadValue
        return text


_RETAIN = "RETAIN of what crosses: 0: cleared, 1: set, 2: as it is."


@dataclass(frozen=True, kw_only=True)
class BridgeForward(Checked):
    """What goes to the other broker under another topic, or with another QoS."""

    local_topic: str = key(
        "local_topic", Filter(), "", "Topic filter of what is forwarded."
    )
    remote_topic: str = key(
        "remote_topic",
        Filter(empty=True),
        "",
        "The topic there; nothing: as it is here. With wildcards, which have to be those at"
        " the end of local_topic, only what is before them changes.",
    )
    qos: int | None = key(
        "qos", Optional(Whole(0, 2)), None, "QoS at most; nothing: as published."
    )
    retain: int = key("retain", Whole(0, 2), KEEP_RETAIN, _RETAIN)
    prefix: str = key("prefix", TopicPart(), "", "Put before the topic there.")
    suffix: str = key(
        "suffix", TopicPart(), "", "Put behind it, where the topic there is one topic."
    )


@dataclass(frozen=True, kw_only=True)
class BridgeSubscription(Checked):
    topic: str = key(
        "topic", Filter(), "", "Topic filter to subscribe to; NanoMQ's remote_topic."
    )
    qos: int = key("qos", Whole(0, 2), 0, "QoS to subscribe with.")
    local_topic: str = key(
        "local_topic",
        Filter(empty=True),
        "",
        "The topic here; nothing: as it is there. Wildcards as in forward.N.remote_topic.",
    )
    retain: int = key("retain", Whole(0, 2), KEEP_RETAIN, _RETAIN)
    prefix: str = key("prefix", TopicPart(), "", "Put before the topic here.")
    suffix: str = key(
        "suffix", TopicPart(), "", "Put behind it, where the topic here is one topic."
    )


@dataclass(frozen=True, kw_only=True)
class Bridge(Checked):
    """One ``bridge.mqtt.NAME``."""

    name: str = ""
    bridge_mode: bool = key("bridge_mode", Flag(), False, "Whether the bridge runs.")
    paused: bool = key(
        "paused",
        Flag(),
        False,
        "Own key: it does not connect, and keeps what is to cross, within its bounds.",
    )
    address: str = key(
        "address", Url(_SCHEMES), "mqtt-tcp://127.0.0.1:1883", "The other broker."
    )
    hybrid_servers: tuple[str, ...] = key(
        "hybrid_servers",
        Urls(_SCHEMES),
        (),
        "More addresses of it: the next one is tried where one is away.",
    )
    hybrid_bridging: bool = key(
        "hybrid_bridging", Flag(), True, "Whether hybrid_servers are used."
    )
    failback: int = key(
        "failback",
        Duration(0, 86_400_000),
        60_000,
        "Own key: while another address is used, how often the first one is tried; 0: never.",
    )
    proto_ver: int = key("proto_ver", Whole(3, 5), 4, "Protocol level: 3, 4 or 5.")
    try_private: bool = key(
        "try_private",
        Flag(),
        True,
        "Own key: before MQTT 5.0, tell the other broker that a bridge connects, so that it"
        " sends nothing back; if it refuses that, connect without.",
    )
    clientid: str | None = key(
        "clientid",
        Optional(Text()),
        None,
        "Client identifier at the other broker; nothing: the name of this node and NAME.",
    )
    clean_start: bool = key("clean_start", Flag(), True, "Begin with a new session.")
    session_expiry: int | None = key(
        "conn_properties.session_expiry_interval",
        Optional(Whole(0, U32, "s")),
        None,
        "How long the other broker keeps the session, with MQTT 5.0; nothing: for ever with"
        " clean_start=false, else not at all.",
    )
    username: str | None = key(
        "username", Optional(Text()), None, "User name at the other broker."
    )
    password: str | None = key(
        "password", Optional(Text()), None, "Password at the other broker.", secret=True
    )
    keepalive: int = key("keepalive", Whole(0, 65535, "s"), 60, "Keep alive.")
    connect_timeout: int = key(
        "connect_timeout",
        Duration(100, 600_000),
        10_000,
        "Own key: longest wait to connect to one address, and then for CONNACK.",
    )
    backoff_min: int = key(
        "backoff_min",
        Duration(10, 3_600_000),
        1000,
        "Own key: wait after all addresses have failed; each time twice as long, and less by"
        " up to a half, by chance.",
    )
    backoff_max: int = key(
        "backoff_max", Duration(10, 3_600_000), 60_000, "The longest of these waits."
    )
    parallel: int = planned("parallel", Whole(1, 255), 2, "Messages handled at once.")
    max_inflight: int = key(
        "max_inflight",
        Whole(1, 65535),
        1024,
        "Own key: messages that the other broker has not acknowledged, at most.",
    )
    max_send_queue_len: int = key(
        "max_send_queue_len",
        Whole(1, 10_000_000),
        1_000_000,
        "Messages that wait, at most.",
    )
    max_send_queue_size: int = key(
        "max_send_queue_size",
        Size(0, 1 << 40),
        64 << 20,
        "Own key: bytes that wait, at most; 0: no bound.",
    )
    max_send_queue_age: int = key(
        "max_send_queue_age",
        Whole(0, U32, "s"),
        0,
        "Own key: what has waited longer is not sent; 0: whatever its age.",
    )
    when_full: str = key(
        "when_full",
        Choice(("oldest", "newest")),
        "oldest",
        "Own key: which message goes where there is no room for one more.",
    )
    cacertfile: str | None = key(
        "ssl.cacertfile",
        Optional(Text()),
        None,
        "PEM file of the CAs of the other broker; none: the system's.",
    )
    certfile: str | None = key(
        "ssl.certfile", Optional(Text()), None, "PEM file of the chain shown to it."
    )
    keyfile: str | None = key(
        "ssl.keyfile", Optional(Text()), None, "PEM file of its key.", private_file=True
    )
    key_password: str | None = key(
        "ssl.key_password", Optional(Text()), None, "Password of that key.", secret=True
    )
    verify_peer: bool = key(
        "ssl.verify_peer",
        Flag(),
        True,
        "Own key: false: anybody may pretend to be the other broker.",
    )
    server_name: str | None = key(
        "ssl.server_name",
        Optional(Text(empty=False)),
        None,
        "Own key: the name in its certificate; nothing: the host of the address.",
    )
    will_topic: str | None = key(
        "will.topic", Optional(TopicPart()), None, "Topic of the will; nothing: no will."
    )
    will_payload: str = key("will.payload", Text(), "", "Payload of the will.")
    will_qos: int = key("will.qos", Whole(0, 2), 0, "QoS of the will.")
    will_retain: bool = key("will.retain", Flag(), False, "RETAIN of the will.")
    forwards: tuple[str, ...] = key(
        "forwards",
        FilterList(),
        (),
        "Filters of what is forwarded as it is. In the nested form a list may have members"
        " with local_topic, remote_topic and so on, too: those of forward.N.",
    )
    forward: tuple[BridgeForward, ...] = family(
        "forward",
        BridgeForward,
        NUMBER,
        title="Forwards of a bridge",
        help="What it sends to the other broker under another topic or with another QoS. Of"
        " several that match the first one counts, after those of forwards.",
        is_sparse=True,
        is_list=True,
        required=("local_topic",),
    )
    subscription: tuple[BridgeSubscription, ...] = family(
        "subscription",
        BridgeSubscription,
        NUMBER,
        title="Subscriptions of a bridge",
        help="What it receives from the other broker.",
        is_sparse=True,
        is_list=True,
        required=("topic",),
    )

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the other broker may be, the preferred one first."""
        more = self.hybrid_servers if self.hybrid_bridging else ()
        return tuple(dict.fromkeys((self.address, *more)))

    def client_id(self, node: str) -> str:
        """Return what it is called at the other broker, by the name of this node.

        It is the same after each start: the other broker keeps a session for it.
        """
        return self.clientid or f"{node}-{self.name}"
