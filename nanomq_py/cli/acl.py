"""``nanomq acl test``: which access rule decides what a client may do."""

from __future__ import annotations

import argparse
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from nanomq_py.cli.asking import add_asking_options, asked
from nanomq_py.cli.common import conf_file, say
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.values.texts import is_text
from nanomq_py.store.place import place_of

if TYPE_CHECKING:
    from nanomq_py.auth.named_rule import NamedRule


def add_acl_commands(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="acl_command", required=True)
    test = commands.add_parser(
        "test",
        help="print the rule that decides what a client may do; exit code 1: it is denied",
    )
    test.add_argument("--conf", type=Path, help="the nanomq.conf to read")
    test.add_argument("--client", default="", help="client identifier")
    test.add_argument("--user", help="user name; left out: it has none")
    test.add_argument("--address", type=ip_address, help="its IP address")
    test.add_argument("--action", choices=("publish", "subscribe"), required=True)
    test.add_argument("--topic", required=True, help="topic name, or topic filter")
    test.add_argument("--qos", type=int, choices=(0, 1, 2), default=0)
    test.add_argument("--retain", action="store_true", help="it publishes with RETAIN")
    add_asking_options(test)
    test.set_defaults(act=_test)


def _test(args: argparse.Namespace) -> int:
    """Print the verdict and the rule. Returns 0 where it is allowed, else 1."""
    if args.running:
        return _ask(args)
    for option in ("url", "login_file", "cacertfile"):
        if getattr(args, option) is not None:
            raise ConfigError(f"--{option.replace('_', '-')}: only with --running")
    # They begin the core, which other commands do not need.
    from nanomq_py.auth.acl import decision
    from nanomq_py.core.binding import CoreError
    from nanomq_py.core.records import Trial

    file = conf_file(args.conf, args.brought)
    config = file.reading.config
    before = _stored(place_of(config.store.path, file.path), config)
    texts = (args.topic, args.client, args.user or "")
    publishes = args.action == "publish"
    trial = Trial(
        topic=args.topic,
        client_id=args.client,
        user_name=args.user or None,
        address=args.address,
        publish=publishes,
        qos=args.qos,
        retain=args.retain,
    )
    try:
        if not all(map(is_text, texts)):
            raise ConfigError("acl test: expected texts without control characters")
        allowed, where = decision(config, trial, before)
    except CoreError:
        kind = "topic name" if publishes else "topic filter"
        raise ConfigError(f"--topic {args.topic!r}: expected a {kind}") from None
    if publishes and args.topic.split("/")[0] == "$SYS":
        allowed, where = False, "$SYS topics are the broker's"
    say(f"{'allow' if allowed else 'deny'}: {where}")
    return 0 if allowed else 1


def _ask(args: argparse.Namespace) -> int:
    """Print the verdict of the broker that runs. Returns as :func:`_test` does."""
    trial = {
        "action": args.action,
        "topic": args.topic,
        "clientid": args.client,
        "username": args.user,
        "ip_address": None if args.address is None else str(args.address),
        "qos": args.qos,
        "retain": args.retain,
    }
    config = conf_file(args.conf, args.brought).reading.config
    data = asked(args, config, "/acl/test", trial)
    match data:
        case {"result": "allow" | "deny" as result, "decided_by": str(where)}:
            say(f"{result}: {where}")
            return 0 if result == "allow" else 1
    raise ConfigError("acl test: the answer is not a broker's of this version")


def _stored(path: Path | None, config: Config) -> list[NamedRule]:
    """Return the rules of the store that count, if there is one. Raises ConfigError."""
    if path is None or not path.exists():
        return []
    from nanomq_py.auth.roster import names_count
    from nanomq_py.auth.stored_rules import rules_of_store
    from nanomq_py.store.faults import StoreError

    try:
        return rules_of_store(path, names_count=names_count(config))
    except StoreError as fault:
        raise ConfigError(str(fault)) from None
