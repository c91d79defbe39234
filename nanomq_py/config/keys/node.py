"""Keys of what this broker is called where there could be several: node."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.values.names import NodeName


@dataclass(frozen=True, kw_only=True)
class Node(Checked):
    name: str = key(
        "name",
        NodeName(),
        "",
        "Own key: the name of this broker in the APIs of EMQX, where it is the only node."
        " Empty: nanomq@ and the name of the machine.",
    )
