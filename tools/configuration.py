"""Build docs/configuration.md and etc/nanomq.conf from the declaration of the keys.

tools/configuration.py            write both
tools/configuration.py --check    fail if one of them is old
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nanomq_py.config.declare.key import keys_of
from nanomq_py.config.declare.section import Sections, sections_of
from nanomq_py.config.keys.access import User
from nanomq_py.config.keys.bridges import Bridge, BridgeSubscription
from nanomq_py.config.keys.config import Config
from nanomq_py.config.keys.http_client import HttpAuthRequest
from nanomq_py.config.keys.listeners import Listener
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
LISTENERS = """\
## Listeners

`tcp`, `tls`, `ws` and `wss` are those of `url`, `tls.url`, `websocket.url` and `websocket.tls_url`;
any other NAME is one more. [listeners.md](listeners.md) tells more.
"""
HEADERS = """\
`auth.http.REQ.headers.NAME` and `web.hook.headers.NAME` are header lines, and secret;
`web.hook.rule.EVENT.N={"action":"...","topic":"..."}` is a rule.
"""
ACCESS_RULES = """\
## Access rules, N = 1, 2, ...

`acl.rule.N={"permit":"allow|deny","username":"..","clientid":"..","ipaddr":"..","action":"publish|subscribe|pubsub","topics":["a/#"]}`

The rules are gone through in the order of their numbers; the first that applies decides, and
`acl_nomatch` where none does. A part that is left out, or a name `#`, is anyone; `ipaddr` is an
address or a network such as `192.0.2.0/24`; without `topics` the rule is for all that `#` matches
(topics that begin with `$` need a rule of their own). Levels `%c` and `%u` stand for the client
identifier and the user name; a name that is empty, has `/`, `+` or `#`, or begins with `$` where the
topic does, stands for no topic. A subscription is judged by its whole filter, so that nobody hears
what he is denied: a rule that allows applies when one of its topics covers the filter, one that denies
as soon as one of them has a topic in common with it. With `deny secret/#` before `allow #`, `#` and
`+/x` are refused as well. A client that does what it may not is told 0x87 (MQTT 5.0), 0x80 in SUBACK
(before), or is disconnected with `acl_deny_action=disconnect`; a will that may not be published refuses
the connection. Rules that name users, or have `%u`, need somebody who proves who he is: users
(`auth.N`) or a listener with `cn_as_username`; without, the broker does not start.
"""
NOT_YET = """\
## Read and checked, but not in force in this version

The start is refused with `auth.http.enable=true`: leaving it out in silence would be unsafe. With any of
these switched on it goes on, and says so: an `error` line in the log at the start and at each reload, exit
code 1 of `nanomq conf check`, and a mark in `nanomq conf show`.

| flat form | nested form | what does not happen |
| --- | --- | --- |
"""


def not_yet() -> Iterator[str]:
    yield NOT_YET.rstrip()
    for feature in FEATURES:
        switch = feature.switch.replace("*", "NAME")
        section = feature.section.replace("*", "NAME")
        yield f"| `{switch}` | `{section}` | {feature.loss} |"


def table(title: str, section: type[Any], prefix: str) -> Iterator[str]:
    if title:
        yield f"## {title}\n"
    head = "| key | value | default | counts | |\n| --- | --- | --- | --- | --- |"
    begun = False
    for declared, key in keys_of(section):
        if key.heading:
            yield f"{'' if not begun else chr(10)}## {key.heading}\n\n{head}"
        elif not begun:
            yield head
        begun = True
        default = key.kind.render(declared.default)
        yield (
            "| "
            + " | ".join(
                (
                    f"`{prefix}{key.name}`",
                    key.kind.expected.replace("|", "/"),
                    f"`{default}`" if default else "",
                    key.applies.value,
                    ("Secret. " if key.secret else "") + key.help,
                )
            )
            + " |"
        )
    yield ""


def page(brought: Sections = ()) -> str:
    parts = [INTRODUCTION, *table("", Config, "")]
    for section in (*(part for _, part in sections_of(Config)), *brought):
        parts += table(section.title, section.kind, f"{section.prefix}.")
    parts += table(
        "HTTP authentication requests: REQ is auth_req, super_req or acl_req",
        HttpAuthRequest,
        "auth.http.REQ.",
    )
    parts += [HEADERS, LISTENERS]
    parts += table("Each listener", Listener, "listener.NAME.")
    parts += table("Users, N = 1, 2, ...", User, "auth.N.")
    parts += [ACCESS_RULES]
    parts += table("Bridges", Bridge, "bridge.mqtt.NAME.")
    parts += table(
        "Their subscriptions, N = 1, 2, ...",
        BridgeSubscription,
        "bridge.mqtt.NAME.subscription.N.",
    )
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
