"""Secrets in parameters: what stands for them in an answer, and how they come back.

A parameter is secret by its name, and so is the value of each header but of those that say what
the body is.
"""

from __future__ import annotations

from typing import Any

from nanomq_py.plugins.rules.faults import RuleFault
from nanomq_py.plugins.rules.model import Params

MASK = "******"
_SECRET = ("password", "secret", "token")
_PLAIN_HEADERS = ("content-type", "accept", "user-agent")


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET)


def _headers(params: Params) -> dict[str, Any]:
    headers = params.get("headers")
    return headers if isinstance(headers, dict) else {}


def masked(params: Params) -> Params:
    """Return parameters without their secrets."""
    made = {
        name: MASK if value and _is_secret(name) else value
        for name, value in params.items()
    }
    if headers := _headers(params):
        made["headers"] = {
            name: value if name.lower() in _PLAIN_HEADERS else MASK
            for name, value in headers.items()
        }
    return made


def unmasked(params: Params, before: Params) -> Params:
    """Return parameters with the secrets of before where a mask stands. Raises RuleFault."""
    made = {
        name: _own(name, value, before.get(name)) if _is_secret(name) else value
        for name, value in params.items()
    }
    if headers := _headers(params):
        old = _headers(before)
        made["headers"] = {
            name: _own(f"headers.{name}", value, old.get(name))
            for name, value in headers.items()
        }
    return made


def _own(name: str, value: object, before: object) -> object:
    if value != MASK:
        return value
    if before is None:
        raise RuleFault(
            f"{name[:64]}: {MASK} stands for what was given before: give it anew"
        )
    return before
