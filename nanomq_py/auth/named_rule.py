"""An access rule of the core, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.core.records import Rule


@dataclass(frozen=True)
class NamedRule:
    rule: Rule
    where: str  # such as acl.rule.3, or FILE:LINE: topic read a/#
