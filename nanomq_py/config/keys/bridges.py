"""Keys of bridges to other brokers: bridge.mqtt.NAME."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.family import NUMBER, family
from nanomq_py.config.declare.key import Checked, planned
from nanomq_py.config.values.kind import Optional
from nanomq_py.config.values.numbers import Whole
from nanomq_py.config.values.texts import List, Text
from nanomq_py.config.values.urls import Url
from nanomq_py.config.values.words import Flag


@dataclass(frozen=True, kw_only=True)
class BridgeSubscription(Checked):
    topic: str = planned("topic", Text(empty=False), "", "Topic filter to subscribe to.")
    qos: int = planned("qos", Whole(0, 2), 0, "QoS to subscribe with.")


@dataclass(frozen=True, kw_only=True)
class Bridge(Checked):
    """One ``bridge.mqtt.NAME``."""

    name: str = ""
    bridge_mode: bool = planned("bridge_mode", Flag(), False, "Whether the bridge runs.")
    address: str = planned(
        "address",
        Url(("mqtt-tcp", "tls+mqtt-tcp", "mqtt-quic", "nmq-tcp", "tls+nmq-tcp")),
        "mqtt-tcp://127.0.0.1:1883",
        "The other broker.",
    )
    proto_ver: int = planned("proto_ver", Whole(3, 5), 4, "Protocol level: 3, 4 or 5.")
    clientid: str | None = planned(
        "clientid", Optional(Text()), None, "Client identifier at the other broker."
    )
    clean_start: bool = planned("clean_start", Flag(), True, "Begin with a new session.")
    username: str | None = planned(
        "username", Optional(Text()), None, "User name at the other broker."
    )
    password: str | None = planned(
        "password", Optional(Text()), None, "Password at the other broker.", secret=True
    )
    keepalive: int = planned("keepalive", Whole(0, 65535, "s"), 60, "Keep alive.")
    parallel: int = planned("parallel", Whole(1, 255), 2, "Messages handled at once.")
    forwards: tuple[str, ...] = planned(
        "forwards", List(), (), "Filters of what is forwarded."
    )
    subscription: tuple[BridgeSubscription, ...] = family(
        "subscription",
        BridgeSubscription,
        NUMBER,
        title="Subscriptions of a bridge",
        help="What it receives from the other broker.",
        is_list=True,
        required=("topic",),
    )
