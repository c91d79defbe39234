"""Access rules of the configuration (``acl.rule.N``) as the core's rules.

Source  NanoMQ's acl.rule.N, acl_nomatch and acl_deny_action
"""

from __future__ import annotations

from nanomq_py.config import Config
from nanomq_py.config.keys.access import AclRule
from nanomq_py.config.values.networks import network
from nanomq_py.core.records import Rule
from nanomq_py.core.rules import Rules

ANYONE = "#"  # what NanoMQ writes for any user name or client identifier


def for_whom(rule: AclRule) -> str | None:
    """Return the part of the rule that names users."""
    if rule.username not in (None, ANYONE):
        return f"username={rule.username!r}"
    for topic in rule.topics:
        if "%u" in topic.split("/"):
            return f"topics: {topic!r}"
    return None


def rule_of(rule: AclRule) -> Rule:
    """Return the core's rule. The configuration has checked its parts."""
    return Rule(
        allow=rule.permit == "allow",
        publish=rule.action in ("publish", "pubsub"),
        subscribe=rule.action in ("subscribe", "pubsub"),
        client_id=None if rule.clientid == ANYONE else rule.clientid,
        user_name=None if rule.username == ANYONE else rule.username,
        network=None if rule.ipaddr is None else network(rule.ipaddr),
        topics=rule.topics,
    )


def rules_of(config: Config) -> Rules:
    """Return the access rules, made ready for the core."""
    return Rules(
        [rule_of(rule) for rule in config.acl_rules],
        asks=config.auth_http.asks_access,
        otherwise=config.acl_nomatch == "allow",
        deny_disconnects=config.acl_deny_action == "disconnect",
    )
