"""Thousands of sessions in ``/api/v4``: a page costs a page, wherever it is."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator

import pytest

from tests.conftest import Process, running_broker
from tests.faults.test_many_sessions import make_sessions
from tests.http.v4 import get

pytestmark = pytest.mark.alone

SESSIONS = 8000
LIMIT = 100
AUTH = {"Authorization": "Basic YWRtaW46cHVibGlj"}


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running_broker(
        tmp_path_factory.mktemp("crowded"), auth__1__login="u", auth__1__password="p"
    ) as made:
        make_sessions(made.port, SESSIONS, every=1)
        yield made


@pytest.mark.parametrize("kind", ["clients", "subscriptions", "routes"])
def test_last_page_costs_no_more_than_three_times_the_first(
    crowded: Process, kind: str
) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", crowded.http_port, timeout=20)

    def cost(page: int) -> float:
        began = time.perf_counter()
        path = f"/api/v4/{kind}?_page={page}&_limit={LIMIT}"
        connection.request("GET", path, headers=AUTH)
        body = connection.getresponse().read()
        took = time.perf_counter() - began
        assert len(json.loads(body)["data"]) == LIMIT
        return took

    pairs = [(cost(1), cost(SESSIONS // LIMIT)) for _ in range(30)]
    connection.close()
    first, last = (min(times) for times in zip(*pairs, strict=True))
    assert last <= 3 * first, (first, last)


def test_pages_hold_all_sessions(crowded: Process) -> None:
    names = set()
    for page in (1, 2, 3):
        answer = get(crowded, f"/clients?_page={page}&_limit=3000")
        assert answer["meta"]["count"] == SESSIONS
        assert answer["meta"]["hasnext"] is (page < 3)
        names |= {row["clientid"] for row in answer["data"]}
    assert len(names) == SESSIONS
    assert len(get(crowded, "/clients/username/u")["data"]) == SESSIONS
    answer = get(crowded, "/clients?_like_clientid=session-77&_limit=10")
    assert (answer["meta"]["count"], len(answer["data"])) == (111, 10)
