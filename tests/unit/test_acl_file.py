"""mosquitto's acl_file: what is read, what is refused, and which line decides."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.auth import acl_file
from nanomq_py.auth.acl_file import parse_acl, read_acl_file
from nanomq_py.config import ConfigError
from nanomq_py.core.records import Rule, RuleTopic, Trial
from nanomq_py.core.rules import Rules
from tests import judging
from tests.judging import Act, Who

GOOD = """\
# comment
topic read $SYS/#

   topic   readwrite   a b/c\t
topic x\r
user  ann lee\x20
topic deny a/secret
topic write a/#
# topic bad
pattern write up/%c
pattern deny up/%c/%u
user bob
topic read
user ann lee
topic a/2
"""


def plain(text: str) -> RuleTopic:
    return RuleTopic(text, marks=False)


def test_rules_are_in_the_order_in_which_mosquitto_looks_at_them() -> None:
    found = [
        (
            one.where,
            one.rule.user_name,
            one.rule.allow,
            one.rule.publish,
            one.rule.subscribe,
        )
        for one in parse_acl(GOOD, "f")
    ]
    assert found == [
        ("f:2: topic read $SYS/#", "", True, False, True),
        ("f:4: topic   readwrite   a b/c", "", True, True, True),
        ("f:5: topic x", "", True, True, True),
        ("f:7: topic deny a/secret", "ann lee", False, True, True),
        ("f:8: topic write a/#", "ann lee", True, True, False),
        ("f:15: topic a/2", "ann lee", True, True, True),
        ("f:13: topic read", "bob", True, True, True),
        ("f:11: pattern deny up/%c/%u", None, False, True, True),
        ("f:10: pattern write up/%c", None, True, True, False),
    ]
    topics = [one.rule.topics for one in parse_acl(GOOD, "f")]
    assert topics[1] == (plain("a b/c"),)
    assert topics[-1] == (RuleTopic("up/%c"),)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("topic\n", "f:1: expected a topic filter"),
        ("\n\nuser \n", "f:3: expected user NAME, of printable characters"),
        ("user a\x1bb\n", "f:1: expected user NAME, of printable characters"),
        ("topic all a\n", "expected read, write, readwrite or deny before the topic"),
        ("topic read a#\n", "f:1: expected a topic filter"),
        ("topic read a/#/b\n", "expected a topic filter"),
        ("topic write " + "a/" * 256 + "b\n", "expected a topic filter"),
        ("topic write " + "a" * 65536 + "\n", "expected a topic filter"),
        ("topic read a\x7f\n", "expected a topic filter"),
        ("Topic read a\n", "f:1: expected topic, pattern or user"),
        ("\ttopic read a\n", "expected topic, pattern or user"),
        (" # comment\n", "expected topic, pattern or user"),
    ],
)
def test_line_that_is_wrong_is_named(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_acl(text, "f")
    assert fault in str(refused.value)
    # It may be a file with secrets: what stands there is not shown.
    assert all(word not in str(refused.value) for word in ("comment", "a#", "/b"))


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "acl"
    for spoil, fault in (
        (lambda: None, "No such file"),
        (lambda: os.mkfifo(path), "expected a regular file"),
        (lambda: (path.unlink(), path.write_bytes(b"topic \xff\n")), "not UTF-8 at byte 6"),
        (lambda: path.write_bytes(b"topic a\x00b\n"), "zero byte"),
        (lambda: os.truncate(path, 17 << 20), "larger than 16 MiB"),
    ):
        spoil()
        with pytest.raises(ConfigError, match=f"acl: .*{fault}"):
            read_acl_file(str(path))


def test_too_many_lines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acl_file, "MOST_RULES", 2)
    assert len(parse_acl("topic a\ntopic b\n", "f")) == 2
    with pytest.raises(ConfigError, match="f: more than 2 lines"):
        parse_acl("topic a\ntopic b\ntopic c\n", "f")


LINES = st.one_of(
    st.text(max_size=30),
    st.builds(
        " ".join,
        st.lists(
            st.sampled_from(
                [
                    "topic",
                    "pattern",
                    "user",
                    "read",
                    "deny",
                    "#",
                    "a/+",
                    "%c",
                    "",
                    "\t",
                    "é",
                ]
            ),
            max_size=5,
        ),
    ),
)


@given(st.lists(LINES, max_size=6).map("\n".join))
def test_any_text_is_read_or_refused_with_its_line(text: str) -> None:
    try:
        named = parse_acl(text, "f")
    except ConfigError as refused:
        assert str(refused).startswith("f:")
    else:
        Rules([one.rule for one in named], otherwise=False, deny_disconnects=False)


# --- against what mosquitto does

TOPICS = st.sampled_from(["a", "a/b", "$x/b", "b/c", "b/%c", "ann", "ann/b", "+"])
FILTERS = st.sampled_from(["a", "a/#", "#", "+/b", "$x/+", "b/%c", "%u/#", "b/+", "%c"])
ACCESS = st.sampled_from(["", "read ", "write ", "readwrite ", "deny "])
FILE_LINES = st.one_of(
    st.builds("user {}".format, st.sampled_from(["ann", "bob"])),
    st.builds("topic {}{}".format, ACCESS, FILTERS),
    st.builds("pattern {}{}".format, ACCESS, FILTERS),
)


def of_mosquitto(lines: list[str], who: Who, topic: str, wanted: str) -> bool:
    """Say what mosquitto's mosquitto_acl_check_default does, line by line."""
    own: list[tuple[str, str]] = []
    patterns: list[tuple[str, str]] = []
    user: str | None = None
    for line in lines:
        word, *rest = line.split(" ")
        if word == "user":
            user = rest[0]
            continue
        access, pattern = rest if len(rest) == 2 else ("readwrite", rest[0])
        if word == "pattern":
            text = judging.spelled(pattern, who)
            if text is not None:
                patterns.append((access, text))
        elif user == who.user_name:
            own.append((access, pattern))
    for some in (own, patterns):
        for denies in (True, False):
            for access, pattern in some:
                about = judging.covers(pattern.split("/"), topic.split("/"))
                hidden = topic.startswith("$") and not pattern.startswith("$")
                if (access == "deny") == denies and about and not hidden:
                    if denies:
                        return False
                    if access in ("readwrite", wanted):
                        return True
    return False


@given(
    st.lists(FILE_LINES, max_size=8),
    st.sampled_from(["a", "c", "a/b"]),
    st.sampled_from([None, "ann", "bob", "b"]),
    TOPICS.filter(lambda topic: topic != "+"),
    st.booleans(),
)
def test_topic_is_judged_as_mosquitto_judges_it(
    lines: list[str], client_id: str, user: str | None, topic: str, publish: bool
) -> None:
    who = Who(client_id, user)
    named = parse_acl("\n".join(lines), "f")
    rules = [one.rule for one in named]
    made = Rules(rules, otherwise=False, deny_disconnects=False)
    trial = Trial(topic=topic, client_id=client_id, user_name=user, publish=publish)
    number = made.decides(trial)
    allowed = number is not None and rules[number].allow
    wanted = "write" if publish else "read"
    assert allowed == of_mosquitto(lines, who, topic, wanted)
    as_list = [_plain_rule(one) for one in rules]
    act = Act("publish" if publish else "subscribe")
    assert number == judging.deciding(as_list, who, act, topic)


def _plain_rule(given: Rule) -> judging.Rule:
    (topic,) = given.topics
    assert isinstance(topic, RuleTopic)
    return judging.Rule(
        given.allow,
        ((topic.text, judging.PATTERN if topic.marks else judging.PLAIN),),
        publish=given.publish,
        subscribe=given.subscribe,
        user_name=given.user_name,
    )
