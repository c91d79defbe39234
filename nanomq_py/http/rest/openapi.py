"""The OpenAPI document of dialects, made of the types of their endpoints.

Source  OpenAPI Specification 3.1.0; JSON Schema 2020-12 by msgspec
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin

import msgspec
from starlette.responses import Response

from nanomq_py.http.rest.dialect import RestDialect
from nanomq_py.http.rest.endpoint import Endpoint, Listing, Text, Whole
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.version import __version__

Schema = dict[str, Any]

REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"{(.+?)(\.\.\.)?}")

# What any request may be answered with, besides its own answer.
_ERRORS = {
    400: "The request cannot be understood, or asks for something impossible.",
    401: "The caller has not shown who it is.",
    403: "The caller may not do this.",
    404: "There is no such path, or no such object.",
    405: "The path has other methods.",
    429: "Too many logins have failed.",
    500: "The fault is the broker's.",
    501: "The broker cannot do this.",
}


def _body_of(gives: Any) -> tuple[Any, bool]:
    """Return the type inside an answer, None for none, and whether it is a list of rows."""
    if get_origin(gives) is Listing:
        return get_args(gives)[0], True
    return gives, False


class _Types:
    """The schemas of all types, and the components that they refer to."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        wanted: list[Any] = []
        for each in endpoints:
            wanted += [each.takes.query, each.takes.body, _body_of(each.gives)[0]]
        self._places = {repr(each): at for at, each in enumerate(wanted)}
        known = [Any if not _is_data(each) else each for each in wanted]
        self._schemas, self.components = msgspec.json.schema_components(
            known, ref_template=REF
        )

    def schema(self, of: Any) -> Schema:
        return self._schemas[self._places[repr(of)]]

    def fields(self, of: Any) -> tuple[dict[str, Schema], Sequence[str]]:
        """Return the properties of a struct, and which it cannot be without."""
        schema = self.schema(of)
        if "$ref" in schema:
            schema = self.components[schema["$ref"].rpartition("/")[2]]
        return schema.get("properties", {}), schema.get("required", ())


def _is_data(of: Any) -> bool:
    """Return whether JSON holds it: not what an endpoint answers by itself."""
    return not (isinstance(of, type) and issubclass(of, Text | Response))


def _parameters(endpoint: Endpoint, path: str, types: _Types) -> Iterator[Schema]:
    for match in _PARAMETER.finditer(path):
        text = {"type": "string", "minLength": 1}
        yield {"name": match[1], "in": "path", "required": True, "schema": text}
    if endpoint.takes.query is not Nothing:
        properties, required = types.fields(endpoint.takes.query)
        for name, schema in properties.items():
            is_required = name in required
            yield {"name": name, "in": "query", "required": is_required, "schema": schema}


def _content(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _given(endpoint: Endpoint, types: _Types) -> Schema:
    if endpoint.takes.body is bytes:
        return {"text/plain": {"schema": {"type": "string"}}}
    return _content(types.schema(endpoint.takes.body))


def _success(dialect: RestDialect[Any], endpoint: Endpoint, types: _Types) -> Schema:
    inner, is_listing = _body_of(endpoint.gives)
    if inner is Text:
        return {"description": "Done.", "content": {"text/plain": {"schema": {}}}}
    if inner is not None and not _is_data(inner):
        return {"description": "Done."}
    gives = None if inner in (None, type(None)) else types.schema(inner)
    if gives is not None and isinstance(inner, type) and issubclass(inner, Whole):
        return {"description": "Done.", "content": _content(gives)}
    whole = dialect.describe(gives, is_listing=is_listing)
    return {"description": "Done.", "content": _content(whole)}


def _operation(
    dialect: RestDialect[Any], endpoint: Endpoint, path: str, types: _Types
) -> Schema:
    made: Schema = {"summary": endpoint.summary, "tags": [dialect.title]}
    if parameters := list(_parameters(endpoint, path, types)):
        made["parameters"] = parameters
    if endpoint.takes.body is not Nothing:
        made["requestBody"] = {"required": True, "content": _given(endpoint, types)}
    made["responses"] = {"200": _success(dialect, endpoint, types)}
    for status, text in _ERRORS.items():
        content = _content(dialect.describe_error())
        made["responses"][str(status)] = {"description": text, "content": content}
    if endpoint.is_open:
        made["security"] = []
    return made


def document(dialects: Sequence[RestDialect[Any]]) -> Schema:
    """Return the document of all endpoints of these dialects."""
    types = _Types([each for dialect in dialects for each in dialect.families.all()])
    paths: dict[str, Schema] = {}
    for dialect in dialects:
        for endpoint in dialect.families.all():
            for path in (endpoint.path, *endpoint.also):
                operation = _operation(dialect, endpoint, path, types)
                whole = (dialect.prefix + path.replace("...}", "}")).rstrip("/")
                paths.setdefault(whole, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "nanomq-py", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": types.components,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            },
        },
        "security": [{"basic": []}, {"bearer": []}],
    }
