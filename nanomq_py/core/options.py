"""A configuration as what the core takes."""

from __future__ import annotations

import logging
import os

from nanomq_py.config import Config
from nanomq_py.core.memory import memory_share
from nanomq_py.core.records import CoreOptions

# Without msq_len, which is NanoMQ's one key for both.
WINDOW = 1024  # messages in flight to a client
QUEUE = 10_000  # messages that wait for it

LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}


def task_threads(config: Config) -> int:
    """Return how many task threads nng shall have, 2 to 256."""
    wanted = config.num_taskq_thread or os.cpu_count() or 2
    if config.max_taskq_thread:
        wanted = min(wanted, config.max_taskq_thread)
    return max(2, wanted)


def keep_alive_max_s(config: Config) -> int:
    """Return the longest keep alive of a 5.0 client; 0: any."""
    return min(filter(None, (config.max_keepalive, config.server_keepalive)), default=0)


def core_options(config: Config) -> CoreOptions:
    """Return what the core needs of a configuration."""
    return CoreOptions(
        window=config.msq_len or WINDOW,
        queue_max=config.msq_len or QUEUE,
        queue_max_bytes=config.max_queue_size,
        subscriptions_max=config.max_subscriptions,
        message_rate=config.max_message_rate,
        byte_rate=config.max_byte_rate,
        connections_max=config.max_connections,
        address_connections_max=config.max_connections_per_address,
        memory_max_bytes=config.max_memory or memory_share(),
        sessions_max=config.max_sessions,
        retained_max=config.max_retained_messages,
        retained_max_bytes=config.max_retained_bytes,
        client_id_max_bytes=config.max_clientid_length,
        connect_max_bytes=config.max_connect_size,
        keep_alive_max_s=keep_alive_max_s(config),
        groups_max=config.max_groups_per_client,
        filters_max=config.max_filters_per_packet,
        packet_max_bytes=min(config.max_packet_size * 1024, 268_435_460),
        send_packet_max_bytes=min(config.client_max_packet_size * 1024, 268_435_460),
        user_properties_max=config.property_size,
        topic_levels_max=config.max_topic_levels,
        topic_alias_max=config.max_topic_alias,
        send_topic_alias_max=config.max_outgoing_topic_alias,
        receive_maximum=config.receive_maximum,
        qos_max=config.max_qos_allowed,
        retain_available=config.retain_available,
        wildcards_available=config.wildcard_subscription,
        shared_available=config.shared_subscription,
        subscription_ids_available=config.subscription_identifier,
        strict_client_ids=config.strict_clientid,
        empty_client_ids=config.allow_empty_clientid,
        response_information=config.response_information,
        outbox_max_bytes=config.max_outgoing_size,
        hold_ms=config.slow_consumer_time,
        connect_timeout_ms=config.connect_timeout,
        keep_alive_permille=config.keepalive_backoff,
        retry_interval_s=config.qos_duration,
        expiry_max_s=config.max_session_expiry,
        log_level=LEVELS[config.log.level],
    )
