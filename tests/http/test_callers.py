"""Who may call the API: each kind of caller, right and wrong, and what counts at once."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import MagicMock

import jwt
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import ASGIApp

from nanomq_py.auth import api_logins
from nanomq_py.auth.api_accounts import ApiAccounts
from nanomq_py.auth.callers import Caller, CallerKind
from nanomq_py.config import Config
from nanomq_py.config.keys.http_server import HttpServer
from nanomq_py.http.app import make_app
from nanomq_py.http.emqx_v2.dialect import EmqxV2
from nanomq_py.http.emqx_v4.dialect import EmqxV4
from nanomq_py.http.errors import HttpError, Login, Throttled, Unauthorized, Unexpected
from nanomq_py.http.guard import Gate, make_guard
from nanomq_py.http.part import Http
from nanomq_py.http.rest.dialect import RestDialect
from nanomq_py.http.rest.endpoint import Endpoint, Plain
from nanomq_py.http.rest.families import Families
from nanomq_py.http.v1.api import V1, Api
from nanomq_py.kernel.reload import Outcome
from nanomq_py.plugins.pages import Pages
from nanomq_py.store.api_users import ApiUser, ApiUserTable
from nanomq_py.store.faults import LastAdministratorError, StoreFullError, TakenError
from nanomq_py.store.moment import wall_s
from nanomq_py.store.roles import Role
from nanomq_py.store.store import Store
from tests.http.test_v1 import FakeBroker, FakeConfigurator, FakeProcess

pytestmark = pytest.mark.plain

ADDRESS = "192.0.2.1"
JWT_SECRET = "0123456789abcdef" * 2
OWN = HttpServer(username="root", password="own")
DEFAULT = HttpServer()
TOKENS = HttpServer(auth_type="jwt", jwt_secret=JWT_SECRET)


class Place:
    """A store in memory that is there from its first use on."""

    def __init__(self) -> None:
        self.made: Store | None = None
        self.looks = 0

    @property
    def store(self) -> Store:
        if self.made is None:
            self.made = Store(None)
        return self.made

    async def is_there(self) -> bool:
        self.looks += 1
        return self.made is not None


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    place = Place()
    yield place
    if place.made is not None:
        await place.made.close()


@pytest.fixture
async def accounts(place: Place) -> AsyncIterator[ApiAccounts]:
    accounts = ApiAccounts(place)
    yield accounts
    accounts.close()


async def fill(accounts: ApiAccounts) -> None:
    await accounts.create_user("ann", b"ann's", Role.ADMINISTRATOR, who="test")
    await accounts.create_user("vic", b"vic's", Role.VIEWER, who="test")
    await accounts.create_app("exporter", secret="app's", who="test")


def basic(name: str | bytes, password: str | bytes) -> str:
    pair = [each.encode() if isinstance(each, str) else each for each in (name, password)]
    return "Basic " + base64.b64encode(b":".join(pair)).decode()


def bearer(**claims: object) -> str:
    token = jwt.encode({"exp": time.time() + 60, **claims}, JWT_SECRET, "HS256")
    return f"Bearer {token}"


async def refusal(
    gate: Gate, authorization: str | None, address: str = ADDRESS
) -> HttpError:
    with pytest.raises(HttpError) as caught:
        await gate.admit(address, authorization)
    return caught.value


async def is_wrong(gate: Gate, authorization: str | None) -> bool:
    error = await refusal(gate, authorization)
    return isinstance(error, Unauthorized) and error.why is Login.WRONG


# --- each kind of caller

KINDS = {
    "configured": ("root", "own", Role.ADMINISTRATOR, CallerKind.CONFIGURED),
    "administrator": ("ann", "ann's", Role.ADMINISTRATOR, CallerKind.USER),
    "viewer": ("vic", "vic's", Role.VIEWER, CallerKind.USER),
    "app": ("exporter", "app's", Role.ADMINISTRATOR, CallerKind.APP),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_right_login_says_who_calls(accounts: ApiAccounts, kind: str) -> None:
    await fill(accounts)
    name, password, role, what = KINDS[kind]
    caller = await Gate(make_guard(OWN), accounts).admit(ADDRESS, basic(name, password))
    assert caller == Caller(name, role, what)
    assert caller.may_change is (role is Role.ADMINISTRATOR)


WRONG: dict[str, Callable[[str, str], str]] = {
    "wrong": lambda name, password: basic(name, password + "x"),
    "empty": lambda name, password: basic(name, ""),
    "huge": lambda name, password: basic(name, password * 3000),
    "huge name": lambda name, password: basic(name * 3000, password),
    "no UTF-8": lambda name, password: basic(name, b"\xff" + password.encode()),
    "no UTF-8 name": lambda name, password: basic(name.encode() + b"\xff", password),
    "NUL": lambda name, password: basic(name + "\0", password),
    "another case": lambda name, password: basic(name.upper(), password),
    "somebody else's": lambda name, password: basic(
        name, next(pair[1] for pair in KINDS.values() if pair[0] != name)
    ),
    "no base64": lambda name, password: "Basic =:=",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", WRONG)
async def test_wrong_login_is_refused(accounts: ApiAccounts, kind: str, how: str) -> None:
    await fill(accounts)
    gate = Gate(make_guard(OWN), accounts)
    name, password, *_ = KINDS[kind]
    assert await is_wrong(gate, WRONG[how](name, password))


@pytest.mark.parametrize("authorization", [None, "", "Basic", "Basic Og==", "Digest x"])
async def test_missing_login_is_told_so(
    accounts: ApiAccounts, authorization: str | None
) -> None:
    await fill(accounts)
    error = await refusal(Gate(make_guard(OWN), accounts), authorization)
    assert isinstance(error, Unauthorized)
    assert error.why is Login.MISSING


async def test_tokens_are_administrators_and_passwords_do_not_count_beside_them(
    accounts: ApiAccounts,
) -> None:
    await fill(accounts)
    gate = Gate(make_guard(TOKENS), accounts)
    caller = await gate.admit(ADDRESS, bearer(sub="ops", role="viewer"))
    expected = Caller("token of 'ops'", Role.ADMINISTRATOR, CallerKind.TOKEN)
    assert caller == expected  # no document has a claim of a role
    for name, password, *_ in KINDS.values():
        error = await refusal(gate, basic(name, password))
        assert isinstance(error, Unauthorized)
        assert error.why is Login.MISSING
    basic_gate = Gate(make_guard(OWN), accounts)
    assert isinstance(await refusal(basic_gate, bearer(sub="ops")), Unauthorized)


# --- what changes counts at once

Change = Callable[[ApiAccounts], Awaitable[object]]

ENDS: dict[str, tuple[str, Change]] = {
    "password": ("vic", lambda a: a.change_password("vic", b"new", who="test")),
    "deleted": ("vic", lambda a: a.delete_user("vic", who="test")),
    "app deleted": ("exporter", lambda a: a.delete_app("exporter", who="test")),
    "disabled": ("exporter", lambda a: a.update_app("exporter", enabled=False, who="test")),
    "expired": ("exporter", lambda a: a.update_app("exporter", expires_at=5.0, who="test")),
}


@pytest.mark.parametrize("what", ENDS)
async def test_change_counts_at_once(accounts: ApiAccounts, what: str) -> None:
    await fill(accounts)
    gate = Gate(make_guard(OWN), accounts)
    name, change = ENDS[what]
    login = basic(name, "vic's" if name == "vic" else "app's")
    for _ in range(2):  # the second is remembered
        assert (await gate.admit(ADDRESS, login)).name == name
    assert await change(accounts)
    assert await is_wrong(gate, login)


async def test_app_ends_at_its_time(
    accounts: ApiAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = wall_s() + 100
    await accounts.create_app("a", secret="s", expires_at=end, who="test")
    gate = Gate(make_guard(OWN), accounts)
    await gate.admit(ADDRESS, basic("a", "s"))
    monkeypatch.setattr(api_logins, "wall_s", lambda: end)
    assert await is_wrong(gate, basic("a", "s"))
    assert await accounts.update_app("a", for_ever=True, who="test")
    await gate.admit(ADDRESS, basic("a", "s"))


async def test_role_counts_at_once(accounts: ApiAccounts) -> None:
    await fill(accounts)
    gate = Gate(make_guard(OWN), accounts)
    assert not (await gate.admit(ADDRESS, basic("vic", "vic's"))).may_change
    assert await accounts.update_user("vic", role=Role.ADMINISTRATOR, who="test")
    assert (await gate.admit(ADDRESS, basic("vic", "vic's"))).may_change


async def test_password_that_changes_while_it_is_hashed_does_not_count(
    accounts: ApiAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(accounts)
    gate = Gate(make_guard(OWN), accounts)
    has_begun, may_end = threading.Event(), threading.Event()

    def matches(stored: str, password: bytes) -> bool:
        has_begun.set()
        return may_end.wait(60)

    monkeypatch.setattr("nanomq_py.auth.verifier.matches", matches)
    login = asyncio.create_task(is_wrong(gate, basic("vic", "vic's")))
    assert await asyncio.to_thread(has_begun.wait, 60)
    await accounts.change_password("vic", b"new", who="test")
    may_end.set()
    assert await login


async def test_row_that_changes_while_it_is_read_is_not_remembered(
    accounts: ApiAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(accounts)
    gate = Gate(make_guard(OWN), accounts)
    real = ApiUserTable.get

    async def late(table: ApiUserTable, name: str) -> ApiUser | None:
        row = await real(table, name)
        monkeypatch.setattr(ApiUserTable, "get", real)
        await accounts.change_password("vic", b"new", who="test")
        return row

    monkeypatch.setattr(ApiUserTable, "get", late)
    assert await is_wrong(gate, basic("vic", "vic's"))


async def test_another_process_is_noticed_when_a_row_is_half_a_second_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OnDisk(Place):
        @property
        def store(self) -> Store:
            if self.made is None:
                self.made = Store(tmp_path / "x.db")
            return self.made

    place, other = OnDisk(), Store(tmp_path / "x.db", beside=True)
    accounts, theirs = ApiAccounts(place), ApiAccounts(type("P", (), {"store": other})())
    await accounts.create_user("vic", b"vic's", Role.VIEWER, who="test")
    gate = Gate(make_guard(OWN), accounts)
    await gate.admit(ADDRESS, basic("vic", "vic's"))
    await theirs.create_user("ann", b"ann's", Role.ADMINISTRATOR, who="test")
    assert (await gate.admit(ADDRESS, basic("ann", "ann's"))).may_change  # no row is known
    await theirs.change_password("vic", b"new", who="test")
    now = api_logins.ApiLogins._now
    monkeypatch.setattr(
        api_logins.ApiLogins, "_now", staticmethod(lambda: now() + api_logins.FRESH_S)
    )
    assert await is_wrong(gate, basic("vic", "vic's"))
    await gate.admit(ADDRESS, basic("vic", "new"))
    await other.close()
    assert place.made is not None
    await place.made.close()


# --- the default password


async def test_default_password_counts_until_there_is_an_administrator(
    accounts: ApiAccounts,
) -> None:
    gate = Gate(make_guard(DEFAULT), accounts)
    default = basic("admin", "public")
    assert (await gate.admit(ADDRESS, default)).kind is CallerKind.CONFIGURED
    await accounts.create_user("vic", b"vic's", Role.VIEWER, who="test")
    assert (await gate.admit(ADDRESS, default)).kind is CallerKind.CONFIGURED
    await accounts.create_user("admin", b"mine", Role.ADMINISTRATOR, who="test")
    assert await is_wrong(gate, default)
    assert (await gate.admit(ADDRESS, basic("admin", "mine"))).kind is CallerKind.USER
    own = Gate(make_guard(OWN), accounts)
    assert (await own.admit(ADDRESS, basic("root", "own"))).kind is CallerKind.CONFIGURED


async def test_last_administrator_stays_while_the_default_password_would_count(
    accounts: ApiAccounts,
) -> None:
    await fill(accounts)
    accounts.needs_administrator = True
    with pytest.raises(LastAdministratorError, match=r"http_server\.password"):
        await accounts.delete_user("ann", who="test")
    with pytest.raises(LastAdministratorError):
        await accounts.update_user("ann", role=Role.VIEWER, who="test")
    assert await accounts.has_administrator()
    await accounts.update_user("vic", role=Role.ADMINISTRATOR, who="test")
    assert await accounts.delete_user("ann", who="test")
    accounts.needs_administrator = False
    assert await accounts.delete_user("vic", who="test")


# --- what is there, and what may be


async def test_store_that_is_not_there_is_not_made_by_a_look(
    place: Place, accounts: ApiAccounts
) -> None:
    gate = Gate(make_guard(DEFAULT), accounts)
    for _ in range(3):
        await gate.admit(ADDRESS, basic("admin", "public"))
    assert place.looks == 1  # in half a second
    assert await is_wrong(gate, basic("ann", "x"))
    assert (await accounts.users(), await accounts.apps()) == ([], [])
    assert await accounts.user("ann") is None
    assert await accounts.app("ann") is None
    assert not await accounts.delete_user("ann", who="test")
    assert not await accounts.update_app("ann", who="test")
    assert not await accounts.change_password("ann", b"x", who="test")
    assert place.made is None


async def test_users_and_apps_are_listed_by_name_without_their_secrets(
    accounts: ApiAccounts,
) -> None:
    await fill(accounts)
    await accounts.update_user("vic", email="v@x.org", description="reads", who="test")
    users = await accounts.users()
    assert [(user.name, user.email, user.description) for user in users] == [
        ("ann", "", ""),
        ("vic", "v@x.org", "reads"),
    ]
    assert [user.name for user in await accounts.users(after="ann", limit=1)] == ["vic"]
    made = await accounts.create_app("b", name="B", description="d", who="test")
    assert len(made) >= 43  # 256 bits
    apps = await accounts.apps(after="a")
    assert [(app.app_id, app.name, app.enabled, app.expires_at) for app in apps] == [
        ("b", "B", True, None),
        ("exporter", "", True, None),
    ]
    assert "scrypt" not in repr(users) + repr(apps)
    assert (await Gate(make_guard(OWN), accounts).admit(ADDRESS, basic("b", made))).name


@pytest.mark.parametrize("name", ["", "a:b", "a b", "a\n", "x" * 256, "\ud800", "\0"])
async def test_name_that_cannot_log_in_is_refused(accounts: ApiAccounts, name: str) -> None:
    with pytest.raises(ValueError, match="expected 1 to 255 bytes"):
        await accounts.create_user(name, b"x", Role.VIEWER, who="test")
    with pytest.raises(ValueError, match="expected 1 to 255 bytes"):
        await accounts.create_app(name, who="test")


async def test_passwords_and_notes_have_bounds(accounts: ApiAccounts) -> None:
    for password in (b"", b"x" * 1025):
        with pytest.raises(ValueError, match="1 to 1024 bytes"):
            await accounts.create_user("u", password, Role.VIEWER, who="test")
    with pytest.raises(ValueError, match="email"):
        await accounts.create_user("u", b"x", Role.VIEWER, email="x" * 1025, who="test")
    for end in (-1.0, float("nan"), 1e12):
        with pytest.raises(ValueError, match="expires_at"):
            await accounts.create_app("a", expires_at=end, who="test")
    assert await accounts.users() == []


async def test_a_name_is_a_users_or_an_apps(
    accounts: ApiAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(accounts)
    for name in ("ann", "exporter"):
        with pytest.raises(TakenError, match=name):
            await accounts.create_user(name, b"x", Role.VIEWER, who="test")
        with pytest.raises(TakenError, match=name):
            await accounts.create_app(name, who="test")
    monkeypatch.setattr("nanomq_py.store.api_users.MOST_LOGINS", 2)
    with pytest.raises(StoreFullError, match="2 are the most"):
        await accounts.create_user("more", b"x", Role.VIEWER, who="test")
    await accounts.create_app("more", who="test")


# --- guessing


async def test_failures_are_counted_by_address_and_user(
    accounts: ApiAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(accounts)
    gate = Gate(make_guard(OWN), accounts)
    waits: list[float] = []

    async def wait(network: str, wait_s: float, gone: asyncio.Event) -> None:
        waits.append(round(wait_s, 3))

    monkeypatch.setattr(gate, "_wait", wait)
    for _ in range(8):
        assert await is_wrong(gate, basic("vic", "guess"))
    assert waits == [0.1, 0.2]
    await gate.admit(ADDRESS, basic("ann", "ann's"))
    await gate.admit("192.0.2.9", basic("vic", "vic's"))
    assert waits == [0.1, 0.2]
    # A password in a body is a guess like others.
    with pytest.raises(Unauthorized):
        await gate.prove(ADDRESS, "vic", "guess")
    assert (await gate.prove(ADDRESS, "vic", "vic's")).name == "vic"
    assert waits == [0.1, 0.2, 0.4, 0.8]


async def test_too_many_hashes_at_once_are_told_to_come_again(
    accounts: ApiAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nanomq_py.auth.verifier.MOST_WAITING_ALIKE", 1)
    await fill(accounts)
    gate = Gate(make_guard(OWN), accounts)
    guesses = [refusal(gate, basic("vic", f"{n}")) for n in range(12)]
    refused = [e for e in await asyncio.gather(*guesses) if isinstance(e, Throttled)]
    assert refused
    assert {(e.status, e.headers["Retry-After"]) for e in refused} == {(429, "1")}


async def test_store_that_does_not_answer_is_ours_and_the_configured_one_gets_in(
    accounts: ApiAccounts, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    await fill(accounts)
    gate = Gate(make_guard(OWN), accounts)
    await place.store.close()
    for _ in range(3):
        assert isinstance(await refusal(gate, basic("vic", "vic's")), Unexpected)
    lines = [each for each in caplog.messages if "users and apps cannot log in" in each]
    assert len(lines) == 1
    await gate.admit(ADDRESS, basic("root", "own"))
    default = await refusal(Gate(make_guard(DEFAULT), accounts), basic("admin", "public"))
    assert isinstance(default, Unexpected)  # an administrator may be in it


@pytest.mark.alone
async def test_every_wrong_login_takes_as_long(accounts: ApiAccounts) -> None:
    await fill(accounts)
    await accounts.create_app("off", secret="s", enabled=False, who="test")
    guard = make_guard(OWN)
    logins = {
        "user": lambda n: basic("vic", f"x{n}"),
        "app": lambda n: basic("exporter", f"x{n}"),
        "nobody": lambda n: basic(f"nobody{n}", "x"),
        "configured": lambda n: basic("root", f"x{n}"),
        "disabled": lambda n: basic("off", "s"),
        "no UTF-8": lambda n: basic(b"\xff%d" % n, "x"),
    }
    # Of the processor: the threads of low priority that hash wait for others.
    times: dict[str, list[float]] = {kind: [] for kind in logins}
    for n in range(15):
        for kind, login in logins.items():
            began = time.process_time()
            with pytest.raises(Unauthorized):
                await guard.check(login(n), ADDRESS, accounts)
            times[kind].append(time.process_time() - began)
    medians = sorted(median(each) for each in times.values())
    assert medians[-1] < 1.5 * medians[0], {k: median(v) for k, v in times.items()}


async def test_login_that_is_remembered_costs_no_hash(
    accounts: ApiAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(accounts)
    gate = Gate(make_guard(OWN), accounts)
    for name, password in (("vic", "vic's"), ("exporter", "app's")):
        await gate.admit(ADDRESS, basic(name, password))

    def never(*args: object) -> bool:
        raise AssertionError("hashed")

    monkeypatch.setattr("nanomq_py.auth.verifier.matches", never)
    for _ in range(3):
        await gate.admit(ADDRESS, basic("vic", "vic's"))
        await gate.admit(ADDRESS, basic("exporter", "app's"))


async def test_secrets_are_in_no_log_line(
    accounts: ApiAccounts, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await fill(accounts)
    made = await accounts.create_app("b", who="root from 192.0.2.1:5")
    await accounts.change_password("vic", b"newer", who="root")
    gate = Gate(make_guard(OWN), accounts)
    await is_wrong(gate, basic("vic", "guessed"))
    for secret in ("ann's", "vic's", "app's", made, "newer", "guessed", "scrypt"):
        assert secret not in caplog.text
    assert "root from 192.0.2.1:5: added app 'b' of the HTTP API" in caplog.text
    assert "changed the password of user 'vic'" in caplog.text


# --- V1: who may do what


class Calm(FakeConfigurator):
    """A configuration that is reloaded as it was."""

    async def reload(self, who: str) -> Outcome:
        return Outcome((), (), ())


class _Known:
    """Logs in whoever is asked for, with that role."""

    needs_administrator = False

    async def has_administrator(self) -> bool:
        return False

    async def check(self, name: bytes, password: bytes, address: str) -> Caller | None:
        return Caller(name.decode(), Role(name.decode()), CallerKind.USER)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    ("req", "changes"),
    [(2, False), (4, False), (5, False), (11, False), (10, True), (12, True)],
)
def test_v1_lets_viewers_read(role: Role, req: int, changes: bool) -> None:
    process = FakeProcess()
    api = Api(FakeBroker(), Calm(), process)
    gate = Gate(make_guard(OWN), _Known())
    client = TestClient(make_app([V1(api, gate)]), client=("127.0.0.1", 5))
    body = {"req": req, "seq": 7, "action": "stop", "data": {}}
    got = client.post("/api/v1", json=body, auth=(role.value, "x"))
    if changes and role is Role.VIEWER:
        assert (got.status_code, got.json()["code"], got.json()["rep"]) == (403, 103, req)
        assert "data" not in got.json()
    else:
        assert (got.status_code, got.json()["code"]) == (200, 0)


def test_v1_shows_no_secret_of_the_configuration_to_a_viewer() -> None:
    gate = Gate(make_guard(OWN), _Known())
    api = Api(FakeBroker(), FakeConfigurator(), FakeProcess())
    client = TestClient(make_app([V1(api, gate)]), client=("127.0.0.1", 5))
    shown = [
        client.post("/api/v1", json={"req": 11, "seq": 1}, auth=(role.value, "x")).json()
        for role in (Role.ADMINISTRATOR, Role.VIEWER)
    ]
    assert [each["data"]["http_server"]["password"] for each in shown] == [
        "public",
        "******",
    ]


def test_plugins_pages_let_viewers_read() -> None:
    pages = Mount("/plugins", Pages(lambda name: None, Gate(make_guard(OWN), _Known())))
    client = TestClient(Starlette(routes=[pages]))
    for method, status in (("GET", 404), ("HEAD", 404), ("POST", 403), ("DELETE", 403)):
        for role, expected in ((Role.VIEWER, status), (Role.ADMINISTRATOR, 404)):
            got = client.request(method, "/plugins/none/x", auth=(role.value, "x"))
            assert got.status_code == expected


async def test_default_password_in_force_keeps_an_administrator(
    accounts: ApiAccounts,
) -> None:
    """As long as it would count: see ``HttpChange.commit``."""

    class Apps:
        def app(self, gate: Gate, names: Sequence[str]) -> ASGIApp:
            return Starlette()

    http = Http(Apps, lambda: accounts)
    here = {"port": 0, "host": "127.0.0.1"}
    for given, needs in (
        (HttpServer(**here), True),
        (HttpServer(**here, password="own"), False),
        (HttpServer(**here, auth_type="jwt", jwt_secret=JWT_SECRET), False),
    ):
        change = await http.prepare(Config(http_server=given))
        change.commit()
        assert accounts.needs_administrator is needs
    http.leave()
    await http.stop()


# --- dialects of endpoints: what a method does says who may call it


async def _nothing(api: object, call: Plain) -> None: ...


@pytest.mark.parametrize("dialect", [EmqxV2, EmqxV4])
@pytest.mark.parametrize("role", Role)
def test_dialects_let_viewers_read(dialect: type[EmqxV2 | EmqxV4], role: Role) -> None:
    api = MagicMock()
    made: Any = dialect(api, Gate(make_guard(OWN), _Known()))
    endpoints = [
        Endpoint(method="GET", path="/x", act=_nothing, summary=""),
        Endpoint(method="PUT", path="/x", act=_nothing, summary=""),
        Endpoint(method="POST", path="/look", act=_nothing, summary="", changes=False),
        Endpoint(method="GET", path="/do", act=_nothing, summary="", changes=True),
    ]
    RestDialect.__init__(made, made.prefix, api, made._gate, Families({}, endpoints))
    client = TestClient(make_app([made]))
    got = [
        client.request(each.method, made.prefix + each.path, auth=(role.value, "x"))
        for each in endpoints
    ]
    refused = (403, 103) if role is Role.VIEWER else (200, 0)
    assert [(each.status_code, each.json()["code"]) for each in got] == [
        (200, 0),
        refused,
        (200, 0),
        refused,
    ]
