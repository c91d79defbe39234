"""What dialects with an endpoint for each thing share: paths, parameters, long lists."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.http.emqx.times import duration
from nanomq_py.http.emqx_v2 import dialect as v2
from nanomq_py.http.emqx_v4 import dialect as v4
from nanomq_py.http.errors import (
    BadParameter,
    BadRequest,
    MethodNotAllowed,
    MissingParameter,
    NotFound,
    NotJson,
)
from nanomq_py.http.rest.families import FIRST
from nanomq_py.http.rest.parameters import read_json, read_query
from nanomq_py.http.rest.router import Router

pytestmark = pytest.mark.plain


def router() -> Router[str]:
    made: Router[str] = Router()
    for method, path in (
        ("GET", "/"),
        ("GET", "/clients"),
        ("GET", "/clients/{id}"),
        ("DELETE", "/clients/{id}"),
        ("GET", "/clients/username/{name}"),
        ("GET", "/nodes/{node}/clients/{id}"),
        ("GET", "/routes/{topic...}"),
        ("GET", "/routes"),
    ):
        made.add(method, path, f"{method} {path}")
    return made


@pytest.mark.parametrize(
    ("path", "endpoint", "parameters"),
    [
        (b"", "GET /", {}),
        (b"/", "GET /", {}),
        (b"/clients/", "GET /clients", {}),
        (b"/clients/a%2Fb", "GET /clients/{id}", {"id": "a/b"}),
        (b"/%63lien%74s/user%6Eame/a%63", "GET /clients/username/{name}", {"name": "ac"}),
        (b"/clients/username", "GET /clients/{id}", {"id": "username"}),
        (b"/clients/username/u", "GET /clients/username/{name}", {"name": "u"}),
        (b"/nodes/n%40h/clients/%C3%A9", "GET /nodes/{node}/clients/{id}",
         {"node": "n@h", "id": "é"}),
        (b"/routes", "GET /routes", {}),
        (b"/routes/a/b%2Fc", "GET /routes/{topic...}", {"topic": "a/b/c"}),
    ],
)  # fmt: skip
def test_path_finds_its_endpoint(
    path: bytes, endpoint: str, parameters: dict[str, str]
) -> None:
    for method in ("GET", "HEAD"):
        found = router().find(method, path)
        assert (found.endpoint, found.parameters) == (endpoint, parameters)


@pytest.mark.parametrize("path", [b"/nothing", b"/clients/a/b/c", b"/" + b"a/" * 1000])
def test_unknown_path_is_not_found(path: bytes) -> None:
    with pytest.raises(NotFound):
        router().find("GET", path)


def test_other_method_is_told_those_that_there_are() -> None:
    with pytest.raises(MethodNotAllowed) as told:
        router().find("POST", b"/clients/a")
    assert told.value.headers == {"Allow": "DELETE, GET, HEAD"}


@pytest.mark.parametrize("segment", [b"%", b"%2", b"%2u", b"%ff", b"%C3", b"\xff"])
def test_malformed_percent_encoding_is_refused(segment: bytes) -> None:
    with pytest.raises(BadRequest, match="percent-encoded UTF-8"):
        router().find("GET", b"/clients/" + segment)


@given(st.binary(max_size=40))
def test_any_path_is_found_or_refused(path: bytes) -> None:
    try:
        router().find("GET", b"/" + path)
    except (BadRequest, NotFound, MethodNotAllowed):
        return


class Query(msgspec.Struct, frozen=True):
    page: Annotated[int, msgspec.Meta(ge=1)] = 1
    name: str | None = None
    online: bool | None = None


def test_query_is_read() -> None:
    assert read_query(b"page=2&name=a%20b&online=true&_=17", Query) == Query(2, "a b", True)
    assert read_query(b"", Query) == Query()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (b"page=x", "page: "),
        (b"page=0", "page: "),
        (b"online=maybe", "online: "),
        (b"name=%ff", "percent-encoded UTF-8"),
        (b"&".join([b"a=1"] * 1000), "200 parameters at most"),
    ],
)
def test_bad_query_names_its_parameter(query: bytes, said: str) -> None:
    with pytest.raises(BadParameter, match=said):
        read_query(query, Query)


class Body(msgspec.Struct, frozen=True):
    topic: str
    qos: Annotated[int, msgspec.Meta(ge=0, le=2)] = 0


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        (b"", NotJson, "body: expected JSON"),
        (b"{", NotJson, "body: expected JSON"),
        (b'"\xff"', NotJson, "body: expected JSON"),
        (b"[" * 100_000, NotJson, "body: expected JSON"),
        (b"{}", MissingParameter, "topic: missing"),
        (b'{"topic":null}', MissingParameter, "topic: missing"),
        (b'{"topic":1}', BadParameter, "topic: "),
        (b'{"topic":"t","qos":3}', BadParameter, "qos: "),
        (b'{"topic":"t","qos":"1"}', BadParameter, "qos: "),
        (b"[]", BadParameter, "Expected `object`"),
    ],
)
def test_bad_body_says_what_is_wrong(
    body: bytes, error: type[BadRequest], said: str
) -> None:
    with pytest.raises(error, match=said):
        read_json(body, Body)


def test_member_of_a_list_says_what_it_lacks() -> None:
    with pytest.raises(MissingParameter) as told:
        read_json(b'[{"topic":"a"},{}]', list[Body])
    assert told.value.names == ["topic"]


@given(st.binary(max_size=60))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        read_json(body, Body)
    except BadRequest:
        return


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (111, "1 minutes, 51 seconds"),
        (15_679, "4 hours, 21 minutes, 19 seconds"),
        (86_400, "1 days, 0 hours, 0 minutes, 0 seconds"),
    ],
)
def test_duration_is_as_the_documents_write_it(seconds: int, text: str) -> None:
    assert duration(seconds) == text


DIALECTS = {"v2": v2.FAMILIES, "v4": v4.FAMILIES}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_path_of_a_module_has_one_of_its_names(dialect: str) -> None:
    """Else a request to the path would not import the module."""
    families = DIALECTS[dialect]
    for module, names in families.names.items():
        found = import_module(module).ENDPOINTS
        paths = [path for each in found for path in (each.path, *each.also)]
        first = [set(path.strip("/").split("/")[:FIRST]) for path in paths]
        assert all(each & set(names) for each in first), module
        assert set(names) <= set.union(*first), module
    listed = {each for each in families.all() if each.path != "/"}
    package = Path(v2.__file__).parent.with_name(f"emqx_{dialect}")
    modules = [
        import_module(f"nanomq_py.http.{package.name}.{each.stem}")
        for each in package.glob("[a-z]*.py")
    ]
    assert listed == {e for m in modules for e in getattr(m, "ENDPOINTS", ())}


def test_first_request_to_its_paths_loads_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False", "True", "False"]


PROGRAM = """
import sys
from nanomq_py.http.emqx_v4.dialect import FAMILIES
from nanomq_py.http.errors import NotFound

def is_loaded(module):
    return f"nanomq_py.http.emqx_v4.{module}" in sys.modules

print(is_loaded("clients"))
try:
    FAMILIES.find("GET", b"/nothing/here")
except NotFound:
    print(is_loaded("clients"))
assert FAMILIES.find("GET", b"/n%6Fdes/a/%63lients/").endpoint.path == "/clients"
print(is_loaded("clients"), is_loaded("acl"))
"""
