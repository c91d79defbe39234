"""Variables of the environment that stand for keys, such as ``NANOMQ_TLS_ENABLE``."""

from __future__ import annotations

import re
from collections.abc import Mapping

from nanomq_py.config.build import known_names
from nanomq_py.config.forms.entries import Entry


def from_environment(environ: Mapping[str, str]) -> dict[str, Entry]:
    """Return the entries of variables such as ``NANOMQ_TLS_ENABLE`` for ``tls.enable``.

    Users and access rules too: ``NANOMQ_AUTH_1_LOGIN``, ``NANOMQ_ACL_RULE_1``. A variable that
    names no key is none of ours: a container may have its own NANOMQ_ ones.
    """
    known = {variable_of(name): name for name in known_names()}
    known["NANOMQ_BROKER_URL"] = "url"  # NanoMQ's own spelling
    entries = {}
    for variable, value in environ.items():
        name = known.get(variable)
        if found := re.fullmatch(r"NANOMQ_AUTH_(\d{1,9})_(LOGIN|PASSWORD)", variable):
            name = f"auth.{found[1]}.{found[2].lower()}"
        elif found := re.fullmatch(r"NANOMQ_ACL_RULE_(\d{1,9})", variable):
            name = f"acl.rule.{found[1]}"
        if name is not None:
            entries[name] = Entry(name, value, f"{variable} in the environment")
    return entries


def variable_of(name: str) -> str:
    return "NANOMQ_" + name.upper().replace(".", "_")
