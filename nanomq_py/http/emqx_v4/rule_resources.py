"""Resources that rules use, and the kinds of actions, resources and events that there are.

Source  EMQX 4.4, emqx_rule_engine_api, emqx_rule_events
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.rule_engine import (
    Params,
    Test,
    engine_of,
    faults,
    looked_up,
    made_of,
    not_found,
    plugin_of,
)
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain
from nanomq_py.http.rest.parameters import Nothing

if TYPE_CHECKING:
    from nanomq_py.plugins.rules.catalog import Kind
    from nanomq_py.plugins.rules.engine import Engine
    from nanomq_py.plugins.rules.model import ResourceSpec

APP = "nanomq_py"  # what brings the actions


class Said(msgspec.Struct, frozen=True):
    """A text for people; EMQX's dashboard reads either."""

    en: str
    zh: str

    @staticmethod
    def of(text: str) -> Said:
        return Said(text, text)


class ActionKindRow(msgspec.Struct, frozen=True, rename={"about": "for"}):
    name: str
    category: str
    app: str
    about: str
    types: list[str]
    params: Params
    title: Said
    description: Said


class ResourceTypeRow(msgspec.Struct, frozen=True):
    name: str
    provider: str
    params: Params
    title: Said
    description: Said


class EventRow(msgspec.Struct, frozen=True):
    event: str
    title: Said
    description: Said
    test_columns: Params
    columns: list[str]
    sql_example: str


class Alive(msgspec.Struct, frozen=True):
    is_alive: bool


class NodeAlive(msgspec.Struct, frozen=True):
    node: str
    is_alive: bool


class ResourceRow(msgspec.Struct, frozen=True):
    """A resource; of a list ``status`` is one for all nodes."""

    id: str
    type: str
    config: Params
    description: str
    created_at: int
    status: bool | list[NodeAlive]


class ResourceBody(msgspec.Struct, frozen=True):
    """A resource to make; with ``test`` it is only looked at."""

    type: str
    config: Params = {}
    id: str = ""
    description: str = ""
    test: bool | str = False


class ResourceChange(msgspec.Struct, frozen=True):
    config: Params | None = None
    description: str | None = None


# --- kinds


def _params(kind: Kind) -> Params:
    made: Params = {}
    for order, (name, spec) in enumerate(kind.params.items(), 1):
        about = Said.of(str(spec["description"]))
        made[name] = {**spec, "order": order, "title": Said.of(name), "description": about}
    return made


def _action_row(kind: Kind) -> ActionKindRow:
    title, about = Said.of(kind.title), Said.of(kind.description)
    return ActionKindRow(
        kind.name, kind.category, APP, "$any", [*kind.types], _params(kind), title, about
    )


def _type_row(kind: Kind) -> ResourceTypeRow:
    title, about = Said.of(kind.title), Said.of(kind.description)
    return ResourceTypeRow(kind.name, APP, _params(kind), title, about)


def _kinds(api: Api) -> tuple[Mapping[str, Kind], Mapping[str, Kind]]:
    """Return the kinds of actions and of resources; none while the plugin is not loaded."""
    if plugin_of(api) is None:
        return {}, {}
    from nanomq_py.plugins.rules.catalog import ACTIONS, RESOURCES

    return ACTIONS, RESOURCES


async def list_actions(api: Api, call: Plain) -> list[ActionKindRow]:
    return [_action_row(kind) for kind in _kinds(api)[0].values()]


async def get_action(api: Api, call: Plain) -> ActionKindRow:
    kind = _kinds(api)[0].get(call.path["name"])
    if kind is None:
        raise not_found()
    return _action_row(kind)


async def list_types(api: Api, call: Plain) -> list[ResourceTypeRow]:
    return [_type_row(kind) for kind in _kinds(api)[1].values()]


async def get_type(api: Api, call: Plain) -> ResourceTypeRow:
    kind = _kinds(api)[1].get(call.path["name"])
    if kind is None:
        raise not_found()
    return _type_row(kind)


async def list_events(api: Api, call: Plain) -> list[EventRow]:
    if plugin_of(api) is None:
        return []
    from nanomq_py.plugins.rules.columns import PREFIX, TEST_COLUMNS, example

    made = []
    for name, test in TEST_COLUMNS.items():
        about = Said.of(name.replace("_", " "))
        event = f"{PREFIX}{name}"
        sql = f'SELECT * FROM "{event}"'  # noqa: S608 - of rules
        if name == "message_publish":
            sql = "SELECT payload.msg as msg FROM \"t/#\" WHERE msg = 'hello'"
        columns = [*example(name, api.node)]
        made.append(EventRow(event, about, about, dict(test), columns, sql))
    return made


# --- resources


def _row(spec: ResourceSpec, status: bool | list[NodeAlive]) -> ResourceRow:
    from nanomq_py.plugins.rules.masks import masked

    config = masked(spec.config)
    return ResourceRow(
        spec.id, spec.type, config, spec.description, spec.created_at, status
    )


async def list_resources(api: Api, call: Plain) -> list[ResourceRow]:
    engine = made_of(api)
    if engine is None:
        return []
    return [_row(each, engine.is_alive(each)) for each in engine.resources.values()]


async def list_of_type(api: Api, call: Plain) -> list[ResourceRow]:
    rows = await list_resources(api, call)
    return [each for each in rows if each.type == call.path["name"]]


def _found(api: Api, resource_id: str) -> tuple[Engine, ResourceSpec]:
    """Return the rules and a resource. Raises Refused with 404."""
    engine = made_of(api)
    if engine is None:
        raise not_found()
    with looked_up():
        return engine, engine.resource(resource_id)


async def get_resource(api: Api, call: Plain) -> ResourceRow:
    engine, spec = _found(api, call.path["id"])
    return _row(spec, [NodeAlive(api.node, engine.is_alive(spec))])


async def get_status(api: Api, call: Plain) -> Alive:
    engine, spec = _found(api, call.path["id"])
    return Alive(engine.is_alive(spec))


async def create_resource(api: Api, call: Call[Test, ResourceBody]) -> ResourceRow | None:
    engine, body = await engine_of(api), call.body
    from nanomq_py.plugins.rules.model import ResourceSpec, new_id

    spec = ResourceSpec(
        body.id or new_id("resource"), body.type, body.config, body.description
    )
    with faults():
        if call.query.is_test or body.test in (True, "true"):
            engine.check_resource(spec)
            return None
        made = await engine.create_resource(spec)
    return _row(made, [NodeAlive(api.node, engine.is_alive(made))])


async def update_resource(api: Api, call: Call[Nothing, ResourceChange]) -> None:
    engine, _ = _found(api, call.path["id"])
    body = call.body
    from nanomq_py.plugins.rules.masks import unmasked

    def change(before: ResourceSpec) -> ResourceSpec:
        changes: dict[str, Any] = {}
        if body.config is not None:
            changes["config"] = unmasked(body.config, before.config)
        if body.description is not None:
            changes["description"] = body.description
        return msgspec.structs.replace(before, **changes)

    with faults():
        await engine.update_resource(call.path["id"], change)


async def start_resource(api: Api, call: Plain) -> None:
    """Look whether it is there: a connection is made when there is something to send."""
    _found(api, call.path["id"])


async def delete_resource(api: Api, call: Plain) -> None:
    engine = made_of(api)
    if engine is not None and call.path["id"] in engine.resources:
        with faults():
            await engine.delete_resource(call.path["id"])


_READS = [
    ("/actions", list_actions, "Kinds of actions."),
    ("/actions/{name}", get_action, "One kind of action."),
    ("/resources", list_resources, "Resources."),
    ("/resources/{id}", get_resource, "One resource."),
    ("/resource_status/{id}", get_status, "Whether a resource works."),
    ("/resource_types", list_types, "Kinds of resources."),
    ("/resource_types/{name}", get_type, "One kind of resource."),
    ("/resource_types/{name}/resources", list_of_type, "Resources of a kind."),
    ("/rule_events", list_events, "Events that rules can be about."),
]

ENDPOINTS = [
    *[Endpoint(method="GET", path=p, act=act, summary=s) for p, act, s in _READS],
    Endpoint(
        method="POST",
        path="/resources",
        act=create_resource,
        summary="Make a resource, or look whether it could be made.",
    ),
    Endpoint(
        method="PUT",
        path="/resources/{id}",
        act=update_resource,
        summary="Change a resource.",
    ),
    Endpoint(
        method="POST",
        path="/resources/{id}",
        act=start_resource,
        summary="Start a resource.",
    ),
    Endpoint(
        method="DELETE",
        path="/resources/{id}",
        act=delete_resource,
        summary="Forget a resource.",
    ),
]
