"""``/api/v1`` in the OpenAPI document: one path, whose body says by ``req`` what it asks for.

``req`` is a constant in each kind of body. A Discriminator Object would say no more, and takes
what it names for a text.

Source  OpenAPI Specification 3.1.0, 4.8.25 Discriminator Object
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from nanomq_py.config import Config
from nanomq_py.config.declare.family import families_of
from nanomq_py.config.declare.key import Key, keys_of
from nanomq_py.config.declare.section import sections_of
from nanomq_py.config.keys.bridges import Bridge
from nanomq_py.config.values.kind import Optional
from nanomq_py.http.pem import PEM
from nanomq_py.http.v1.answers import (
    Brokers,
    Changed,
    ClientRow,
    Saved,
    Subscriber,
    TopicLevel,
)
from nanomq_py.http.v1.api import ACTIONS, HANDLERS, U64_MAX, V1
from nanomq_py.http.v1.config import KEYS, SECTIONS

Schema = dict[str, Any]

PLACE = "#/components/schemas/v1."
# What the answer to a request has as its data; None: nothing, or what is not a type.
GIVES: Mapping[int, Any] = {
    2: Brokers,
    4: list[Subscriber],
    5: list[ClientRow],
    10: Changed,
    11: None,
    12: Saved,
    13: list[list[TopicLevel]],
}
_SEQ = {"type": "integer", "minimum": 0, "maximum": U64_MAX}
_JSON = {str: "string", int: "integer", bool: "boolean", float: "number"}
_ERRORS = {
    400: "The body cannot be understood, or asks for something impossible.",
    401: "The caller has not shown who it is.",
    403: "The caller may change nothing.",
    404: "There is no such request.",
    405: "The path has GET and POST.",
    429: "Too many logins have failed.",
    500: "The fault is the broker's.",
}


def _ref(name: str) -> Schema:
    return {"$ref": PLACE + name}


def _object(
    properties: Mapping[str, Any], required: tuple[str, ...] | None = None
) -> Schema:
    """Return an object that has these, all of them where it is not said which it must have."""
    must = list(properties) if required is None else list(required)
    return {"type": "object", "properties": dict(properties), "required": must}


# --- the configuration


def _of_key(key: Key) -> Schema:
    kind = key.kind.json
    if kind is list:
        made: Schema = {"type": "array", "items": {"type": "string"}}
    else:
        made = {"type": _JSON[kind]}
    if isinstance(key.kind, Optional):
        made["type"] = [made["type"], "null"]
    return {**made, "description": key.help}


def _of_values(kind: type[Any]) -> Schema:
    """Return the properties that a dataclass of the configuration has as JSON."""
    made = {key.name or field.name: _of_key(key) for field, key in keys_of(kind)}
    for field, section in sections_of(kind):
        made[section.prefix] = {"type": "object", "description": field.name}
    for _, family in families_of(kind):
        made[family.prefix] = {"type": "array", "items": {"type": "object"}}
    return made


def _configuration() -> Schema:
    """Return the properties of what requests 11 and 12 have as ``data``."""
    keys = _of_values(Config)
    made = {name: keys[name] for name in KEYS}
    sections = {section.prefix: field.name for field, section in sections_of(Config)}
    for name, names in SECTIONS.items():
        values = _of_values(type(getattr(Config(), sections[name])))
        texts: Schema = {field: {"type": ["string", "null"]} for field in PEM}
        made[name] = _object({each: (values | texts)[each] for each in names}, ())
    return {**made, "bridge": _object(_of_values(Bridge), ())}


# --- requests and answers


def _fields(req: int) -> dict[str, Schema]:
    """Return what a request has besides ``req`` and ``seq``."""
    if req == 10:
        return {"action": {"enum": list(ACTIONS)}}
    return {"data": _ref("Configuration")} if req == 12 else {}


def _request(req: int) -> Schema:
    return _object({"req": {"const": req}, "seq": _SEQ, **_fields(req)})


def _answer(req: int, data: Schema) -> Schema:
    properties = {"code": {"const": 0}, "seq": _SEQ, "rep": {"const": req}, "data": data}
    required = ("code", "seq", "rep") if req == 10 else None  # a restart tells nothing
    return _object(properties, required)


def _one_of(prefix: str) -> Schema:
    return {"oneOf": [_ref(f"{prefix}{req}") for req in HANDLERS]}


def _content(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _said(req: int) -> str:
    """Return what the handler says of itself: ``req 2: statistics.``"""
    return " ".join((HANDLERS[req].__doc__ or "").split()).replace("``", "`")


def _components() -> dict[str, Schema]:
    typed = {req: of for req, of in GIVES.items() if of is not None}
    schemas, made = msgspec.json.schema_components(
        list(typed.values()), ref_template=PLACE + "{name}"
    )
    data = dict(zip(typed, schemas, strict=True)) | {11: _ref("Configuration")}
    whole = {"type": "integer"}
    error = {"code": whole, "seq": _SEQ, "rep": whole, "message": {"type": "string"}}
    made["Configuration"] = _object(_configuration(), ())
    made["Error"] = _object(error, ("code", "seq"))
    for req in HANDLERS:
        made[f"req{req}"] = {**_request(req), "description": _said(req)}
        made[f"rep{req}"] = _answer(req, data.get(req, {}))
    return made


def add_to(document: Schema) -> None:
    """Add the path, and the types of its bodies."""
    schemas = document["components"]["schemas"]
    schemas |= {f"v1.{name}": schema for name, schema in _components().items()}
    answers: Schema = {"200": {"description": "Done.", "content": _content(_one_of("rep"))}}
    for status, text in _ERRORS.items():
        answers[str(status)] = {"description": text, "content": _content(_ref("Error"))}
    document["paths"][V1.prefix] = {
        "post": {
            "summary": "NanoMQ's API of version 1; GET with the same body is the same.",
            "tags": ["NanoMQ v1"],
            "requestBody": {"required": True, "content": _content(_one_of("req"))},
            "responses": answers,
        }
    }
