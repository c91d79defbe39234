"""Lists of the nested form whose members become keys with numbers: rules of all kinds.

Source  etc/nanomq.conf and etc/nanomq_example.conf of NanoMQ 0.12 to 0.24
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from nanomq_py.config.forms.entries import Entry
from nanomq_py.config.forms.nested import Items, Node, Scalar, Section

IMPLIED = -1  # the order of what no line says: before all lines


@dataclass(frozen=True)
class Named:
    """An entry with its order; without one, the family whose entries so far do not count."""

    order: int
    entry: Entry | None
    family: str = ""


def plain(node: Node) -> object:
    """Return the node as values of JSON; a text that looks like a number stays a text."""
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return {name: plain(part) for name, part in node.parts.items()}


def webhook_events(node: Items) -> Iterator[Named]:
    for number, item in enumerate(node.items, start=1):
        parts = item.parts if isinstance(item, Section) else {}
        event = parts.get("event", parts.get("action"))
        if isinstance(event, Scalar):
            kind = event.text.removeprefix("on_").replace("_", ".", 1)
            rule = {"action": event.text}
            if isinstance(topic := parts.get("topic"), Scalar):
                rule["topic"] = topic.text
            name = f"web.hook.rule.{kind}.{number}"
            yield Named(event.order, Entry(name, json.dumps(rule), event.where))


def acl_rules(node: Items, called: str) -> Iterator[Named]:
    yield Named(node.order, None, "acl.rule")
    for number, item in enumerate(node.items, start=1):
        text = json.dumps(plain(item), ensure_ascii=False)
        entry = Entry(f"acl.rule.{number}", text, item.where, written=f"{called}[{number}]")
        yield Named(node.order, entry)
