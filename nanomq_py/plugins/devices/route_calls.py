"""Message routes as the platform lists and changes them.

Source  iot-platform-api-v1.txt, "Message Route"
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.plugins.devices.api import Api
from nanomq_py.plugins.devices.paging import Id
from nanomq_py.plugins.devices.routes import MessageRoute
from nanomq_py.plugins.devices.words import Refused, store_faults

Name = Annotated[str, msgspec.Meta(max_length=256)]


class NewRoute(msgspec.Struct, frozen=True):
    topic: str
    url: str
    name: Name = ""


class RouteChange(msgspec.Struct, frozen=True):
    """What is to change of a route."""

    id: Id
    name: Name | None = None
    url: str | None = None
    topic: str | None = None


class RouteQuery(msgspec.Struct, frozen=True):
    id: Id


class RouteRow(msgspec.Struct, frozen=True):
    id: int
    topic: str
    name: str
    url: str
    made_at: int = msgspec.field(name="createTime")
    changed_at: int = msgspec.field(name="updateTime")


class CountedRow(msgspec.Struct, frozen=True):
    """One with what became of its messages: posts that were taken, attempts that failed."""

    made_at: int = msgspec.field(name="createTime")
    failed: int = msgspec.field(name="failedCount")
    id: int
    name: str
    succeeded: int = msgspec.field(name="succCount")
    topic: str
    changed_at: int = msgspec.field(name="updateTime")
    url: str


class RouteRows(msgspec.Struct, frozen=True):
    count: int
    rows: list[CountedRow] = msgspec.field(name="list")


class Deleted(msgspec.Struct, frozen=True):
    rows: int


def _row(of: MessageRoute) -> RouteRow:
    return RouteRow(of.id, of.topic, of.name, of.url, of.made_at, of.changed_at)


def _counted(api: Api, of: MessageRoute) -> CountedRow:
    succeeded, failed = api.targets.sums(of.target)
    return CountedRow(
        made_at=of.made_at,
        failed=failed,
        id=of.id,
        name=of.name,
        succeeded=succeeded,
        topic=of.topic,
        changed_at=of.changed_at,
        url=of.url,
    )


async def list_routes(api: Api, call: Plain) -> RouteRows:
    with store_faults():
        rows = [_counted(api, each) for each in await api.routes.all()]
    return RouteRows(len(rows), rows)


async def add_route(api: Api, call: Call[Nothing, NewRoute]) -> RouteRow:
    body = call.body
    with store_faults():
        made = await api.routes.add(body.name, body.topic, body.url)
    api.audit(call.who, f"added message route {made.id} of '{made.topic}'")
    return _row(made)


async def update_route(api: Api, call: Call[Nothing, RouteChange]) -> RouteRow:
    body = call.body
    with store_faults():
        made = await api.routes.update(body.id, body.name, body.topic, body.url)
    if made is None:
        raise Refused("no_such_route", f"there is no message route {body.id}", 404)
    api.audit(call.who, f"changed message route {body.id}")
    return _row(made)


async def delete_route(api: Api, call: Call[RouteQuery, Nothing]) -> Deleted:
    with store_faults():
        rows = await api.routes.delete(call.query.id)
    if rows:
        api.audit(call.who, f"deleted message route {call.query.id}")
    return Deleted(rows)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/msgroute/configs",
        act=list_routes,
        summary="Message routes: where messages are posted to.",
    ),
    Endpoint(
        method="POST",
        path="/msgroute/configs",
        act=add_route,
        summary="Post the messages of a topic to a URL.",
    ),
    Endpoint(
        method="PUT",
        path="/msgroute/configs",
        act=update_route,
        summary="Change a message route.",
    ),
    Endpoint(
        method="DELETE",
        path="/msgroute/configs",
        act=delete_route,
        summary="Delete a message route; how many that were.",
    ),
]
