"""The action that sends rows to an HTTP server. A stand-in until delivery is there."""

from __future__ import annotations

from nanomq_py.plugins.rules.action import Action, Tools
from nanomq_py.plugins.rules.faults import NotHereError
from nanomq_py.plugins.rules.model import Params

WEB_HOOK = "web_hook"


def post(params: Params, tools: Tools) -> Action:
    raise NotHereError("data_to_webserver: not here yet")


def check_web_hook(config: Params, allow: tuple[str, ...]) -> None:
    raise NotHereError("web_hook: not here yet")
