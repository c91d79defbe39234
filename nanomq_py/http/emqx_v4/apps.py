"""Apps of v4: programs that call the API with an AppID and a secret, which is shown once.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4, emqx_mgmt_api_apps
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.stored import store_faults
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing

if TYPE_CHECKING:
    from nanomq_py.store.apps import App

UNSET = msgspec.UNSET

# Seconds since 1970; for ever is "undefined", as EMQX shows it.
Expired = int | Literal["undefined"]


class AppRow(msgspec.Struct, frozen=True, omit_defaults=True):
    """An app; without any field: there is none."""

    app_id: str | msgspec.UnsetType = UNSET
    name: str | msgspec.UnsetType = UNSET
    desc: str | msgspec.UnsetType = UNSET
    status: bool | msgspec.UnsetType = UNSET
    expired: Expired | msgspec.UnsetType = UNSET


class NewApp(msgspec.Struct, frozen=True):
    """An app to add. Without a secret, or with an empty one, one is made."""

    app_id: str
    name: str
    secret: str | None = None
    desc: str = ""
    status: bool = True
    expired: Expired | None = None


class AppChange(msgspec.Struct, frozen=True):
    """What is to change of an app."""

    name: str | None = None
    desc: str | None = None
    status: bool | None = None
    expired: Expired | None = None


class Secret(msgspec.Struct, frozen=True):
    secret: str


def _row(app: App) -> AppRow:
    return AppRow(
        app_id=app.app_id,
        name=app.name,
        desc=app.description,
        status=app.enabled,
        expired="undefined" if app.expires_at is None else int(app.expires_at),
    )


def _end(expired: Any) -> float | None:
    return expired if isinstance(expired, int) else None


async def list_apps(api: Api, call: Plain) -> list[AppRow]:
    with store_faults():
        return [_row(app) for app in await api.broker.api_accounts.apps()]


async def get_app(api: Api, call: Plain) -> AppRow:
    with store_faults():
        app = await api.broker.api_accounts.app(call.path["app_id"])
    return AppRow() if app is None else _row(app)


async def add_app(api: Api, call: Call[Nothing, NewApp]) -> Secret:
    body = call.body
    with store_faults():
        secret = await api.broker.api_accounts.create_app(
            body.app_id,
            who=call.who,
            secret=body.secret or None,
            name=body.name,
            description=body.desc,
            enabled=body.status,
            expires_at=_end(body.expired),
        )
    return Secret(secret)


async def change_app(api: Api, call: Call[Nothing, AppChange]) -> None:
    app_id, body = call.path["app_id"], call.body
    with store_faults():
        done = await api.broker.api_accounts.update_app(
            app_id,
            who=call.who,
            name=body.name,
            description=body.desc,
            enabled=body.status,
            expires_at=_end(body.expired),
            for_ever=body.expired == "undefined",
        )
    if not done:
        message = f"not_found: there is no app {app_id[:256]!r}"
        raise Refused(Code.USER_DOES_NOT_EXIST, message, 404)


async def delete_app(api: Api, call: Plain) -> None:
    """EMQX does not tell either whether there was one."""
    with store_faults():
        await api.broker.api_accounts.delete_app(call.path["app_id"], who=call.who)


ENDPOINTS = [
    Endpoint(method="GET", path="/apps", act=list_apps, summary="Apps that call this API."),
    Endpoint(
        method="POST",
        path="/apps",
        act=add_app,
        summary="Add an app; its secret is told this once.",
    ),
    Endpoint(method="GET", path="/apps/{app_id}", act=get_app, summary="One app."),
    Endpoint(method="PUT", path="/apps/{app_id}", act=change_app, summary="Change an app."),
    Endpoint(
        method="DELETE", path="/apps/{app_id}", act=delete_app, summary="Delete an app."
    ),
]
