"""route/query.h: pages of a broker's state, against plain lists, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanomq_py.config import Config
from nanomq_py.core.options import core_options
from tests._core_test import ffi, lib
from tests.property.test_matching import matches
from tests.unit.clib import content, fail_each_allocation, nothing_leaks, slice_of
from tests.unit.test_trees import Retained, Tree

TOPICS = [f"{a}/{b}" for a in ("x", "y", "$z") for b in range(9)]
FILTERS = ["a", "a/b", "#", "a/#", "+", "a/+/#", "/", "//", "/a", "a/", "$share/g/a/#",
           "$share/g/#", "$share/h/a", "$share/g/a", "$SYS/+"]  # fmt: skip


def parsed(text: str) -> Any:
    keep = ffi.from_buffer(text.encode())
    out = ffi.new("nmq_filter *")
    assert lib.nmq_filter_parse(slice_of(keep), out) == 0
    return out, keep


def routes_of(tree: Tree) -> dict[int, tuple[str, int]]:
    """Return the routes of a tree: place to text, as subscribed, and subscriptions."""
    places, found, at = lib.nmq_routes_of(tree.at), {}, 0
    text, route = ffi.new("nmq_buf *"), ffi.new("nmq_route *")
    while (at := lib.nmq_places_next(places, at)) != lib.NMQ_NO_PLACE:
        assert lib.nmq_routes_read(tree.at, at, text, route) == 0
        shown = content(route.filter).decode()
        if route.group.at != ffi.NULL:
            shown = f"$share/{content(route.group).decode()}/{shown}"
        found[at] = (shown, route.subscriptions)
        at += 1
    lib.nmq_buf_free(text)
    return found


# --- routes of the tree


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from(FILTERS), st.integers(1, 20))))
def test_routes_are_the_filters_with_subscriptions(
    steps: list[tuple[bool, str, int]],
) -> None:
    tree = Tree()
    model: dict[str, set[int]] = {}
    where: dict[str, int] = {}
    for put, text, client in steps:
        if put:
            tree.put(text, client)
            model.setdefault(text, set()).add(client)
        elif tree.delete(text, client) == 0:
            model[text].discard(client)
        model = {text: clients for text, clients in model.items() if clients}
        found = routes_of(tree)
        assert {text: count for text, count in found.values()} == {
            text: len(clients) for text, clients in model.items()
        }
        now = {text: place for place, (text, _) in found.items()}
        assert all(now[text] == where[text] for text in now.keys() & where.keys())
        where = now
        for text, place in now.items():
            filter, _keep = parsed(text)
            assert lib.nmq_tree_route_place(tree.at, filter) == place
    filter, _keep = parsed("never/there")
    assert lib.nmq_tree_route_place(tree.at, filter) == lib.NMQ_NO_PLACE


@pytest.mark.parametrize("text", ["a/b", "a/#", "$share/g/a", "$share/g/#"])
def test_first_put_out_of_memory_leaves_the_tree_empty(text: str) -> None:
    tree = Tree()

    def check() -> None:
        assert routes_of(tree) == {}
        assert tree.match("a/b") == tree.match("a") == []
        assert lib.nmq_tree_count(tree.at) == 0

    assert fail_each_allocation(lambda: tree.put(text, 2), check) == 1
    assert routes_of(tree) == {0: (text, 1)}


def test_filter_of_the_longest_text_is_read_back() -> None:
    tree = Tree()
    text = "/".join(["+", *["a"] * 32765, "#"])
    assert len(text) == 65_533
    tree.put(text, 1)
    assert routes_of(tree) == {0: (text, 1)}


def test_topic_with_another_message_keeps_its_place() -> None:
    kept = Retained()
    for n in range(70):
        kept.put(f"t/{n}", b"old")
    places = lib.nmq_retain_places(kept.at)
    before = lib.nmq_retain_at(kept.at, 69)
    kept.put("t/3", b"")
    kept.put("t/69", b"new")
    assert lib.nmq_retain_at(kept.at, 69) != before
    assert content(lib.nmq_message_topic(lib.nmq_retain_at(kept.at, 69))) == b"t/69"
    assert (places.count, lib.nmq_places_next(places, 3)) == (69, 4)
    kept.put("t/3", b"again")
    assert lib.nmq_places_next(places, 3) == 3


# --- a broker without clients


class Core:
    """A broker of the test build."""

    def __init__(self) -> None:
        options = ffi.new("nmq_options *")
        for option in fields(core_options(Config())):
            if option.name != "response_information":
                setattr(options, option.name, getattr(core_options(Config()), option.name))
        out = ffi.new("nmq_broker **")
        assert lib.nmq_broker_new(options, out) == 0
        self.at = out[0]

    def retain(self, topic: str, payload: bytes = b"x", qos: int = 0) -> None:
        publication = ffi.new("nmq_publication *", {"qos": qos, "retain": True})
        kept = [ffi.from_buffer(topic.encode()), ffi.from_buffer(payload)]
        publication.topic_name, publication.topic_len = kept[0], len(kept[0])
        publication.payload, publication.payload_len = kept[1], len(kept[1])
        assert lib.nmq_broker_publish(self.at, publication) >= 0

    def tap(self, text: bytes) -> int:
        number, feed = ffi.new("uint64_t *"), ffi.new("nmq_feed **")
        assert (
            lib.nmq_broker_tap_open(self.at, text, len(text), 2, number, feed) == lib.NMQ_OK
        )
        lib.nmq_feed_unref(feed[0])
        return int(number[0])

    def query(self, kind: int, **parts: Any) -> tuple[int, Any]:
        """Return status and page of a query; texts are str, ranges pairs."""
        raw = ffi.new("nmq_query *", {"kind": kind})
        kept = []
        for name, value in {"limit": 100, **parts}.items():
            if isinstance(value, str | bytes):
                data = value.encode() if isinstance(value, str) else value
                kept.append(ffi.new("char[]", data))
                getattr(raw, name).at, getattr(raw, name).len = kept[-1], len(data)
            elif isinstance(value, list):
                texts = [ffi.new("char[]", text) for text in value]
                kept += texts
                kept.append(
                    ffi.new("nmq_query_text[]", [(text, len(text) - 1) for text in texts])
                )
                setattr(raw, name, kept[-1])
                setattr(raw, f"{name[:-1]}_count", len(value))
            elif isinstance(value, tuple):
                bounds = getattr(raw, name)
                bounds.is_set, (bounds.least, bounds.most) = True, value
            else:
                setattr(raw, name, value)
        out = ffi.new("nmq_page **")
        status = lib.nmq_broker_query(self.at, raw, out)
        return status, ffi.gc(out[0], lib.nmq_page_free) if status == 0 else None

    def topics(self, **parts: Any) -> tuple[list[str], int, int | None]:
        """Return a page of retained messages: topics, cursor, total."""
        status, page = self.query(lib.NMQ_QUERY_RETAINED, **parts)
        assert status == 0
        rows = lib.nmq_page_retained(page)
        found = [ffi.string(rows[n].topic_name).decode() for n in range(page.count)]
        answer = found, page.next, page.total if page.has_total else None
        ffi.release(page)
        return answer


@pytest.fixture
def core() -> Iterator[Core]:
    made = Core()
    yield made
    lib.nmq_broker_free(made.at)


def put_into(model: list[str | None], topic: str) -> None:
    """Keep a topic as the store does: at the lowest free place."""
    if topic not in model:
        place = model.index(None) if None in model else len(model)
        model[place:] = [topic, *model[place + 1 :]]


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(TOPICS)), min_size=15, max_size=60
    ),
    st.sampled_from([None, "x/+", "+/3", "#", "y/1", "$z/#", "none/#"]),
    st.integers(0, 8) | st.sampled_from([1 << 32, (1 << 64) - 1]),
    st.integers(0, 8),
    st.booleans(),
    st.booleans(),
)
def test_pages_are_those_of_a_plain_list(
    steps: list[tuple[int, str]],
    filter_: str | None,
    offset: int,
    limit: int,
    backward: bool,
    count: bool,
) -> None:
    core = Core()
    model: list[str | None] = []
    for put, topic in steps:
        core.retain(topic, b"x" if put else b"")
        if put:
            put_into(model, topic)
        elif topic in model:
            model[model.index(topic)] = None
    wanted = None if filter_ is None else filter_.split("/")
    rows = [t for t in model if t is not None]
    rows = [t for t in rows if wanted is None or matches(wanted, t.split("/"))]
    if backward:
        rows.reverse()
    parts: dict[str, Any] = {"backward": backward, "count": count}
    if filter_ is not None:
        parts["topic_filter"] = filter_
    found, cursor, total = core.topics(offset=offset, limit=limit, **parts)
    assert found == rows[offset : offset + limit]
    assert total == (len(rows) if count or filter_ is None else None)
    while cursor != 0 and limit > 0:
        more, cursor, _ = core.topics(limit=limit, cursor=cursor, **parts)
        found += more
    if limit > 0:
        assert found == rows[offset:]
    lib.nmq_broker_free(core.at)


def test_what_stays_appears_once_from_cursor_to_cursor(core: Core) -> None:
    stays = [f"s/{n}" for n in range(300)]
    for n, topic in enumerate(stays):
        core.retain(topic)
        core.retain(f"g/{n}")  # goes
    seen: list[str] = []
    cursor, round_ = 0, 0
    while round_ == 0 or cursor != 0:
        found, cursor, _ = core.topics(limit=7, cursor=cursor)
        seen += found
        core.retain(f"g/{round_ * 3}", b"")  # in front
        core.retain(f"g/{299 - round_}", b"")  # and behind
        core.retain(f"new/{round_}")
        round_ += 1
    assert [topic for topic in seen if topic in set(stays)] == stays


@pytest.mark.parametrize(
    ("kind", "parts", "status"),
    [
        ("CLIENTS", {"kind": 6}, "EINVAL"),
        ("CLIENTS", {"limit": 10_001}, "EINVAL"),
        ("CLIENTS", {"limit": (1 << 32) - 1}, "EINVAL"),
        ("CLIENTS", {"client_id": b"x" * 65_536}, "EINVAL"),
        ("CLIENTS", {"connected": 3}, "EINVAL"),
        ("CLIENTS", {"topic_filter": "a"}, "EINVAL"),
        ("SESSIONS", {"group": "g"}, "EINVAL"),
        ("SUBSCRIPTIONS", {"user_name": "u"}, "EINVAL"),
        ("SUBSCRIPTIONS", {"clean_start": 1}, "EINVAL"),
        ("ROUTES", {"qos": (0, 1)}, "EINVAL"),
        ("ROUTES", {"client_id": "c"}, "EINVAL"),
        ("ROUTES", {"client_ids": [b"c"]}, "EINVAL"),
        ("CLIENTS", {"client_ids": []}, "EINVAL"),
        ("SUBSCRIPTIONS", {"client_ids": [b"c"], "client_id": "c"}, "EINVAL"),
        ("SUBSCRIPTIONS", {"client_ids": [b"c"] * 1025}, "EINVAL"),
        ("SUBSCRIPTIONS", {"client_ids": [b"c", b"x" * 65_536]}, "EINVAL"),
        ("RETAINED", {"topic_name": "a"}, "EINVAL"),
        ("RETAINED", {"queued": (0, 1)}, "EINVAL"),
        ("RETAINED", {"topic_filter": "a/#/b"}, "EFILTER"),
        ("RETAINED", {"topic_filter": ""}, "EFILTER"),
        ("ROUTES", {"below": b"\xff"}, "EFILTER"),
        ("ROUTES", {"topic_name": "a/+"}, "ETOPIC"),
        ("SUBSCRIPTIONS", {"topic_name": ""}, "ETOPIC"),
        ("CLIENTS", {"address": "nowhere"}, "EADDR"),
        ("CLIENTS", {"address": "1.2.3.4/33"}, "EADDR"),
        ("CLIENTS", {"address": "1.2.3.4,"}, "EADDR"),
        ("CLIENTS", {"address": "1" * 65_535}, "EADDR"),
        ("CLIENTS", {"address": ""}, "EADDR"),
    ],
)
def test_query_out_of_its_range_is_refused(
    core: Core, kind: str, parts: dict[str, Any], status: str
) -> None:
    with nothing_leaks():
        number = parts.get("kind", getattr(lib, f"NMQ_QUERY_{kind}"))
        rest = {name: value for name, value in parts.items() if name != "kind"}
        assert core.query(number, **rest) == (getattr(lib, f"NMQ_{status}"), None)


@pytest.mark.parametrize("kind", range(5))
@pytest.mark.parametrize(
    "parts",
    [
        {"limit": 0},
        {"limit": 10_000},
        {"offset": (1 << 64) - 1},
        {"cursor": (1 << 32) - 1},
        {"cursor": (1 << 32) - 1, "backward": True, "offset": 1 << 63},
        {"offset": (1 << 64) - 1, "backward": True, "count": True},
    ],
)
def test_absurd_page_of_nothing_is_empty(core: Core, kind: int, parts: Any) -> None:
    status, page = core.query(kind, **parts)
    assert (status, page.count, page.next, page.total) == (0, 0, 0, 0)


def test_absurd_ranges_and_texts_let_nothing_in(core: Core) -> None:
    for parts in (
        {"queued": (-(1 << 63), (1 << 63) - 1), "dropped": (5, -5)},
        {"client_id": "", "client_id_like": "", "user_name_like": "x" * 65_535},
        {"client_id": "never", "limit": 0, "count": True},
        {"address": "::1", "version": (3, 5), "connected": 2, "clean_start": 1},
    ):
        status, page = core.query(lib.NMQ_QUERY_CLIENTS, **parts)
        assert (status, page.count, page.next) == (0, 0, 0)


def test_query_out_of_memory_says_so_and_frees_what_it_took(core: Core) -> None:
    for n in range(200):
        core.retain(f"{n}/" + "x" * 400)
    core.tap(b"a/b/#")

    def ask(kind: int, **parts: Any) -> int:
        status, page = core.query(kind, **parts)
        if page is not None:
            ffi.release(page)
        return status

    for kind in range(5):
        assert fail_each_allocation(lambda kind=kind: ask(kind), lambda: None) == 0  # type: ignore[misc]
    some = {"client_ids": [b"a", b"b"]}
    subscriptions = lib.NMQ_QUERY_SUBSCRIPTIONS
    assert fail_each_allocation(lambda: ask(subscriptions, **some), lambda: None) == 0


def test_page_ends_where_its_texts_are_too_many_bytes(core: Core) -> None:
    topics = [f"{n:03}/" + "x" * 65_000 for n in range(300)]
    for topic in topics:
        core.retain(topic)
    found, cursor, total = core.topics(limit=1000)
    assert 200 < len(found) < 300
    assert total == 300
    assert found + core.topics(limit=1000, cursor=cursor)[0] == topics


def test_filters_of_taps_are_routes_and_no_subscriptions_of_clients(core: Core) -> None:
    tap = core.tap(b"a/#")
    status, page = core.query(lib.NMQ_QUERY_ROUTES)
    row = lib.nmq_page_routes(page)[0]
    assert (status, page.count, page.total) == (0, 1, 1)
    assert (ffi.string(row.filter), row.group, row.subscriptions) == (b"a/#", ffi.NULL, 1)
    assert core.query(lib.NMQ_QUERY_SUBSCRIPTIONS)[1].total == 0
    assert lib.nmq_broker_tap_close(core.at, tap) == 0
    assert core.query(lib.NMQ_QUERY_ROUTES)[1].total == 0


@pytest.mark.parametrize(
    ("filter_", "name", "does"),
    [
        ("a/#", "a", True),
        ("a/#", "a/+", True),
        ("a/+", "a/#", True),
        ("+", "a/b", False),
        ("#", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("+/x", "$SYS/x", False),
        ("a/+/c", "a//c", True),
        ("a/", "a", False),
        ("/", "//", False),
        ("A", "a", False),
    ],
)
def test_filter_alone_matches_as_in_the_tree(filter_: str, name: str, does: bool) -> None:
    keep = [ffi.from_buffer(text.encode()) for text in (filter_, name)]
    assert lib.nmq_filter_matches(slice_of(keep[0]), slice_of(keep[1])) == does


@given(
    st.lists(st.sampled_from(["a", "b", "", "+", "$x"]), min_size=1, max_size=4),
    st.booleans(),
    st.lists(st.sampled_from(["a", "b", "", "$x"]), min_size=1, max_size=4),
)
def test_filter_alone_matches_what_the_tree_matches(
    levels: list[str], multi: bool, topic: list[str]
) -> None:
    text, name = "/".join([*levels, *["#"] * multi]), "/".join(topic)
    if text and name:
        tree = Tree()
        tree.put(text, 1)
        keep = [ffi.from_buffer(part.encode()) for part in (text, name)]
        found = lib.nmq_filter_matches(slice_of(keep[0]), slice_of(keep[1]))
        assert found == (tree.match(name) == [1])
