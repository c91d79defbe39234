"""Enhanced authentication: any data from the network, other methods, bounds."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import pytest
import scramp
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.auth import enhanced
from nanomq_py.auth.chain import Decision, Login
from nanomq_py.auth.enhanced import CONTINUE_AUTHENTICATION, Exchanges, Step
from nanomq_py.auth.password import Users
from nanomq_py.auth.scram import Scram
from nanomq_py.config.keys.access import User
from nanomq_py.core.declared import ReasonCode

pytestmark = pytest.mark.plain

SCRAM = Scram([User(login="u", password="secret")])
FIRST = st.builds(
    lambda *parts: ",".join(parts).encode(),
    st.sampled_from(["n", "y", "p=tls-unique", "", "x"]),
    st.sampled_from(["", "a=x"]),
    st.sampled_from(["n=u", "n=", "m=1", "n=a=2Cb", "n==", "n=\u00aa"]),
    st.sampled_from(["r=abc", "r=", "r=a b", "c=1"]),
)
FINAL = st.builds(
    lambda *parts: ",".join(parts).encode(),
    st.sampled_from(["c=biws", "c=", "c=!", "x"]),
    st.sampled_from(["r=abc", "r=", "x"]),
    st.sampled_from(["p=AAAA", "p=", "p=!", "p=" + "A" * 43 + "=", ""]),
)


@given(st.binary() | FIRST, st.none() | st.binary() | FINAL)
def test_scram_refuses_any_data_that_proves_nothing(
    first: bytes, final: bytes | None
) -> None:
    exchanges = Exchanges([SCRAM])
    step = exchanges.begin(1, "SCRAM-SHA-256", "c", first)
    if step.reason_code == CONTINUE_AUTHENTICATION:
        step = exchanges.go_on(1, final)
    assert step == Step(0x87)


@pytest.mark.parametrize("user", ["u", "\u00fc,=\u00e9"])
def test_scram_lets_the_user_in_and_names_it(user: str) -> None:
    exchanges = Exchanges([Scram([User(login=user, password="p\u00e4ss")])])
    client = scramp.ScramClient(["SCRAM-SHA-256"], user, "p\u00e4ss")
    step = exchanges.begin(1, "SCRAM-SHA-256", "c", client.get_client_first().encode())
    assert step.reason_code == CONTINUE_AUTHENTICATION
    assert step.data is not None
    client.set_server_first(step.data.decode())
    step = exchanges.go_on(1, client.get_client_final().encode())
    assert (step.reason_code, step.user_name) == (0, user)


class Broken:
    name = "BROKEN"

    def begin(self, client_id: str) -> Broken:
        return self

    def step(self, data: bytes | None) -> Step:
        raise RuntimeError("oh")


def test_method_that_fails_refuses_its_client(caplog: pytest.LogCaptureFixture) -> None:
    assert Exchanges([Broken()]).begin(1, "BROKEN", "c", None) == Step(0x80)
    assert "an authentication method failed" in caplog.text


class Patient:
    name = "PATIENT"

    def begin(self, client_id: str) -> Patient:
        return Patient()

    def step(self, data: bytes | None) -> Step:
        return Step(CONTINUE_AUTHENTICATION)


def test_exchanges_under_way_are_bounded_and_the_oldest_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(enhanced, "MOST_UNDER_WAY", 60)
    exchanges = Exchanges([Patient()])
    for number in range(100):
        exchanges.begin(number, "PATIENT", "c", None)
    assert len(exchanges) == 60
    assert exchanges.go_on(99, None).reason_code == CONTINUE_AUTHENTICATION
    assert exchanges.go_on(1, None) == Step(0x87)
    assert exchanges.begin(200, "OTHER", "c", None) == Step(0x8C)


def test_exchange_ends_with_its_connection() -> None:
    exchanges = Exchanges([Patient()])
    exchanges.begin(1, "PATIENT", "c", None)
    exchanges.begin(1, "PATIENT", "c", None)
    exchanges.end(1)
    exchanges.end(2)
    assert len(exchanges) == 0
    assert exchanges.go_on(1, None) == Step(0x87)


@pytest.mark.parametrize(
    ("name", "goes_on"), [("n" * 256, True), ("n" * 257, False), ("=2C" * 256, True)]
)
def test_long_names_are_refused_before_they_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, name: str, goes_on: bool
) -> None:
    looked_at = []
    keys_of = SCRAM.keys_of
    monkeypatch.setattr(SCRAM, "keys_of", lambda n: looked_at.append(n) or keys_of(n))
    step = Exchanges([SCRAM]).begin(1, "SCRAM-SHA-256", "c", f"n,,n={name},r=x".encode())
    assert step == Step(CONTINUE_AUTHENTICATION if goes_on else 0x87, step.data)
    assert bool(looked_at) == goes_on


def refused_s(user: str) -> float:
    """Return how long the broker needs to refuse an exchange of SCRAM."""
    exchanges = Exchanges([SCRAM])
    client = scramp.ScramClient(["SCRAM-SHA-256"], user, "wrong")
    first = client.get_client_first().encode()
    began = time.perf_counter()
    step = exchanges.begin(1, "SCRAM-SHA-256", "c", first)
    taken_s = time.perf_counter() - began
    assert step.data is not None
    client.set_server_first(step.data.decode())
    final = client.get_client_final().encode()
    began = time.perf_counter()
    assert exchanges.go_on(1, final).reason_code == ReasonCode.NOT_AUTHORIZED
    return taken_s + time.perf_counter() - began


def looked_up_s(user: str) -> float:
    """Return how long the configuration's users need to look at a wrong password."""
    login = Login(1, "192.0.2.1", "c", user, b"wrong")
    began = time.perf_counter()
    answer = USERS.decide(login)
    taken_s = time.perf_counter() - began
    assert answer is None or isinstance(answer, Decision)
    return taken_s


USERS = Users([User(login="u", password="secret")])


@pytest.mark.alone
@pytest.mark.parametrize("takes_s", [refused_s, looked_up_s])
def test_wrong_user_takes_the_time_of_a_wrong_password(
    takes_s: Callable[[str], float],
) -> None:
    times: dict[str, list[float]] = {"u": [], "nobody": []}
    for _ in range(40 if takes_s is refused_s else 2000):
        for user, taken in times.items():
            taken.append(takes_s(user))
    found = {user: median(taken) for user, taken in times.items()}
    assert max(found.values()) < 1.5 * min(found.values()), found
