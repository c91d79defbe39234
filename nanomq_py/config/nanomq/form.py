"""Which of the two forms a text has: the nested one has lines that the flat one cannot have."""

from __future__ import annotations

import re
from functools import lru_cache

from nanomq_py.config.declare.section import KINDS, Section, Sections
from nanomq_py.config.declare.walk import all_keys, walk_all
from nanomq_py.config.keys.config import Config
from nanomq_py.config.keys.plugins import PREFIX, plugin_of
from nanomq_py.config.nanomq.older import is_known

# A line that only the nested form has.
_NESTED = re.compile(
    r"""^[^\S\n]*(?:
        [{}\]] | // | include[\s("] |
        [\w."-]+[^\S\n]*(?: :[^\S\n] | [{\[] ) |
        (?:mqtt|system|listeners|bridges|webhook)\.
    )""",
    re.MULTILINE | re.VERBOSE,
)
# A line that only the nested form has, unless its value may be any text.
_OPENS = re.compile(r"""^[^\S\n]*([\w."-]+)[^\S\n]*=[^\S\n]*([\[{])""", re.MULTILINE)
# What else may be a section on one line: NanoMQ's names for them.
_SECTION = re.compile(
    r"mqtt(\.session)?|system|listeners(\..+)?|http_server\.jwt|acl|log\.rotation"
    r"|auth(\.(password|acl|cache|http_auth|http|\w+_req)(\.params)?)?"
    r"|authorization(\.cache)?|auth_http(\.\w+_req)?|webhook(\.(headers|body))?"
    r"|bridges?(\.(mqtt|aws)(\.[^.]+)?)?|rules?(\.[a-z]+)?|exchange_client(\.[^.]+)?"
    r"|preset(\.session(\.\d+)?)?|plugin|parquet|blf|exhook|gateway(\.\w+)?"
)


def is_nested(text: str, brought: Sections = ()) -> bool:
    """Return whether the text has the nested form; one that could be either is flat."""
    if _NESTED.search(text) is not None:
        return True
    return any(
        _is_section(name, brought) if sign == "{" else not _is_flat_text(name, brought)
        for name, sign in set(_OPENS.findall(text))
    )


@lru_cache(KINDS)
def _declared_sections(brought: Sections) -> frozenset[str]:
    return frozenset(
        at.name
        for at, found in walk_all(Config, brought)
        if isinstance(found, Section) and not at.indices
    )


def _is_section(name: str, brought: Sections) -> bool:
    """Return whether ``NAME = {`` begins a section; if not, { begins a text."""
    return name in _declared_sections(brought) or _SECTION.fullmatch(name) is not None


def _is_flat_text(name: str, brought: Sections) -> bool:
    """Return whether a flat line of that name may have any text, such as JSON, as its value."""
    if (plugin := plugin_of(name)) is not None:
        its = f"{PREFIX}.{plugin}"
        if not any(f"{each.prefix}.".startswith(f"{its}.") for each in brought):
            return True  # its keys are not known
    return is_known(name) or _of_any_text(brought).fullmatch(name) is not None


@lru_cache(KINDS)
def _of_any_text(brought: Sections) -> re.Pattern[str]:
    """Match the flat names that have a text as their value."""
    keys = all_keys(Config, brought)
    return re.compile("|".join(at.pattern for at, key in keys if key.kind.json is str))
