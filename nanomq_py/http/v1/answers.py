"""What the requests of V1 are answered with, as types: the OpenAPI document is made of them.

Handlers make dictionaries; only type checkers and that document load this module.

Source  nanomq-http-api-v1.txt; http-dialects.md for req 13
"""

from __future__ import annotations

from typing import TypedDict


class Brokers(TypedDict):
    """req 2"""

    client_size: int
    message_in: int
    message_out: int
    message_drop: int


class Subscribed(TypedDict):
    topic: str
    qos: int


class Subscriber(TypedDict):
    """req 4: a client with its subscriptions."""

    client_id: str
    subscriptions: list[Subscribed]


class ClientRow(TypedDict):
    """req 5"""

    client_id: str
    username: str
    keepalive: int
    protocol: int
    connect_status: int
    message_receive: int


class Changed(TypedDict):
    """req 10, ``reload``: names of keys."""

    applied: list[str]
    restart: list[str]
    unused: list[str]


class Saved(Changed):
    """req 12; ``saved``: the file has it too."""

    saved: bool


class TopicLevel(TypedDict):
    """req 13: a level of a Topic Filter, and who subscribes to what ends there."""

    topic: str
    cld_cnt: int
    client_id: list[str]
