"""All endpoints of the dialects with a path for each thing, and what may be sent to them.

Tests are marked ``endpoint(dialect, "METHOD /path", outcome)`` with what they show of it: the
outcome is ``success``, a code, or one of those below. docs/api/coverage.md is made of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import msgspec
import pytest
from msgspec.inspect import StructType, UnionType, type_info

from nanomq_py.http.emqx_v2 import dialect as v2
from nanomq_py.http.emqx_v4 import dialect as v4
from nanomq_py.http.rest.endpoint import Endpoint
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.http.rest.router import Router
from nanomq_py.plugins.devices import dialect as iot

BAD_JSON = "bad JSON"
MISSING = "missing field"
WRONG_TYPE = "wrong type"
STRANGER = "unauthorised"
WRONG_ROLE = "wrong role"
OTHER_METHOD = "other method"
EXPIRED = "expired token"
GENERIC = (BAD_JSON, MISSING, WRONG_TYPE, STRANGER, WRONG_ROLE, OTHER_METHOD)
OTHER_NODE = "101"


@dataclass(frozen=True)
class Served:
    """An endpoint of a dialect at one of its paths.

    dialect  v2, v4, cloud or iot
    prefix   of the dialect's paths
    """

    dialect: str
    prefix: str
    endpoint: Endpoint
    path: str

    @property
    def name(self) -> str:
        return f"{self.endpoint.method} {self.path}"

    @property
    def has_node(self) -> bool:
        return "{node" in self.path

    def shows(self, outcome: str) -> pytest.MarkDecorator:
        """Return the mark of a test that shows this of it."""
        return pytest.mark.endpoint(self.dialect, self.name, outcome)

    def concrete(self, node: str) -> str:
        """Return the whole path, something that is not there for each other parameter."""
        return self.prefix + re.sub(r"{.*?}", "x", re.sub(r"{node.*?}", node, self.path))


DIALECTS = {
    "v2": (v2.PREFIX, v2.FAMILIES.all()),
    "v4": (v4.PREFIX, v4.FAMILIES.all()),
    "cloud": (v4.CLOUD, v4.FAMILIES.all()),
}
# Those of plugins, which have words and logins of their own.
OF_PLUGINS = {"iot": (iot.PREFIX, iot.FAMILIES.all())}


def _served(dialects: Mapping[str, tuple[str, Sequence[Endpoint]]]) -> list[Served]:
    return [
        Served(name, prefix, endpoint, path)
        for name, (prefix, endpoints) in dialects.items()
        for endpoint in endpoints
        for path in (endpoint.path, *endpoint.also)
    ]


ALL = _served(DIALECTS)
IOT = _served(OF_PLUGINS)


def _routers() -> dict[str, Router[Served]]:
    made: dict[str, Router[Served]] = {}
    for each in (*ALL, *IOT):
        made.setdefault(each.dialect, Router())
        made[each.dialect].add(each.endpoint.method, each.path, each)
    return made


_ROUTERS = _routers()


def find(dialect: str, method: str, path: str) -> Served:
    """Return what answers a path, without the dialect's prefix and still encoded."""
    return _ROUTERS[dialect].find(method, path.partition("?")[0].encode()).endpoint


def each_of(outcome: str, served: Iterable[Served]) -> pytest.MarkDecorator:
    """Run a test for each of them, of which it shows that outcome."""
    made = [
        pytest.param(each, id=f"{each.dialect}-{each.name}", marks=each.shows(outcome))
        for each in served
    ]
    return pytest.mark.parametrize("served", made)


# --- what they take


def takes_json(served: Served) -> bool:
    return served.endpoint.takes.body not in (Nothing, bytes)


def _struct_of(shape: Any) -> type[msgspec.Struct] | None:
    """Return the struct that a body is, or may be besides other types."""
    for each in (shape, *get_args(shape)):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return each
    return None


def fields(shape: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return the fields of a struct; of another type, none."""
    struct = _struct_of(shape)
    return () if struct is None else msgspec.structs.fields(struct)


def required(shape: Any) -> list[str]:
    return [each.encode_name for each in fields(shape) if each.required]


def body_of(served: Served) -> Any:
    """Return a body that could be; None: it takes none."""
    shape = served.endpoint.takes.body
    if shape is Nothing:
        return None
    return b"" if shape is bytes else _value(type_info(shape))


_VALUES = ("x", 1, True, [], {}, None)


def _value(info: Any) -> Any:
    if isinstance(info, UnionType):
        return _value(info.types[0])
    if isinstance(info, StructType):
        return {f.encode_name: _value(f.type) for f in info.fields if f.required}
    if hasattr(info, "values"):
        return info.values[0]
    if hasattr(info, "cls") and hasattr(info.cls, "__members__"):
        return next(iter(info.cls)).value
    kind = type(info).__name__
    return {
        "IntType": getattr(info, "ge", None) or 1,
        "StrType": "x",
        "BoolType": True,
    }.get(kind, [] if "List" in kind else {} if "Dict" in kind else "x")


_WRONG = (["x"], {"x": ["x"]}, "\u2028no", -(1 << 70), 1.5, True, None)


def wrong_value(shape: Any, among: tuple[Any, ...] = _WRONG) -> Iterator[Any]:
    """Yield a value that is no such type, if there is one."""
    for each in among:
        try:
            msgspec.convert(each, shape, strict=True)
        except msgspec.ValidationError:
            yield each
            return


def wrong_bodies(served: Served) -> list[Any]:
    """Return bodies of which a field, or all, has another type."""
    shape = served.endpoint.takes.body
    whole = body_of(served)
    made = list(wrong_value(shape, (["x"], 7)))
    for each in fields(shape):
        made += [whole | {each.encode_name: bad} for bad in wrong_value(each.type)]
    return made


def wrong_queries(served: Served) -> list[str]:
    """Return queries of which a parameter cannot be what it says."""
    made = []
    for each in fields(served.endpoint.takes.query):
        for text in ("[", "-99999999999999999999999"):
            try:
                msgspec.convert(text, each.type, strict=False)
            except msgspec.ValidationError:
                made.append(f"{each.encode_name}={text}")
                break
    return made


def can_be_wrong(served: Served) -> bool:
    """Return whether a value can have a type that it must not have."""
    return bool(takes_json(served) and wrong_bodies(served)) or bool(wrong_queries(served))
