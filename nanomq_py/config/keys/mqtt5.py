"""Keys of what CONNACK tells MQTT 5.0 clients. NanoMQ has none of them."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.values.kind import Optional
from nanomq_py.config.values.numbers import Whole
from nanomq_py.config.values.texts import Text
from nanomq_py.config.values.words import Flag


@dataclass(frozen=True, kw_only=True)
class Mqtt5(Checked):
    max_topic_alias: int = key(
        "max_topic_alias",
        Whole(0, 65535),
        32,
        "Own key: topic aliases that an MQTT 5.0 client may set; 0: none.",
        heading="MQTT 5.0: told to clients in CONNACK, and enforced",
        core="topic_alias_max",
    )
    max_outgoing_topic_alias: int = key(
        "max_outgoing_topic_alias",
        Whole(0, 65535),
        32,
        "Own key: topic aliases that the broker sets for an MQTT 5.0 client that takes some;"
        " 0: none.",
        core="send_topic_alias_max",
    )
    receive_maximum: int = key(
        "receive_maximum",
        Whole(1, 65535),
        256,
        "Own key: messages of QoS 1 and 2 that an MQTT 5.0 client may have under way to the"
        " broker.",
        core="receive_maximum",
    )
    server_keepalive: int = key(
        "server_keepalive",
        Whole(0, 65535, "s"),
        0,
        "Own key: the same as max_keepalive, under the specification's name; of both the"
        " smaller counts.",
    )
    max_qos_allowed: int = key(
        "max_qos_allowed",
        Whole(0, 2),
        2,
        "Own key: highest QoS that clients may publish with, and that they are granted.",
        core="qos_max",
    )
    retain_available: bool = key(
        "retain_available",
        Flag(),
        True,
        "Own key: keep retained messages.",
        core="retain_available",
    )
    wildcard_subscription: bool = key(
        "wildcard_subscription",
        Flag(),
        True,
        "Own key: allow + and # in subscriptions.",
        core="wildcards_available",
    )
    shared_subscription: bool = key(
        "shared_subscription",
        Flag(),
        True,
        "Own key: allow $share subscriptions.",
        core="shared_available",
    )
    subscription_identifier: bool = key(
        "subscription_identifier",
        Flag(),
        True,
        "Own key: allow subscription identifiers.",
        core="subscription_ids_available",
    )
    strict_clientid: bool = key(
        "strict_clientid",
        Flag(),
        False,
        "Own key: allow only client identifiers of 1 to 23 letters and digits.",
        core="strict_client_ids",
    )
    allow_empty_clientid: bool = key(
        "allow_empty_clientid",
        Flag(),
        True,
        "Own key: assign a client identifier to clients that have none.",
        core="empty_client_ids",
    )
    response_information: str | None = key(
        "response_information",
        Optional(Text()),
        None,
        "Own key: told to MQTT 5.0 clients that ask for response information; by custom the"
        " topic below which they listen for responses.",
        core="response_information",
    )
