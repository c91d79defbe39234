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

    def match(self, text: str, now_ms: int = 0) -> dict[str, bytes]:
        out = ffi.new("nmq_messages *")
        keep = ffi.from_buffer(text.encode())
        n = lib.nmq_retain_match(self.at, slice_of(keep), now_ms, out)
        assert n == out.count
        found = {
            content(lib.nmq_message_topic(m)).decode(): content(lib.nmq_message_payload(m))
            for m in out.at[0 : out.count]
        }
        assert len(found) == n
        lib.nmq_messages_free(out)
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


@pytest.mark.parametrize("text", ["#", "+/+", "a/+", "a/1"])
def test_retained_match_out_of_memory_hands_nothing_out(text: str) -> None:
    kept = Retained()
    for n in range(40):
        kept.put(f"a/{n}", b"x")
    keep = ffi.from_buffer(text.encode())
    out = ffi.new("nmq_messages *")

    def match() -> int:
        return int(lib.nmq_retain_match(kept.at, slice_of(keep), 0, out))

    assert fail_each_allocation(match, lambda: None if out.count == 0 else 1 / 0) > 0
    lib.nmq_messages_free(out)
