"""store/: the subscription tree and the retained tree, and what they do without memory."""

from __future__ import annotations

from typing import Any

import pytest

from tests._core_test import ffi, lib
from tests.unit.clib import content, fail_each_allocation, message, nothing_leaks, slice_of


class Tree:
    """A subscription tree whose clients are numbers."""

    def __init__(self) -> None:
        self.at = ffi.gc(lib.nmq_tree_new(), lib.nmq_tree_free)

    def _filter(self, text: str) -> tuple[Any, Any]:
        keep = ffi.from_buffer(text.encode())
        out = ffi.new("nmq_filter *")
        assert lib.nmq_filter_parse(slice_of(keep), out) == 0
        return out, keep

    def put(self, text: str, client: int, options: int = 0, identifier: int = 0) -> int:
        parsed, _keep = self._filter(text)
        sub = ffi.new("nmq_subscription *")
        sub.client = ffi.cast("void *", client)
        sub.options, sub.identifier = options, identifier
        return int(lib.nmq_tree_put(self.at, parsed, sub))

    def delete(self, text: str, client: int) -> int:
        parsed, _keep = self._filter(text)
        return int(lib.nmq_tree_del(self.at, parsed, ffi.cast("void *", client)))

    def match(self, topic: str) -> list[int]:
        return [client for client, _, _ in self.match_all(topic)]

    def match_all(self, topic: str) -> list[tuple[int, int, int]]:
        out = ffi.new("nmq_matches *")
        keep = ffi.from_buffer(topic.encode())
        assert lib.nmq_tree_match(self.at, slice_of(keep), out) == 0
        found = [
            (int(ffi.cast("intptr_t", s.client)), s.options, s.identifier)
            for s in out.found.at[0 : out.found.count]
        ]
        for group in out.groups[0 : out.group_count]:
            members = group.members
            found += [
                (int(ffi.cast("intptr_t", s.client)), s.options, s.identifier)
                for s in members.at[0 : members.count]
            ]
        lib.nmq_matches_free(out)
        return sorted(found)


def test_the_same_topic_again_is_answered_by_what_the_tree_holds_now() -> None:
    tree = Tree()
    out = ffi.new("nmq_matches *")

    def clients(topic: str) -> list[int]:
        keep = ffi.from_buffer(topic.encode())
        assert lib.nmq_tree_match(tree.at, slice_of(keep), out) == 0
        assert out.lists <= out.found.count
        return sorted(
            int(ffi.cast("intptr_t", s.client)) for s in out.found.at[0 : out.found.count]
        )

    long = "a/" + "b" * lib.NMQ_MATCHES_TOPIC_BYTES
    tree.put("a/b", 1)
    assert [clients("a/b"), clients("a/b")] == [[1], [1]]
    tree.put("a/#", 2)
    assert [clients("a/b"), clients("a/c"), clients("a/b")] == [[1, 2], [2], [1, 2]]
    assert [clients(long), clients(long), clients("a/b")] == [[2], [2], [1, 2]]
    tree.delete("a/b", 1)
    assert [clients("a/b"), clients("a/b")] == [[2], [2]]
    lib.nmq_matches_free(out)
    assert clients("a/b") == [2]
    lib.nmq_matches_free(out)


@pytest.mark.spec("MQTT-4.7.1-1")
@pytest.mark.parametrize(
    ("text", "topic", "matches"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("$SYS/+", "$SYS/x", True),
        ("a", "A", False),
        ("a/+/c", "a//c", True),
        ("a/#", "a/", True),
    ],
)
def test_examples_of_the_specification(text: str, topic: str, matches: bool) -> None:
    tree = Tree()
    assert tree.put(text, 1) == 1
    assert tree.match(topic) == ([1] if matches else [])


def test_put_again_replaces_options_and_identifier() -> None:
    tree = Tree()
    assert [tree.put("a/b", 1, 0), tree.put("a/b", 1, 2, 9), tree.put("a/b", 2)] == [
        1,
        0,
        1,
    ]
    assert tree.match_all("a/b") == [(1, 2, 9), (2, 0, 0)]
    assert lib.nmq_tree_count(tree.at) == 2


def test_shared_groups_are_kept_apart_from_plain_subscriptions() -> None:
    tree = Tree()
    for client, text in enumerate(
        ["$share/g/a/#", "$share/h/a/#", "a/#", "$share/g/a/b"], 1
    ):
        assert tree.put(text, client) == 1
    assert tree.match("a/b") == [1, 2, 3, 4]
    assert tree.delete("$share/g/a/#", 1) == 0
    assert tree.delete("$share/g/a/#", 1) == lib.NMQ_ENOENT
    assert tree.delete("$share/x/a/#", 1) == lib.NMQ_ENOENT
    assert tree.match("a/b") == [2, 3, 4]


def test_deleting_everything_frees_every_node() -> None:
    tree = Tree()
    with nothing_leaks():
        filters = [f"a/{n}/+/#" for n in range(50)] + ["#", "+", "$share/g/x/y", "a//b"]
        for text in filters:
            tree.put(text, 7)
        for text in reversed(filters):
            assert tree.delete(text, 7) == 0
        assert tree.delete("never/there", 7) == lib.NMQ_ENOENT
    assert tree.match("a/1/x/y") == []


def test_freeing_a_full_tree_frees_everything() -> None:
    with nothing_leaks():
        tree = Tree()
        for n in range(500):
            tree.put(f"{n % 7}/{n}/+", n + 1)
            tree.put(f"$share/{n % 3}/{n}/#", n + 1)
        ffi.release(tree.at)


@pytest.mark.parametrize("text", ["a/+/c/#", "$share/g/a/x", "a/b", "#", "q/w/e/r/t/y"])
def test_put_out_of_memory_leaves_the_tree_as_it_was(text: str) -> None:
    tree = Tree()
    tree.put("a/b", 1)
    before = tree.match("a/b"), tree.match("a/x/c/d")

    def check() -> None:
        assert (tree.match("a/b"), tree.match("a/x/c/d")) == before
        assert lib.nmq_tree_count(tree.at) == 1

    assert fail_each_allocation(lambda: tree.put(text, 2), check) == 1


def test_siblings_are_found_while_their_table_grows_and_shrinks() -> None:
    tree = Tree()
    live = lib.nmq_mem_live()
    for n in range(1000):
        assert tree.put(f"a/{n}", n + 1) == 1
    left = set(range(1000))
    for n in [*range(0, 1000, 2), *range(1, 1000, 2)]:
        assert tree.delete(f"a/{n}", n + 1) == 0
        left.discard(n)
        if len(left) in (1, 2, 3, 4, 100, 124, 125, 500):
            assert all(tree.match(f"a/{m}") == [m + 1] for m in left)
            assert tree.match(f"a/{n}") == []
    assert lib.nmq_mem_live() == live


def test_match_out_of_memory_says_so() -> None:
    tree = Tree()
    for n in range(20):
        tree.put("a/+", n + 1)
        tree.put(f"$share/{n}/+/b", n + 1)
    keep = ffi.from_buffer(b"a/b")

    def match() -> int:
        out = ffi.new("nmq_matches *")
        rv = int(lib.nmq_tree_match(tree.at, slice_of(keep), out))
        lib.nmq_matches_free(out)
        return rv

    assert fail_each_allocation(match, lambda: None) == 0


def test_a_topic_of_32768_levels_is_matched_without_recursion() -> None:
    tree = Tree()
    deep = "/".join("a" * 32768)
    tree.put(deep, 1)
    tree.put("/".join(["+"] * 32768), 2)
    assert tree.match(deep) == [1, 2]


class Retained:
    """A retained tree over texts."""

    def __init__(self) -> None:
        self.at = ffi.gc(lib.nmq_retain_new(), lib.nmq_retain_free)

    def put(self, topic: str, payload: bytes, expires_at_ms: int = 0) -> int:
        made = message(topic.encode(), payload, expires_at_ms=expires_at_ms)
        try:
            return int(lib.nmq_retain_put(self.at, made))
        finally:
            lib.nmq_message_unref(made)

    def open(self, text: str) -> Any:
        """Begin a walk, which the caller closes."""
        keep = ffi.from_buffer(text.encode())
        return lib.nmq_retain_open(self.at, slice_of(keep))

    def step(self, cursor: Any, now_ms: int = 0, visits: int = 1000) -> dict[str, bytes]:
        """Return what comes next, one message at most for each visit."""
        out = ffi.new("nmq_message *[]", 7)
        left = ffi.new("uint32_t *", visits)
        n = lib.nmq_retain_step(self.at, cursor, now_ms, left, out, 7)
        found = {}
        for made in out[0:n]:
            topic = content(lib.nmq_message_topic(made)).decode()
            assert topic not in found
            found[topic] = content(lib.nmq_message_payload(made))
            lib.nmq_message_unref(made)
        return found

    def match(self, text: str, now_ms: int = 0) -> dict[str, bytes]:
        cursor = self.open(text)
        found: dict[str, bytes] = {}
        while not lib.nmq_retain_is_over(cursor):
            more = self.step(cursor, now_ms)
            assert not found.keys() & more.keys()
            found |= more
        lib.nmq_retain_close(self.at, cursor)
        return found


@pytest.mark.spec("MQTT-3.3.1-5", "MQTT-3.3.1-6", "MQTT-3.3.1-7")
def test_retained_message_is_replaced_and_removed() -> None:
    with nothing_leaks():
        kept = Retained()
        kept.put("a/b", b"1")
        kept.put("a/b", b"2")
        kept.put("a", b"3")
        assert kept.match("#") == {"a/b": b"2", "a": b"3"}
        assert lib.nmq_retain_count(kept.at) == 2
        kept.put("a/b", b"")
        kept.put("never", b"")
        assert kept.match("a/#") == {"a": b"3"}
        ffi.release(kept.at)


def test_expired_retained_message_is_left_out() -> None:
    kept = Retained()
    kept.put("a", b"x", expires_at_ms=100)
    assert kept.match("a", 99) == {"a": b"x"}
    assert kept.match("a", 100) == {}


def test_retained_dollar_topics_are_hidden_from_wildcards() -> None:
    kept = Retained()
    for topic in ("$SYS/a", "$SYS/a/b", "x/$y", "x"):
        kept.put(topic, b"1")
    assert kept.match("#").keys() == {"x/$y", "x"}
    assert kept.match("+/a").keys() == set()
    assert kept.match("+").keys() == {"x"}
    assert kept.match("$SYS/#").keys() == {"$SYS/a", "$SYS/a/b"}


def test_retained_put_out_of_memory_leaves_the_store_as_it_was() -> None:
    kept = Retained()
    kept.put("a/b", b"1")
    made = message(b"a/c/d/e", b"2")

    def check() -> None:
        assert kept.match("#") == {"a/b": b"1"}

    assert fail_each_allocation(lambda: int(lib.nmq_retain_put(kept.at, made)), check) == 0
    lib.nmq_message_unref(made)


def test_walk_over_retained_messages_may_be_interrupted_by_any_change() -> None:
    with nothing_leaks():
        kept = Retained()
        for n in range(20):
            kept.put(f"a/{n}", b"old")
        cursor = kept.open("a/+")
        found = kept.step(cursor, visits=6)
        assert len(found) == 5
        here = next(reversed(found))
        kept.put(here, b"")  # where the walk stands
        for n in range(20, 200):
            kept.put(f"a/{n}", b"new")  # the table of siblings is made anew
        kept.put("a/19", b"new")  # its receiver has heard of it as of any message
        while not lib.nmq_retain_is_over(cursor):
            found |= kept.step(cursor, visits=1)
        assert found == {f"a/{n}": b"old" for n in range(19)}
        lib.nmq_retain_close(kept.at, cursor)
        for n in range(200):
            kept.put(f"a/{n}", b"")
        assert lib.nmq_retain_count(kept.at) == 0
        ffi.release(kept.at)


def test_next_message_of_a_walk_is_found_where_the_one_it_stood_at_has_gone() -> None:
    kept = Retained()
    for n in range(9):
        kept.put(f"a/{n}", b"old")
    cursor = kept.open("a/+")
    rest = {f"a/{n}" for n in range(9)} - kept.step(cursor).keys()
    assert len(rest) == 2
    first = content(lib.nmq_retain_next(kept.at, cursor, 0)).decode()
    kept.put(first, b"")
    (left,) = rest - {first}
    assert content(lib.nmq_retain_next(kept.at, cursor, 0)).decode() == left
    lib.nmq_retain_close(kept.at, cursor)


def test_walk_visits_no_more_nodes_than_it_may() -> None:
    kept = Retained()
    for n in range(500):
        kept.put(f"{n}/x", b"1")
    cursor = kept.open("+/y")
    steps = 0
    while not lib.nmq_retain_is_over(cursor):
        assert kept.step(cursor, visits=10) == {}
        steps += 1
    assert steps >= 50
    lib.nmq_retain_close(kept.at, cursor)


def test_filter_of_the_greatest_length_is_walked() -> None:
    kept = Retained()
    deep = "/".join("ab" for _ in range(21845))
    assert len(deep) == 65534
    kept.put(deep + "/", b"1")  # 65,535 bytes
    assert kept.match(deep + "/") == {deep + "/": b"1"}
    assert kept.match(deep + "/").keys() == kept.match("#").keys()


def test_expired_messages_are_swept_some_at_a_time() -> None:
    kept = Retained()
    for n in range(10):
        kept.put(f"a/{n}", b"x", expires_at_ms=100 + n)
    assert lib.nmq_retain_sweep(kept.at, 109, 4, ffi.NULL, ffi.NULL) == 104
    assert lib.nmq_retain_count(kept.at) == 6
    assert lib.nmq_retain_sweep(kept.at, 105, 100, ffi.NULL, ffi.NULL) == 106
    assert lib.nmq_retain_sweep(kept.at, 109, 100, ffi.NULL, ffi.NULL) == 0


def test_cursor_out_of_memory_is_none() -> None:
    kept = Retained()
    kept.put("a", b"1")
    lib.nmq_mem_fail_after(0)
    cursor = kept.open("#")
    lib.nmq_mem_fail_after(-1)
    assert cursor == ffi.NULL


class Owed:
    """A list of filters that a session is owed retained messages for."""

    def __init__(self) -> None:
        self.kept = Retained()
        self.at = ffi.new("nmq_owed *")

    def put(self, text: str, identifier: int, queued: int = 0) -> None:
        entry = ffi.cast("nmq_owed_entry *", lib.nmq_zalloc(ffi.sizeof("nmq_owed_entry")))
        entry.cursor, entry.identifier = self.kept.open(text), identifier
        assert lib.nmq_owed_put(self.at, entry, queued) == 0

    def take(self, text: str) -> int:
        keep = ffi.from_buffer(text.encode())
        return self.free(lib.nmq_owed_take(self.at, slice_of(keep)))

    def free(self, entry: Any) -> int:
        if entry == ffi.NULL:
            return 0
        identifier = int(entry.identifier)
        lib.nmq_retain_close(self.kept.at, entry.cursor)
        lib.nmq_free(entry)
        return identifier

    def order(self) -> list[int]:
        found, entry = [], self.at.first
        while entry != ffi.NULL:
            found.append(int(entry.identifier))
            entry = entry.next
        return found


def test_filters_that_are_owed_come_in_their_order_behind_what_waits() -> None:
    with nothing_leaks():
        owed = Owed()
        for n, text in enumerate("abc"):
            owed.put(text, n + 1, queued=n)
        assert owed.order() == [1, 2, 3]
        assert lib.nmq_owed_is_due(owed.at)
        assert (owed.take("a"), owed.take("a")) == (1, 0)
        assert not lib.nmq_owed_is_due(owed.at)  # one message is before it
        owed.at.popped += 1
        assert lib.nmq_owed_is_due(owed.at)
        assert (owed.take("c"), owed.order()) == (3, [2])
        assert owed.take("b") == 2
        assert owed.at.by_filter.cap == 0  # an empty list holds no memory
        owed.put("x", 1)
        owed.put("y", 2)
        lib.nmq_owed_free(owed.at)
        ffi.release(owed.kept.at)


def test_many_groups_on_one_filter_are_found_by_name() -> None:
    with nothing_leaks():
        tree = Tree()
        for n in range(50):
            for text in (f"$share/g{n}/a", f"$share/g{n}/a/#"):
                assert tree.put(text, n + 1) == 1
                assert tree.put(text, n + 1) == 0
        for n in reversed(range(50)):
            assert tree.delete(f"$share/g{n}/a/#", n + 1) == 0
            assert tree.delete(f"$share/g{n}/a/#", n + 1) == lib.NMQ_ENOENT
            assert tree.delete(f"$share/g{n}/a", n + 1) == 0
        assert lib.nmq_tree_count(tree.at) == 0
        ffi.release(tree.at)


def test_group_put_out_of_memory_leaves_the_tree_as_it_was() -> None:
    tree = Tree()
    for n in range(8):
        tree.put(f"$share/g{n}/a", n + 1)  # the next one makes an index
    keep = ffi.from_buffer(b"$share/new/a")

    def check() -> None:
        assert lib.nmq_tree_count(tree.at) == 8
        assert tree.delete("$share/g0/a", 1) == 0
        assert tree.put("$share/g0/a", 1) == 1

    parsed = ffi.new("nmq_filter *")
    assert lib.nmq_filter_parse(slice_of(keep), parsed) == 0
    sub = ffi.new("nmq_subscription *", {"client": ffi.cast("void *", 9)})
    act = lambda: int(lib.nmq_tree_put(tree.at, parsed, sub))  # noqa: E731
    assert fail_each_allocation(act, check) == 1
