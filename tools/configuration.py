"""Build docs/configuration.md and etc/nanomq.conf from the declaration of the keys.

tools/configuration.py            write both
tools/configuration.py --check    fail if one of them is old
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanomq_py.config.declare.family import NUMBER, Family, families_of
from nanomq_py.config.declare.key import Key, keys_of
from nanomq_py.config.declare.section import Sections, join, sections_of
from nanomq_py.config.keys.config import Config
from nanomq_py.config.nanomq.missing import FEATURES
from nanomq_py.config.shipped import shipped

ROOT = Path(__file__).resolve().parent.parent

INTRODUCTION = """\
# nanomq.conf

Written by `tools/configuration.py` from the declaration of the keys. How the file is written, checked,
and put in force while the broker runs: [reload.md](reload.md).

*Counts*: a change of the key counts at once when the configuration is reloaded, or waits for a restart; or
this version only reads and checks it. What CONNACK told a client holds for its connection.
"""
# What is told of a family besides its help, by its name in the documentation.
PROSE = {
    "listener": """\
[listeners.md](listeners.md) tells more.
""",
    "acl.rule": """\
`acl.rule.N={"permit":"allow|deny","username":"..","clientid":"..","ipaddr":"..","and":[..],"or":[..],"action":"publish|subscribe|pubsub","qos":"<=1","retain":false,"topics":["a/#"]}`

The rules are gone through in the order of their numbers. A part that is left out, or a name `#`, is anyone; a user name
that is empty is who has none; `ipaddr` is an address or a network such as `192.0.2.0/24`. `and` and `or` are lists of
such conditions, `{"username":"..","clientid":"..","ipaddr":".."}`: all of the first must hold, and one of the second.
`qos` is a QoS, a list of them, or `"<=1"` or `">=1"`: of a message, a will, or a subscription as it is granted;
`retain` says whether a message or will has RETAIN. What a session holds already is judged by them too.

Without `topics` the rule is for all that `#` matches (topics that begin with `$` need a rule of their own). `%c`, `%u`
and `%i` in a level stand for the client identifier, the user name and the client's IP address, and so do NanoMQ's
`${clientid}` and `${username}`; a name that is empty, has `/`, `+` or `#`, or begins with `$` where the topic does,
stands for no topic. A topic has at most 256 levels. `eq a/+`, or `@a/+` as NanoMQ has it, is about the filter `a/+`
itself, not about the topics that it matches: `{"permit":"deny","action":"subscribe","topics":["eq #"]}` refuses `#` and
nothing else, and takes nobody's messages away.

A subscription is judged by its whole filter, so that nobody hears what he is denied: a rule that allows applies when
one of its topics covers the filter, one that denies as soon as one of them has a topic in common with it. With `deny
secret/#` before `allow #`, `#` and `+/x` are refused as well. A client that does what it may not is told 0x87 (MQTT
5.0), 0x80 in SUBACK (before), or is disconnected with `acl_deny_action=disconnect`; a will that may not be published
refuses the connection. Rules that name users, or have `%u`, need somebody who proves who he is: users (`auth.N`), an
HTTP server (`auth.http.auth_req`) or a listener with `username_from`; without, the broker does not start.

`acl_file` is a file in mosquitto's form: `topic [read|write|readwrite|deny] T` for clients without a user name, or for
that of the last `user NAME` line, and `pattern [..] T`, with `%c` and `%u`, for everybody. A client's own topics are
looked at before the patterns, and what denies before what allows. The file is read again at each reload. Two things
are not as with mosquitto: a subscription to more than the client may read is refused, where mosquitto grants it and
leaves messages out; and a user name counts only if it is proved.

`nanomq acl test --client c --user u --action publish --topic a/b` prints the rule, or line, that decides.
""",
}
NOT_YET = """\
## Read and checked, but not in force in this version

With any of these switched on the broker starts, and says so: an `error` line in the log at the start and at
each reload, exit code 1 of `nanomq conf check`, and a mark in `nanomq conf show`.

| flat form | nested form | what does not happen |
| --- | --- | --- |
"""


def not_yet() -> Iterator[str]:
    yield NOT_YET.rstrip()
    for feature in FEATURES:
        switch = feature.switch.replace("*", "NAME")
        section = feature.section.replace("*", "NAME")
        yield f"| `{switch}` | `{section}` | {feature.loss} |"


HEAD = "| key | value | default | counts | |\n| --- | --- | --- | --- | --- |"


def row(name: str, key: Key, default: str) -> str:
    cells = (
        f"`{name}`",
        key.kind.expected.replace("|", "/"),
        f"`{default}`" if default else "",
        key.applies.value,
        ("Secret. " if key.secret else "") + key.help,
    )
    return f"| {' | '.join(cells)} |"


def rows(prefix: str, kind: type[Any]) -> Iterator[str]:
    """Yield the rows of a dataclass: its keys, and families that have no title."""
    begun = False
    for declared, key in keys_of(kind):
        if key.heading:
            yield f"{'' if not begun else chr(10)}## {key.heading}\n\n{HEAD}"
        elif not begun:
            yield HEAD
        begun = True
        yield row(join(prefix, key.name), key, key.kind.render(declared.default))
    for _, family in families_of(kind):
        if not family.title and family.one_line is not None:
            at = join(join(prefix, family.prefix), family.index.shown)
            yield row(at, family.one_line, "")
    yield ""


def sections(prefix: str, kind: type[Any]) -> Iterator[str]:
    """Yield the chapters of sections; those that are alike have one."""
    alike: dict[str, list[str]] = {}
    for _, section in sections_of(kind):
        if section.alike:
            alike.setdefault(section.alike, []).append(section.prefix)
    for _, section in sections_of(kind):
        prefixes = alike.pop(section.alike, []) if section.alike else []
        if section.alike and not prefixes:
            continue
        title = section.title or join(prefix, section.prefix)
        if prefixes:
            title += f": {section.alike} is {', '.join(prefixes[:-1])} or {prefixes[-1]}"
        yield from chapter(title, join(prefix, section.shown), section.kind)


def chapter(title: str, prefix: str, kind: type[Any]) -> Iterator[str]:
    """Yield what a dataclass declares: its rows, its sections and its families."""
    if title:
        yield f"## {title}\n"
    yield from rows(prefix, kind)
    yield from sections(prefix, kind)
    for _, family in families_of(kind):
        if family.title:
            yield from family_chapter(join(prefix, family.prefix), family)


def family_chapter(prefix: str, family: Family) -> Iterator[str]:
    numbers = ", N = 1, 2, ..." if family.index is NUMBER else ""
    yield f"## {family.title}{numbers}\n\n{family.help}\n"
    member = join(prefix, family.index.shown)
    if family.one_line is not None:
        yield f"{HEAD}\n{row(member, family.one_line, '')}\n"
    if prefix in PROSE:
        yield PROSE[prefix]
    if family.one_line is None:
        yield from chapter("", member, family.member)


def page(brought: Sections = ()) -> str:
    parts = [INTRODUCTION, *chapter("", "", Config)]
    for section in brought:
        parts += chapter(section.title, section.prefix, section.kind)
    parts += not_yet()
    return "\n".join(parts) + "\n"


def main() -> int:
    made = {
        ROOT / "docs" / "configuration.md": page(),
        ROOT / "etc" / "nanomq.conf": shipped(),
    }
    if sys.argv[1:] != ["--check"]:
        for path, text in made.items():
            path.write_text(text, encoding="utf-8")
        return 0
    old = [path for path, text in made.items() if path.read_text(encoding="utf-8") != text]
    for path in old:
        print(f"{path.relative_to(ROOT)} is old: run tools/configuration.py")
    return len(old)


if __name__ == "__main__":
    sys.exit(main())
