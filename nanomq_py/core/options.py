"""A configuration as what the core takes."""

from __future__ import annotations

import logging
import os

from nanomq_py.config import Config
from nanomq_py.config.declare.key import keys_of
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
    """Return the core's options: most are named by a key, the others are worked out here."""
    named = {
        key.core: key.to_core(getattr(config, declared.name))
        for declared, key in keys_of(Config)
        if key.core
    }
    return CoreOptions(
        **named,
        window=config.msq_len or WINDOW,
        queue_max=config.msq_len or QUEUE,
        memory_max_bytes=config.max_memory or memory_share(),
        keep_alive_max_s=keep_alive_max_s(config),
        log_level=LEVELS[config.log.level],
        user_names_secret=config.auth_jwt.enable
        and config.auth_jwt.taken_from == "username",
    )
