"""The file that is shipped as ``etc/nanomq.conf``: every key with its default and its help."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from nanomq_py.config.declare.key import Applies, keys_of
from nanomq_py.config.declare.section import Sections, sections_of
from nanomq_py.config.keys.config import Config

_INTRODUCTION = """\
# nanomq.conf - key=value; a line that begins with # is a comment.
# These are the defaults. docs/configuration.md tells more; nanomq conf check FILE checks a
# file, and nanomq reload puts it in force.
"""
_FAMILIES = """
# --- More listeners, and rules of the ones above (tcp, tls, ws, wss)
#listener.local.url=nmq-ipc:///run/nanomq/mqtt.sock
#listener.tcp.max_connections=10000

# --- Users; with one, a user name that is given must be right
#auth.1.login=device
#auth.1.password=change-me

# --- Who may do what: the first rule that applies decides, acl_nomatch where none does
#acl.rule.1={"permit":"allow","username":"admin","action":"pubsub","topics":["#"]}
#acl.rule.2={"permit":"deny","action":"subscribe","topics":["#"]}

# --- Bridges (not in this version)
#bridge.mqtt.main.bridge_mode=true
#bridge.mqtt.main.address=mqtt-tcp://broker.example.com:1883
#bridge.mqtt.main.forwards=sensors/#
#bridge.mqtt.main.subscription.1.topic=commands/#
#bridge.mqtt.main.subscription.1.qos=1
"""


def _keys(prefix: str, section: type[Any]) -> Iterator[str]:
    for declared, key in keys_of(section):
        if key.heading:
            yield f"\n# --- {key.heading}"
        unit = getattr(key.kind, "unit", "")
        text = f"{key.help} In {unit}." if unit else key.help
        text += "" if key.applies is Applies.HOT else f" ({key.applies.value})"
        yield from textwrap.wrap(
            text, 92, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
        )
        mark = "#" if declared.default is None else ""
        yield f"{mark}{prefix}{key.name}={key.kind.render(declared.default)}"


def _lines(brought: Sections) -> Iterator[str]:
    yield _INTRODUCTION.rstrip()
    yield from _keys("", Config)
    for section in (*(part for _, part in sections_of(Config)), *brought):
        yield f"\n# --- {section.title}"
        yield from _keys(f"{section.prefix}.", section.kind)
    yield _FAMILIES.rstrip()


def shipped(brought: Sections = ()) -> str:
    """Return the text of the file, with the sections of parts."""
    return "\n".join(_lines(brought)) + "\n"
