"""Access rules of the configuration as the core's rules.

Source  NanoMQ's acl.rule.N, acl_nomatch and acl_deny_action; mosquitto's acl_file
"""

from __future__ import annotations

from collections.abc import Sequence

from nanomq_py.auth.named_rule import NamedRule
from nanomq_py.config import Config
from nanomq_py.config.keys.access import AclRule, literal
from nanomq_py.core.records import Rule, RuleTopic, Trial
from nanomq_py.core.rules import Packed, Rules

# NanoMQ's placeholders, and ours.
_PLACEHOLDERS = {"${clientid}": "%c", "${username}": "%u"}


def _topic_of(text: str) -> RuleTopic:
    for placeholder, mark in _PLACEHOLDERS.items():
        text = text.replace(placeholder, mark)
    named = literal(text)
    return RuleTopic(text) if named is None else RuleTopic(named, literal=True)


def for_whom(rule: AclRule) -> str | None:
    """Return the part of the rule that names users, or those who have no name."""
    for asked in rule.asked:
        if asked.username is not None:
            return f"username={asked.username!r}"
    for topic in rule.topics:
        if "%u" in _topic_of(topic).text:
            return f"topics: {topic!r}"
    return None


def rules_of_one(rule: AclRule) -> list[Rule]:
    """Return what the core has for it: one rule for each client that ``or`` names."""
    return [
        Rule(
            allow=rule.permit == "allow",
            publish=rule.action in ("publish", "pubsub"),
            subscribe=rule.action in ("subscribe", "pubsub"),
            client_id=asked.clientid,
            user_name=asked.username,
            network=asked.network,
            qos=frozenset(rule.qos),
            retain=rule.retain,
            topics=tuple(map(_topic_of, rule.topics)),
        )
        for asked in rule.asked
    ]


def named_rules(config: Config) -> list[NamedRule]:
    """Return all rules in their order. Reads acl_file. Raises ConfigError."""
    named = [
        NamedRule(one, rule.where or f"acl.rule.{number}")
        for number, rule in enumerate(config.acl_rules, start=1)
        for one in rules_of_one(rule)
    ]
    if config.acl_file is not None:
        from nanomq_py.auth.acl_file import read_acl_file  # few have one

        named += read_acl_file(config.acl_file)
    return named


def allows_otherwise(config: Config) -> bool:
    """Return what holds where no rule applies."""
    return config.acl_nomatch == "allow" and config.acl_file is None


def says_otherwise(config: Config) -> str:
    """Return which key says so."""
    by_file = config.acl_file is not None
    return "acl_file" if by_file else f"acl_nomatch={config.acl_nomatch}"


def compiled(
    named: Sequence[NamedRule], config: Config, before: Sequence[Packed] = ()
) -> Rules:
    """Return the rules, made ready for the core; ``before`` stands before them."""
    return Rules(
        [one.rule for one in named],
        before=before,
        asks=config.auth_http.asks_access,
        otherwise=allows_otherwise(config),
        deny_disconnects=config.acl_deny_action == "disconnect",
    )


def decision(
    config: Config, trial: Trial, before: Sequence[NamedRule] = ()
) -> tuple[bool, str]:
    """Return whether a client may do that, and which rule or key decides.

    before   rules that stand before those of the configuration
    Raises   ConfigError; CoreError where the topic is none
    """
    named = [*before, *named_rules(config)]
    number = compiled(named, config).decides(trial)
    if trial.user_name is not None and trial.user_name in config.auth.superusers:
        return True, "auth.superusers"
    if number is not None:
        return named[number].rule.allow, named[number].where
    where = says_otherwise(config)
    if config.auth_http.asks_access:
        where = f"auth.http.acl_req decides; {where} if it has no opinion"
    return allows_otherwise(config), where
