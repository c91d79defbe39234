"""``/api/openapi.json`` describes what each dialect does: programs call all of it.

Source  OpenAPI Specification 3.1.0
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from nanomq_py.http.emqx_v2.dialect import EmqxV2
from nanomq_py.http.emqx_v4.dialect import CLOUD, EmqxV4
from nanomq_py.http.rest import openapi
from nanomq_py.http.v1 import openapi as v1_openapi
from nanomq_py.http.v1.api import HANDLERS
from tests.conftest import Process, running_broker

pytestmark = pytest.mark.plain

AUTH = ("admin", "public")
# What ends or replaces the broker under test.
ENDING = re.compile(r"/ctrl/|/data/import|config_update|/configuration|/reload$")
NOBODY: Any = None
DIALECTS = [
    EmqxV2(NOBODY, NOBODY),
    EmqxV4(NOBODY, NOBODY),
    EmqxV4(NOBODY, NOBODY, CLOUD),
]
MADE = openapi.document(DIALECTS)
v1_openapi.add_to(MADE)
DOCUMENT = json.loads(json.dumps(MADE))
OPERATIONS = [
    (method, path)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if not ENDING.search(path) and path != "/api/v1"
]
V1_ENDING = (10, 12)  # requests


def not_our_fault(*given: Any) -> bool | None:
    """501 says that this version has no such thing."""
    _, response, _ = given
    return None if response.status_code == 501 else not_a_server_error(*given)


CHECKS = [
    not_our_fault,
    status_code_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running_broker(tmp_path_factory.mktemp("openapi")) as process:
        yield process


def fetched(broker: Process, path: str) -> tuple[Any, bytes]:
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    url = f"http://127.0.0.1:{broker.http_port}"
    passwords.add_password(None, url, *AUTH)
    handler = urllib.request.HTTPBasicAuthHandler(passwords)
    with urllib.request.build_opener(handler).open(url + path, timeout=20) as got:
        return got.headers, got.read()


@pytest.fixture(scope="module")
def document(broker: Process) -> Any:
    return json.loads(fetched(broker, "/api/openapi.json")[1])


@pytest.fixture(scope="module")
def api(broker: Process, document: Any) -> Any:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=f"http://127.0.0.1:{broker.http_port}")
    return schema


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@settings(max_examples=5)
@given(data=st.data())
def test_operation_does_what_it_is_described_to_do(
    api: Any, method: str, path: str, data: st.DataObject
) -> None:
    case = data.draw(api[path][method].as_strategy())
    case.call_and_validate(auth=AUTH, checks=CHECKS, timeout=20)


@settings(max_examples=60)
@given(data=st.data())
def test_v1_does_what_it_is_described_to_do(api: Any, data: st.DataObject) -> None:
    made = api["/api/v1"]["POST"].as_strategy()
    case = data.draw(made.filter(lambda case: case.body["req"] not in V1_ENDING))
    case.call_and_validate(auth=AUTH, checks=CHECKS, timeout=20)


def said(broker: Process, **fields: Any) -> tuple[int, Any]:
    answer = broker.api(**fields)
    return answer.status, answer.json


def fits(document: Any, name: str, answer: Any) -> None:
    """Raise where an answer is not what that component says."""
    whole = {**document, "$ref": f"#/components/schemas/v1.{name}"}
    jsonschema_rs.Draft202012Validator(whole).validate(answer)


@pytest.mark.parametrize(
    ("req", "fields"),
    [
        *((req, {}) for req in HANDLERS if req not in V1_ENDING),
        (10, {"action": "reload"}),
        (12, {"data": {"qos_duration": 20, "http_server": {"auth_type": "basic"}}}),
    ],
)
def test_each_request_of_v1_is_answered_as_described(
    broker: Process, document: Any, req: int, fields: dict[str, Any]
) -> None:
    with broker.raw() as c:
        c.connect("c")
        c.subscribe(("a/+", 1), ("a/#", 0))
        status, answer = said(broker, req=req, **fields)
    assert status == 200
    assert set(answer) == {"code", "seq", "rep", "data"}
    fits(document, f"rep{req}", answer)
    if req == 11:  # with nothing else in it
        shown = document["components"]["schemas"]["v1.Configuration"]["properties"]
        assert list(answer["data"]) == list(shown)
        for name in ("tls", "websocket", "http_server"):
            assert list(answer["data"][name]) == list(shown[name]["properties"])
        # Of a bridge what is not in the document is shown where it is not the default.
        assert set(answer["data"]["bridge"]) <= set(shown["bridge"]["properties"])
        said_again = {"req": 12, "seq": 1, "data": answer["data"]}
        fits(document, "req12", said_again)


def test_requests_of_v1_are_told_apart_by_their_code(document: Any) -> None:
    body = document["paths"]["/api/v1"]["post"]["requestBody"]["content"]
    schema = body["application/json"]["schema"]
    assert len(schema["oneOf"]) == len(HANDLERS)
    for req, each in zip(HANDLERS, schema["oneOf"], strict=True):
        named = document["components"]["schemas"][each["$ref"].rpartition("/")[2]]
        assert named["properties"]["req"] == {"const": req}
        assert named["description"].startswith(f"req {req}")


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"req": 10}, 400), ({"req": 10, "action": "go"}, 400), ({"req": 7}, 404)],
)
def test_errors_of_v1_are_as_described(
    broker: Process, document: Any, fields: dict[str, Any], status: int
) -> None:
    assert str(status) in document["paths"]["/api/v1"]["post"]["responses"]
    found, answer = said(broker, **fields)
    assert found == status
    fits(document, "Error", answer)


def test_document_of_some_dialects_has_these(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("some")
    with running_broker(folder, http_server__dialects="v1") as process:
        paths = json.loads(fetched(process, "/api/openapi.json")[1])["paths"]
        assert list(paths) == ["/api/v1"]
        process.reload(http_server__dialects="v2")
        paths = json.loads(fetched(process, "/api/openapi.json")[1])["paths"]
        assert paths
        assert all(path.startswith("/api/v2") for path in paths)


def test_broker_serves_the_document_of_its_dialects(document: Any) -> None:
    assert document == DOCUMENT


def test_document_names_every_parameter_of_each_path(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = [
                p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"
            ]
            assert named == re.findall("{(.+?)}", path)


def test_page_runs_nothing_but_what_is_in_it(broker: Process) -> None:
    headers, page = fetched(broker, "/api-docs")
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; connect-src 'self'")
    assert b"<script>" in page
    assert "unsafe" not in policy
    assert not re.search(rb"(src|href)=.?https?:", page)
