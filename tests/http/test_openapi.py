"""``/api/openapi.json`` describes what each dialect does: programs call all of it.

Source  OpenAPI Specification 3.1.0
"""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

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
from tests.conftest import Process, running_broker

AUTH = ("admin", "public")
# What ends or replaces the broker under test.
ENDING = re.compile(r"/ctrl/|/data/import|config_update|/configuration|/reload$")
NOBODY: Any = None
DIALECTS = [
    EmqxV2(NOBODY, NOBODY),
    EmqxV4(NOBODY, NOBODY),
    EmqxV4(NOBODY, NOBODY, CLOUD),
]
DOCUMENT = json.loads(json.dumps(openapi.document(DIALECTS)))
OPERATIONS = [
    (method, path)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if not ENDING.search(path)
]


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
