"""Commands over HTTP: each endpoint with each outcome, and the document's examples."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import Process, running_broker
from tests.devices.commands.documented import examples
from tests.devices.http import Caller, Said, expired, logged_in, viewer
from tests.devices.simulated import Device
from tests.http.documented import differences
from tests.http.endpoints import find

pytestmark = pytest.mark.plain

COMMANDS = "/remotectl/commands"
RESPONSES = f"{COMMANDS}/responses"
STATS = f"{COMMANDS}/stats"
REQUEST, MADE, ONE, LIST, RESPONSE = examples()
WHOLE = {"from": "t", "to": [{"sn": "nobody"}], "command": "sh"}


@dataclass(frozen=True)
class House:
    """A broker with the plugin, and its callers."""

    process: Process
    admin: Caller
    viewer: Caller
    expired: Caller


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    keys = {"plugins__load": "devices", "plugins__devices__commands__max_of_device": "3"}
    with running_broker(tmp_path_factory.mktemp("commands"), **keys) as process:
        callers = logged_in(process), viewer(process), expired(process)
        yield House(process, *callers)


async def until_over(caller: Caller, number: int) -> dict[str, Any]:
    """Return a command once it is over."""
    for _ in range(2000):
        said = await asyncio.to_thread(caller.call, "GET", f"{COMMANDS}?id={number}")
        if said.data["state"] >= 2:
            row: dict[str, Any] = said.data
            return row
        await asyncio.sleep(0.01)
    raise AssertionError(said)


def without_phase(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as the document has it."""
    assert list(row).index("phase") == list(row).index("publishNow") - 1
    return {key: value for key, value in row.items() if key != "phase"}


@find("iot", "POST", COMMANDS).shows("success")
@find("iot", "GET", COMMANDS).shows("success")
@find("iot", "GET", RESPONSES).shows("success")
async def test_answers_are_like_the_examples_of_the_document(house: House) -> None:
    admin, port = house.admin, house.process.port
    sns = [each["sn"] for each in REQUEST["to"]]
    async with (
        Device(sns[0], topic="dma/resp/cmd").connected(port) as first,
        Device(sns[1], topic="dma/cmd/resp").connected(port),
    ):
        made = (await asyncio.to_thread(admin.call, "POST", COMMANDS, REQUEST)).json
        assert not differences(MADE, made)
        assert [each["sn"] for each in made["data"]["to"]] == sns
        numbers = [each["id"] for each in made["data"]["to"]]
        for number in numbers:
            await until_over(admin, number)
    one = admin.call("GET", f"{COMMANDS}?id={numbers[0]}&page=7&limit=1").json
    one["data"] = without_phase(one["data"])
    # The document's body is another one: what was asked for comes back.
    example = {**ONE, "data": {**ONE["data"], "d": REQUEST["body"]}}
    assert not differences(example, one)
    assert one["data"]["d"] == REQUEST["body"]
    assert one["data"]["detached"] == 1
    listed = admin.call("GET", f"{COMMANDS}?from=iot_web_console&page=1&limit=2").json
    listed["data"]["list"] = [without_phase(each) for each in listed["data"]["list"]]
    assert not differences(LIST, listed)
    assert [each["id"] for each in listed["data"]["list"]] == numbers[::-1]
    told = admin.call("GET", f"{RESPONSES}?id={numbers[0]}").json
    assert not differences(RESPONSE, told)
    told_d, answer = told["data"]["d"], first.told[numbers[0]].answer
    assert answer is not None
    assert told_d == answer["d"]


async def test_responses_of_a_sender(house: House) -> None:
    body = {**WHOLE, "from": "a sender", "to": [{"sn": "r1"}], "maxRetries": 1}
    async with Device("r1", lambda _, nth: "err").connected(house.process.port):
        made = await asyncio.to_thread(house.admin.call, "POST", COMMANDS, body)
        row = await until_over(house.admin, made.data["to"][0]["id"])
    assert (row["state"], row["phase"], row["finishTime"]) == (3, "answered", 0)
    assert row["failedTime"] >= row["publishTime"] > 0
    data = house.admin.call("GET", f"{RESPONSES}?from=a%20sender").data
    assert list(data) == ["count", "limit", "list", "page", "total"]
    assert [data[key] for key in ("count", "limit", "page", "total")] == [1, 100, 1, 1]
    assert not differences(RESPONSE["data"], data["list"][0])
    assert data["list"][0]["status"] == "err"


def test_pages(house: House) -> None:
    body = {**WHOLE, "from": "pages", "to": [{"sn": f"p{n}"} for n in range(5)]}
    numbers = [each["id"] for each in house.admin.call("POST", COMMANDS, body).data["to"]]
    got = []
    for page in (1, 2, 3, 4):
        query = f"?from=pages&page={page}&limit=2"
        data = house.viewer.call("GET", f"{COMMANDS}{query}").data
        assert (data["total"], data["page"], data["limit"]) == (5, page, 2)
        assert data["count"] == len(data["list"])
        got += [each["id"] for each in data["list"]]
    assert got == numbers[::-1]


@pytest.mark.parametrize(
    "writing",
    ["{}", "{}.0", "{:.14e}", "{:.17g}", "{:.15g}"],
    ids=["integer", "float", "exponent", "17 digits", "15 digits"],
)
def test_number_is_taken_in_each_writing(house: House, writing: str) -> None:
    body = {**WHOLE, "from": writing, "to": [{"sn": f"w-{len(writing)}-{writing[-2]}"}]}
    number = house.admin.call("POST", COMMANDS, body).data["to"][0]["id"]
    said = writing.format(number)
    assert house.admin.call("GET", f"{COMMANDS}?id={said}").data["id"] == number


def test_counters_add_up(house: House) -> None:
    data = house.viewer.call("GET", STATS).data
    over = data["succeeded"] + data["failed"]
    assert data["made"] == data["open"] + over + data["expired"] > over > 0
    assert data["made"] == data["kept"] == house.admin.call("GET", COMMANDS).data["total"]
    assert data["tried"] >= data["answers"] >= over
    assert data["bytes"] > 0


# --- outcomes


def test_what_is_left_out_is_as_in_the_example(house: House) -> None:
    made = house.admin.call("POST", COMMANDS, {"to": [{"sn": "x1"}], "command": "sh"})
    row = house.admin.call("GET", f"{COMMANDS}?id={made.data['to'][0]['id']}").data
    for key in ("from", "method", "publishNow", "maxRetries", "expires"):
        assert row[key] == REQUEST[key]
    assert row["d"] == {}
    assert (row["state"], row["phase"], row["publishTime"]) == (0, "queued", 0)


def test_body_may_be_a_text_that_holds_json(house: House) -> None:
    body = {**WHOLE, "to": [{"sn": "x2"}], "body": json.dumps({"shcmd": "id"})}
    made = house.admin.call("POST", COMMANDS, body)
    row = house.admin.call("GET", f"{COMMANDS}?id={made.data['to'][0]['id']}").data
    assert row["d"] == {"shcmd": "id"}


@pytest.mark.parametrize("name", ["to", "command"])
def test_missing(house: House, name: str) -> None:
    body = {key: value for key, value in WHOLE.items() if key != name}
    house.admin.call("POST", COMMANDS, body).assert_refused(400, "missing_parameter", name)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"to": {}}, "to: Expected `array`, got `object`"),
        ({"to": []}, "to: Expected `array` of length >= 1"),
        ({"to": [{"sn": 1}]}, "to[0].sn: Expected `str`, got `int`"),
        ({"to": [{"sn": "a/#"}]}, "to: sn='a/#': expected 1 to 256 bytes"),
        ({"to": [{"sn": ""}]}, "to: sn='': expected 1 to 256 bytes"),
        ({"to": [{"sn": "resp"}]}, "to: sn='resp': its topic is the one"),
        ({"to": [{"sn": "a"}] * 1001}, "to: Expected `array` of length <= 1000"),
        ({"from": 1}, "from: Expected `str`, got `int`"),
        ({"command": ""}, "command: Expected `str` of length >= 1"),
        ({"method": "put"}, "method: Invalid enum value 'put'"),
        ({"body": []}, "body: Expected `str | object`, got `array`"),
        ({"body": "words"}, "body: expected an object of JSON"),
        ({"body": "[]"}, "body: expected an object, or a text that holds one"),
        ({"body": {"x": "y" * 65536}}, "body: 65544 bytes of JSON, and 65536 are the most"),
        ({"publishNow": 1}, "publishNow: Expected `bool`, got `int`"),
        ({"maxRetries": -1}, "maxRetries: Expected `int` >= 0"),
        ({"maxRetries": 101}, "maxRetries: Expected `int` <= 100"),
        ({"expires": 0}, "expires: Expected `int` >= 1"),
        ({"expires": "1"}, "expires: Expected `int`, got `str`"),
        ({"detached": None}, "detached: Expected `bool`, got `null`"),
    ],
)
def test_wrong_type(house: House, change: dict[str, object], text: str) -> None:
    said = house.admin.call("POST", COMMANDS, {**WHOLE, **change})
    said.assert_refused(400, "bad_parameter", text)


def test_no_json(house: House) -> None:
    house.admin.call("POST", COMMANDS, b"{").assert_refused(400, "not_json")
    house.admin.call("POST", COMMANDS, b"").assert_refused(400, "not_json")


@pytest.mark.parametrize("path", [COMMANDS, RESPONSES])
@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("id=x", 400, "bad_parameter"),
        ("id=", 400, "bad_parameter"),
        ("id=nan", 400, "bad_parameter"),
        ("id=1e999", 400, "bad_parameter"),
        ("id=789", 404, "not_found"),
        ("id=201811260000001000", 404, "not_found"),
        ("page=0", 400, "bad_parameter"),
        ("page=x", 400, "bad_parameter"),
        ("limit=1001", 400, "bad_parameter"),
    ],
)
@find("iot", "GET", COMMANDS).shows("not_found")
@find("iot", "GET", RESPONSES).shows("not_found")
def test_query(house: House, path: str, query: str, status: int, code: str) -> None:
    house.viewer.call("GET", f"{path}?{query}").assert_refused(status, code)


def test_no_answer_yet(house: House) -> None:
    made = house.admin.call("POST", COMMANDS, {**WHOLE, "to": [{"sn": "x3"}]})
    number = made.data["to"][0]["id"]
    said = house.admin.call("GET", f"{RESPONSES}?id={number}")
    said.assert_refused(404, "not_found", "no device has answered")


ENDPOINTS: list[tuple[str, str, object]] = [
    ("POST", COMMANDS, WHOLE),
    ("GET", COMMANDS, None),
    ("GET", RESPONSES, None),
    ("GET", STATS, None),
]
REFUSALS: dict[str, tuple[Callable[[House], Caller], int, str]] = {
    "no token": (lambda house: Caller(house.process.http_port), 401, "login_missing"),
    "wrong token": (
        lambda house: Caller(house.process.http_port, "0" * 64),
        401,
        "login_wrong",
    ),
    "expired token": (lambda house: house.expired, 401, "token_expired"),
}


@pytest.mark.parametrize(("method", "path", "body"), ENDPOINTS)
@pytest.mark.parametrize("who", REFUSALS)
def test_who_may_not(house: House, method: str, path: str, body: object, who: str) -> None:
    caller, status, code = REFUSALS[who]
    caller(house).call(method, path, body).assert_refused(status, code)


@pytest.mark.parametrize(("method", "path", "body"), ENDPOINTS)
def test_who_may_only_view(house: House, method: str, path: str, body: object) -> None:
    said: Said = house.viewer.call(method, path, body)
    if path == STATS:
        assert "open" in said.data
    elif method == "GET":
        assert list(said.data) == ["count", "limit", "list", "page", "total"]
    else:
        said.assert_refused(403, "forbidden")


@find("iot", "POST", COMMANDS).shows("too_many_commands")
def test_too_many(house: House) -> None:
    said = house.admin.call("POST", COMMANDS, {**WHOLE, "to": [{"sn": "many"}] * 4})
    said.assert_refused(429, "too_many_commands", "and 3 are the most")
