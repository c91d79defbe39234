"""Values that are names of machines and programs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nanomq_py.config.values.kind import BadValue, Verbatim

_NODE = re.compile(r"[A-Za-z0-9_-]{1,64}@[A-Za-z0-9_.:-]{1,255}")


@dataclass(frozen=True)
class NodeName(Verbatim):
    """The name of a node, as EMQX has it, or an empty text.

    >>> NodeName().parse("edge7@10.0.0.7")
    'edge7@10.0.0.7'
    """

    expected: str = "NAME@HOST, of letters, digits, and - _ . :"

    def parse(self, text: str) -> str:
        if text and _NODE.fullmatch(text) is None:
            raise BadValue
        return text
