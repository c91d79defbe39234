"""Access rules as mosquitto's ``acl_file`` has them.

::

    topic read $SYS/#            clients without a user name
    user ann
    topic deny a/secret          before ann's other topics, wherever it stands
    topic readwrite a/#
    pattern write up/%c/#        everybody: %c and %u stand for client id and user name

A client's own topics come first, then the patterns; among each, those that deny come before
those that allow. What nothing allows is denied. Other than mosquitto, which takes any
subscription and leaves out what may not be read, a subscription is refused as a whole.

Source  mosquitto.conf(5), acl_file; acl_file.c of mosquitto 2.1
"""

from __future__ import annotations

from pathlib import Path

from nanomq_py.auth.named_rule import NamedRule
from nanomq_py.config.faults import ConfigError
from nanomq_py.config.keys.access import is_filter
from nanomq_py.config.reader import read_text
from nanomq_py.core.records import Rule, RuleTopic

MOST_RULES = 200_000
_ACCESS = {  # word: allows, publishing, subscribing
    "read": (True, False, True),
    "write": (True, True, False),
    "readwrite": (True, True, True),
    "deny": (False, True, True),
}
_BLANK = " \t\r\v\f"


class _Bad(Exception):
    """A line cannot be used; the argument says what was expected."""


def read_acl_file(path: str) -> list[NamedRule]:
    """Return the rules of the file, in the order in which the first that applies decides.

    Raises   ConfigError with file and line
    """
    return parse_acl(read_text(Path(path)), path)


def parse_acl(text: str, source: str) -> list[NamedRule]:
    """Return the rules that the text holds. ``source`` names it in errors.

    Raises   ConfigError with the line
    """
    # Rules that deny, and that allow: of each user; None: the patterns.
    found: dict[str | None, tuple[list[NamedRule], list[NamedRule]]] = {}
    user = ""  # nobody with a name
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.rstrip(_BLANK)
        word, _, rest = line.lstrip(" ").partition(" ")
        if not word or line.startswith("#"):
            continue
        try:
            if word == "user":
                user = _user(rest.strip(_BLANK))
                continue
            whose = None if word == "pattern" else user
            rule = _rule(word, rest.strip(" "), user)
        except _Bad as bad:  # the line is not shown: it may be of a file with secrets
            raise ConfigError(f"{source}:{number}: expected {bad}") from None
        if number > MOST_RULES:
            raise ConfigError(f"{source}: more than {MOST_RULES} lines")
        named = NamedRule(rule, f"{source}:{number}: {line.strip(_BLANK)}")
        found.setdefault(whose, ([], []))[rule.allow].append(named)
    patterns = found.pop(None, ([], []))
    return [
        named
        for denying, allowing in (*found.values(), patterns)
        for named in (*denying, *allowing)
    ]


def _user(name: str) -> str:
    if not name or not name.isprintable():
        raise _Bad("user NAME, of printable characters")
    return name


def _rule(word: str, rest: str, user: str) -> Rule:
    if word not in ("topic", "pattern"):
        raise _Bad("topic, pattern or user")
    access, _, topic = rest.partition(" ")
    topic = topic.strip(_BLANK)
    if not topic:
        access, topic = "readwrite", access
    if access not in _ACCESS:
        raise _Bad("read, write, readwrite or deny before the topic")
    if not is_filter(topic) or not topic.isprintable():
        raise _Bad("a topic filter")
    allow, publish, subscribe = _ACCESS[access]
    is_pattern = word == "pattern"
    return Rule(
        allow=allow,
        publish=publish,
        subscribe=subscribe,
        user_name=None if is_pattern else user,
        topics=(RuleTopic(topic, marks=is_pattern),),
    )
