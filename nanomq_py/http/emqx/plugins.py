"""Plugins as EMQX's dialects tell of them and switch them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanomq_py.http.emqx.api import Api

if TYPE_CHECKING:
    from nanomq_py.plugins.switch import Listed, Switch


def switch_of(api: Api) -> Switch:
    from nanomq_py.plugins.switch import Switch  # it loads what finds plugins

    return Switch(api.plugins, api.configurator)


def is_active(plugin: Listed) -> bool:
    from nanomq_py.plugins.held import State

    return plugin.state is State.LOADED
