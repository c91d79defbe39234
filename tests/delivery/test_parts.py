"""The parts of deliveries that know no socket: waits, addresses, the window of a queue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.delivery.addresses import Allowed
from nanomq_py.delivery.signature import key_of, signature
from nanomq_py.delivery.target import check_url
from nanomq_py.delivery.waits import retry_after_s, wait_s
from nanomq_py.delivery.window import SHORT, Lane, Waiting, Window

pytestmark = pytest.mark.plain


@pytest.mark.parametrize(("failures", "plain_s"), [(1, 5), (2, 10), (5, 80), (15, 81920)])
def test_waits_double_and_differ(failures: int, plain_s: float) -> None:
    found = [wait_s(failures, 5, 86_400) for _ in range(200)]
    assert all(max(5, 0.75 * plain_s) <= each <= 1.25 * plain_s for each in found)
    assert len(set(found)) > 1


@pytest.mark.parametrize("failures", [16, 100, 10**6])
def test_wait_is_a_day_at_most(failures: int) -> None:
    assert all(64_800 <= wait_s(failures, 5, 86_400) <= 86_400 for _ in range(100))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        (" 30 ", 30.0),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("٣", None),
        ("Thu, 99 Jan 99999 00:00:00 GMT", None),
        ("9" * 500, 999_999_999_999.0),
    ],
)
def test_retry_after(text: str, expected: float | None) -> None:
    assert retry_after_s(text, 100.0) == expected


@given(st.text(max_size=40))
def test_any_retry_after_is_read_or_not(text: str) -> None:
    found = retry_after_s(text, 0.0)
    assert found is None or found >= 0


@pytest.mark.parametrize(
    ("allow", "host", "address", "is_allowed"),
    [
        ((), "h", "10.0.0.1", True),
        ((), "h", "127.0.0.1", True),
        ((), "h", "169.254.1.1", False),
        ((), "h", "fe80::1%eth0", False),
        ((), "h", "::ffff:169.254.169.254", False),
        ((), "h", "64:ff9b::a9fe:a9fe", False),
        ((), "h", "2002:a9fe:a9fe::1", False),
        ((), "h", "fd00:ec2::254", False),
        ((), "h", "fd00:ec2::23", False),
        ((), "h", "fd20:ce::254", False),
        ((), "h", "fd00:42::42", False),
        ((), "h", "100.100.100.200", False),
        ((), "h", "168.63.129.16", False),
        ((), "h", "192.0.0.192", False),
        ((), "h", "::169.254.169.254", False),
        ((), "h", "::1", True),
        ((), "h", "2001:db8::1", True),
        (("h",), "h", "10.0.0.1", True),
        (("H",), "h", "10.0.0.1", True),
        (("h",), "h", "169.254.169.254", False),
        (("h",), "x", "10.0.0.1", False),
        (("*.corp",), "a.corp", "10.0.0.1", True),
        (("*.corp",), "corp", "10.0.0.1", False),
        (("*.corp",), "acorp", "10.0.0.1", False),
        (("10.0.0.0/8",), "h", "10.1.2.3", True),
        (("10.0.0.0/8",), "h", "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "h", "11.1.2.3", False),
        (("169.254.0.0/16",), "h", "169.254.1.1", True),
        (("::1",), "h", "::1", True),
    ],
)
def test_which_addresses_may_be_told(
    allow: tuple[str, ...], host: str, address: str, is_allowed: bool
) -> None:
    assert (Allowed(allow).refuses(host, address) == "") == is_allowed


@pytest.mark.parametrize(
    "host",
    [
        "0251.254.169.254",
        "2852039166",
        "0xA9.0xFE.0xA9.0xFE",
        "169.254.43518",
        "169.254.1.1.",
    ],
)
def test_address_is_judged_however_it_is_written(host: str) -> None:
    with pytest.raises(ValueError, match="link-local"):
        check_url(f"http://{host}/")
    check_url(f"http://{host}/", ("169.254.0.0/16",))
    check_url(f"http://{host}x.example/")


def test_secret_is_the_key_itself_or_base64() -> None:
    assert key_of("plain") == b"plain"
    assert key_of("whsec_cGxhaW4=") == b"plain"
    with pytest.raises(ValueError, match="base64 after whsec_") as caught:
        key_of("whsec_hunter2!")
    with pytest.raises(ValueError, match="base64 after whsec_"):  # it would sign nothing
        key_of("whsec_")
    assert "hunter2" not in str(caught.value)
    assert signature(b"a", "msg", 1, b"x") != signature(b"b", "msg", 1, b"x")


# --- the window


def post(place: int, key: str) -> Waiting:
    return Waiting(place, place, key, "", b"x", 0.0)


def sent(window: Window) -> list[int]:
    """Return what is sent, one at a time, until nothing is ready."""
    found = []
    while (lane := window.take()) is not None:
        found.append(lane.posts[0].place)
        window.done(lane)
    return found


def test_keys_take_turns_and_each_keeps_its_order() -> None:
    window = Window(100, 1000)
    window.add(post(place, key) for place, key in enumerate("aaabbc", 1))
    assert sent(window) == [1, 4, 6, 2, 5, 3]
    assert (window.count, window.bytes, window.loaded_to) == (0, 0, 6)


def test_lane_that_waits_is_left_out() -> None:
    window = Window(100, 1000)
    window.add(post(place, key) for place, key in enumerate("aab", 1))
    lane = window.take()
    assert lane is not None
    window.waits(lane)
    assert sent(window) == [3]
    window.ready(lane)
    assert sent(window) == [1, 2]


def test_lane_that_is_cut_is_filled_again_in_its_order() -> None:
    window = Window(50, 1000)
    window.add(post(place, "a") for place in range(1, 51))
    assert window.room == 0
    assert window.cut()
    assert window.room == 50 - SHORT
    window.add([post(51, "b"), post(52, "a")])  # what follows of a waits on the disk
    assert sorted(sent(window)) == [*range(1, SHORT + 1), 51]
    (lane,) = window.lacking
    assert lane.cut_at == SHORT + 1
    window.lacking.clear()
    window.fill(lane, [post(place, "a") for place in range(SHORT + 1, 40)], 39)
    assert sent(window) == list(range(SHORT + 1, 40))
    (lane,) = window.lacking
    window.lacking.clear()
    window.fill(lane, [post(place, "a") for place in (*range(40, 51), 52)], 52)
    assert sent(window) == [*range(40, 51), 52]
    assert not window.lacking
    window.add([post(53, "a")])
    assert sent(window) == [53]


@given(st.lists(st.sampled_from("abc"), max_size=60), st.randoms(use_true_random=False))
def test_whatever_fails_each_key_keeps_its_order(keys: list[str], chance: object) -> None:
    window = Window(1000, 10_000)
    window.add(post(place, key) for place, key in enumerate(keys, 1))
    waiting: list[Lane] = []
    found: dict[str, list[int]] = {}
    while window.count:
        lane = window.take()
        if lane is None or (waiting and chance.random() < 0.3):  # type: ignore[attr-defined]
            window.ready(waiting.pop())
        if lane is None:
            continue
        if chance.random() < 0.3:  # type: ignore[attr-defined]
            window.waits(lane)
            waiting.append(lane)
            continue
        found.setdefault(lane.key, []).append(lane.posts[0].place)
        window.done(lane)
    assert found == {
        key: [place for place, each in enumerate(keys, 1) if each == key]
        for key in set(keys)
    }
