"""Keys of the device platform."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.declare.section import Section
from nanomq_py.config.values.kind import BadValue, Verbatim
from nanomq_py.config.values.numbers import Size, Whole
from nanomq_py.config.values.texts import List, Text

_LEVELS = re.compile(r"[^/#+$\x00-\x1f\x7f][^#+\x00-\x1f\x7f]{0,199}(?<!/)")
DAY_S = 86_400


@dataclass(frozen=True)
class Prefix(Verbatim):
    """The first levels of topics.

    >>> Prefix().parse("site/dma")
    'site/dma'
    """

    expected: str = "the first levels of topics, such as dma, without wildcards and $"

    def parse(self, text: str) -> str:
        if _LEVELS.fullmatch(text) is None:
            raise BadValue
        return text


@dataclass(frozen=True, kw_only=True)
class Keys(Checked):
    topic_prefix: str = key(
        "topic_prefix",
        Prefix(),
        "dma",
        "What the topics of devices begin with: dma/report/sys.",
    )
    gateways: tuple[str, ...] = key(
        "gateways",
        List(),
        (),
        "Client identifiers of gateways, which may report for other serial numbers.",
    )
    max_report: int = key(
        "max_report",
        Size(1, 1 << 20),
        64 << 10,
        "Bytes of a report at most; a longer one is refused.",
    )
    token_life_s: int = key(
        "token_life",
        Whole(60, 366 * DAY_S, "s"),
        DAY_S,
        "How long a token is good after its last use.",
    )
    targets_allow: tuple[str, ...] = key(
        "targets.allow",
        List(),
        (),
        "Hosts and networks that callbacks and message routes may tell: hooks.example.com,"
        " *.corp, 10.1.0.0/16. Empty: any but link-local addresses and metadata services.",
        heading="Callbacks and message routes",
    )
    targets_secret: str = key(
        "targets.secret",
        Text(),
        "",
        "What is posted is signed with it, the standard-webhooks way; empty: it is not.",
        secret=True,
    )
    targets_cacertfile: str = key(
        "targets.cacertfile",
        Text(),
        "",
        "PEM file of the CAs of targets with https; empty: those of the system.",
    )


SECTION = Section("plugins.devices", Keys, "The device platform")
