"""Which of the two forms a text has: told by what only the nested one has."""

from __future__ import annotations

import re
from functools import cache

from nanomq_py.config.declare.names import all_names
from nanomq_py.config.declare.section import Sections
from nanomq_py.config.keys.config import Config
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
# One that only it has, unless the value is any text.
_OPENS = re.compile(r"""^[^\S\n]*([\w."-]+)[^\S\n]*=[^\S\n]*([\[{])""", re.MULTILINE)
# What may be a section on one line; of any other name { begins a text in the flat form.
_SECTION = re.compile(
    r"mqtt(\.session)?|system|listeners(\..+)?|tls|websocket|http_server(\.jwt)?|sqlite|acl"
    r"|log(\.rotation)?|auth(\.(password|acl|cache|http_auth|http|\w+_req)(\.params)?)?"
    r"|authorization(\.cache)?|auth_http(\.\w+_req)?|webhook(\.(headers|body))?"
    r"|bridges?(\.(mqtt|aws)(\.[^.]+)?)?|rules?(\.[a-z]+)?|exchange_client(\.[^.]+)?"
    r"|preset(\.session(\.\d+)?)?|plugin|parquet|blf|exhook|gateway(\.\w+)?"
)
_RULES = re.compile(r"(?:acl|web\.hook)\.rule\..+")


def is_nested(text: str, brought: Sections = ()) -> bool:
    """Return whether the text has the nested form; one that could be either is flat."""
    if _NESTED.search(text) is not None:
        return True
    return any(
        _SECTION.fullmatch(name) is not None
        if sign == "{"
        else not _is_flat_text(name, brought)
        for name, sign in set(_OPENS.findall(text))
    )


def _is_flat_text(name: str, brought: Sections) -> bool:
    """Return whether a flat line of that name may have any text, such as JSON, as its value."""
    return (
        _RULES.fullmatch(name) is not None
        or is_known(name)
        or _of_any_text(brought).fullmatch(name) is not None
    )


@cache
def _of_any_text(brought: Sections) -> re.Pattern[str]:
    """Match the flat names that have a text as their value."""
    names = all_names(Config, brought)
    return re.compile("|".join(n.pattern for n in names if n.key.kind.json is str))
