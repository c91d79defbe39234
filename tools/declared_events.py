"""The classes that Python has for the events of ``csrc/events.def``."""

from __future__ import annotations

from tools.declared import Line, Tables, comment

HEAD = '''\
"""What csrc/events.def declares, for Python. Written by build_ext.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from nanomq_py.core.message import Identity, Message

__all__ = [
%s]


class Why(Enum):
    """By whom, by what, or for which reason."""

%s

@dataclass(frozen=True, slots=True)
class Event:
    """What has happened."""

    time: float  # Unix time, seconds
'''
FIELD_TYPES = {
    "client": "Identity",
    "client?": "Identity | None",
    "message": "Message",
    "text": "str",
    "why": "Why",
    "int": "int",
    "bool": "bool",
}


def _fields(event: Line) -> list[tuple[str, str]]:
    """Return name and kind of each field of an event."""
    found = []
    for field in event["fields"].split():
        name, _, kind = field.partition(":")
        found.append((name.rstrip("?"), kind or name))
    return found


def _class_name(event: Line) -> str:
    return "".join(word.capitalize() for word in event["name"].split("_"))


def _event(event: Line) -> str:
    body = "".join(f"    {name}: {FIELD_TYPES[kind]}\n" for name, kind in _fields(event))
    return (
        "\n\n@dataclass(frozen=True, slots=True)\n"
        f"class {_class_name(event)}(Event):\n"
        f'    """{event["help"]}"""\n\n{body}'
    )


def for_python(made: Tables) -> str:
    """Return the module ``nanomq_py.core.declared_events``."""
    classes = ["Event", "Why", *map(_class_name, made.events)]
    names = "".join(f"    {name!r},\n" for name in sorted(classes))
    whys = "".join(
        f"{comment(w['help'])}    {w['ID']} = {w['name']!r}\n" for w in made.whys
    )
    kinds = "".join(
        f"    {_class_name(event)}: ({number}, {tuple(k for _, k in _fields(event))!r}),\n"
        for number, event in enumerate(made.events, 1)
    )
    return (
        HEAD % (names, whys)
        + "".join(map(_event, made.events))
        + "\n\n# The number of each in the core, and of what kind its fields are.\n"
        + f"KINDS: dict[type[Event], tuple[int, tuple[str, ...]]] = {{\n{kinds}}}\n"
    )
