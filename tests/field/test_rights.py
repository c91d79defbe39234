"""What nobody may: hear beyond his rights, leave his mount point, keep what was taken away."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest

from tests import raw
from tests.conformance.flows import closed_with, expiry, give, kept, modern, take
from tests.conformance.test_auth import AGAIN, answer, auth, first, scram
from tests.conftest import Process, StartBroker, conf_text, free_port, nanomq
from tests.control.test_restart import restart
from tests.raw import PUBACK, PUBLISH, UNSUBACK

DENIED = {4: 0x80, 5: 0x87}
ANN = {"auth__1__login": "ann", "auth__1__password": "a"}
BOB = {"auth__2__login": "bob", "auth__2__password": "b"}
AS_ANN = {"user": "ann", "password": b"a"}
AS_BOB = {"user": "bob", "password": b"b"}


def rules(*given: dict[str, object]) -> dict[str, str]:
    return {f"acl__rule__{n}": json.dumps(rule) for n, rule in enumerate(given, start=1)}


ALLOW, DENY = {"permit": "allow"}, {"permit": "deny"}

# --- rules by name


@modern
def test_name_that_is_more_than_a_level_passes_no_rule(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(
        acl_nomatch="deny", **rules({**ALLOW, "topics": ["devices/%c/#", "%c/#"]})
    )
    no = DENIED[version]
    for name in ("+", "#", "a/b", "$SYS"):
        with process.raw(version) as c:
            c.connect(name)
            asked = [("devices/+/#", 0), ("devices/#", 0), ("#", 0), ("+/x", 0),
                     ("devices/a/b", 0), ("$SYS/#", 0), ("$share/g/+/x", 0)]  # fmt: skip
            assert set(c.subscribe(*asked)) == {no}, name
    with process.raw(version) as c:
        c.connect("pump")
        assert c.subscribe(("devices/pump/#", 0), ("devices/+/#", 0)) == [0, no]


@modern
def test_nobody_hears_what_a_rule_denies_by_a_wider_filter(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(**rules({**DENY, "topics": ["secret/#"]}, ALLOW))
    no = DENIED[version]
    with process.raw(version) as c:
        c.connect("c")
        asked = [("#", 0), ("+/x", 0), ("secret/+", 0), ("$share/g/#", 0), ("open/#", 0),
                 ("open/+/x", 0), ("$x/#", 0)]  # fmt: skip
        assert c.subscribe(*asked) == [no, no, no, no, 0, 0, 0]


# --- mount points


def mounted(start_broker: StartBroker, mount: str, **more: str) -> Process:
    return start_broker(
        listener__site__url="nmq-tcp://127.0.0.1:0",
        listener__site__mountpoint=mount,
        **more,
    )


@modern
@pytest.mark.parametrize("mount", ["%c/", "%u/"])
@pytest.mark.parametrize("name", ["$share", "$SYS", "$x", "", "+", "#"])
def test_mount_point_is_not_left_by_a_name(
    start_broker: StartBroker, version: int, mount: str, name: str
) -> None:
    process = mounted(start_broker, mount)
    who: dict[str, object] = {"user": name, "password": b""} if mount == "%u/" else {}
    if name == "" and mount == "%c/":
        pytest.skip("the broker gives a client without an identifier one")
    with process.raw(version, "listener.site.url") as c:
        got = c.connect("c" if mount == "%u/" else name, **who)
        assert got.reason == (0x85 if version == 5 else 2)


@modern
def test_clients_without_a_name_do_not_share_a_mount_point(
    start_broker: StartBroker, version: int
) -> None:
    process = mounted(start_broker, "%u/")
    with process.raw(version, "listener.site.url") as c:
        assert c.connect("c").reason == (0x85 if version == 5 else 2)


@modern
def test_group_and_mount_point_stay_apart(start_broker: StartBroker, version: int) -> None:
    process = mounted(start_broker, "m/")
    with process.raw(version) as out, process.raw(version, "listener.site.url") as c:
        out.connect("out")
        c.connect("c")
        # "$share" in a topic below a mount point is a level like others
        assert c.subscribe(("$share/g/$share/h/x", 0)) == [0]
        out.publish("x", b"outside")
        out.publish("m/x", b"one level up")
        out.publish("m/$share/h/x", b"meant")
        assert take(c)[:2] == ("$share/h/x", b"meant")
        c.send(raw.unsubscribe(3, "$share/g/$share/h/x", version=version))
        c.expect(UNSUBACK)
        out.publish("m/$share/h/x", b"again")
        out.ping()
        c.assert_silent()


@modern
def test_wildcard_does_not_reach_above_the_mount_point(
    start_broker: StartBroker, version: int
) -> None:
    process = mounted(start_broker, "m/")
    with process.raw(version) as out, process.raw(version, "listener.site.url") as c:
        out.connect("out")
        out.publish("m", b"kept", retain=True)
        out.ping()
        c.connect("c")
        assert c.subscribe(("#", 1), ("$share/g/#", 0)) == [1, 0]
        give(out, "m", b"its parent", 1)
        give(out, "m/", b"", 1)
        give(out, "m/a", b"below", 1)
        assert take(c)[:2] == ("a", b"below")


def test_will_and_aliases_stay_below_the_mount_point(start_broker: StartBroker) -> None:
    process = mounted(start_broker, "m/")
    with process.raw(5) as out, process.raw(5, "listener.site.url") as c:
        out.connect("out")
        out.subscribe(("#", 1))
        c.connect("c", will=("bye", b"w", 0, False))
        c.publish("a", b"1", properties=b"\x23\x00\x01")
        c.publish("", b"2", properties=b"\x23\x00\x01")
        assert [take(out)[:2] for _ in range(2)] == [("m/a", b"1"), ("m/a", b"2")]
        c.close()
        assert take(out)[:2] == ("m/bye", b"w")
    with process.raw(5, "listener.site.url") as c:
        long = c.connect("d", will=("x" * 65534, b"w", 0, False))
        assert long.reason == 0x90  # too long below the mount point


# --- whose session it is


@modern
def test_session_is_its_users(start_broker: StartBroker, version: int) -> None:
    process = start_broker(**ANN, **BOB)
    with process.raw(version) as c:
        c.connect("c", **AS_ANN, **kept(version))
        assert c.subscribe(("t", 1)) == [1]
        c.leave()
    with process.raw(version) as p:
        p.connect("p", **AS_BOB)
        give(p, "t", b"for ann", 1)
    with process.raw(version) as c:
        got = c.connect("c", **AS_BOB, **kept(version))
        assert got.flags == 0  # a session of his own
        c.ping()
        with process.raw(version) as p:
            p.connect("p", **AS_ANN)
            give(p, "t", b"too", 1)
        c.assert_silent()
        with process.raw(version) as back:  # and so has she: hers has ended
            assert back.connect("c", **AS_ANN, **kept(version)).flags == 0
            back.assert_silent()
            assert closed_with(c) == (0x8E if version == 5 else None)


@modern
@pytest.mark.parametrize("named_first", [True, False])
def test_nobody_in_particular_is_not_somebody(
    start_broker: StartBroker, version: int, named_first: bool
) -> None:
    process = start_broker()  # names are only said here: the same holds
    who = [{"user": "u", "password": b""}, {}]
    first_, second = who if named_first else who[::-1]
    with process.raw(version) as c:
        c.connect("c", **first_, **kept(version))
        c.subscribe(("t", 1))
        c.leave()
    with process.raw(version) as c:
        assert c.connect("c", **first_, **kept(version)).flags == 1
        c.leave()
    with process.raw(version) as c:
        assert c.connect("c", **second, **kept(version)).flags == 0


def test_session_is_its_users_after_a_restart(start_broker: StartBroker) -> None:
    process = start_broker(http_server__port=str(free_port()), **ANN, **BOB)
    for name in ("a", "b"):
        with process.raw(5) as c:
            c.connect(name, **AS_ANN, **kept(5))
            c.subscribe(("t", 1))
            c.leave()
    restart(process)
    with process.raw(5) as c:
        assert c.connect("a", **AS_BOB, **kept(5)).flags == 0
        c.leave()
    with process.raw(5) as c:
        assert c.connect("b", **AS_ANN, **kept(5)).flags == 1
        c.leave()


def test_kept_session_is_judged_where_it_is_taken_up(start_broker: StartBroker) -> None:
    process = start_broker(
        listener__site__url="nmq-tcp://127.0.0.1:0",
        listener__site__mountpoint="m/",
    )
    with process.raw(5) as c:
        c.connect("c", **kept(5))
        c.subscribe(("m/mine", 1), ("other", 1), ("$share/g/other/#", 1))
        c.leave()
    with process.raw(5) as p:
        p.connect("p")
        for topic in ("m/mine", "other", "other/x"):
            give(p, topic, topic.encode(), 1)
        with process.raw(5, "listener.site.url") as c:
            assert c.connect("c", **kept(5)).flags == 1
            assert take(c)[:2] == ("mine", b"m/mine")
            c.assert_silent()
            give(p, "other", b"live", 1)
            give(p, "m/mine", b"live", 1)
            assert take(c)[:2] == ("mine", b"live")
            c.assert_silent()


# --- rules that change


@modern
def test_subscription_ends_with_the_right_to_it(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker()
    with process.raw(version) as c, process.raw(version) as p:
        c.connect("c")
        p.connect("p")
        assert c.subscribe(("a/#", 1), ("b", 1), ("$share/g/a/x", 1)) == [1, 1, 1]
        process.reload(**rules({**DENY, "clientid": "c", "topics": ["a/x"]}))
        process.waits_for("client 'c': its subscription 'a/#' ends")
        process.waits_for("client 'c': its subscription '$share/g/a/x' ends")
        give(p, "a/x", b"secret", 1)
        give(p, "a/y", b"the same subscription", 1)
        give(p, "b", b"open", 1)
        assert take(c)[:2] == ("b", b"open")
        c.assert_silent()


@modern
def test_messages_that_wait_are_dropped_with_the_right_to_them(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(qos_duration="0", msq_len="1000")
    with process.raw(version) as c:
        c.connect("c", **kept(version))
        assert c.subscribe(("a", 2), ("b", 1)) == [2, 1]
        with process.raw(version) as p:
            p.connect("p")
            give(p, "a", b"in flight, 1", 1)
            give(p, "a", b"in flight, 2", 2)
            give(p, "b", b"in flight", 1)
            assert [c.expect(PUBLISH).payload for _ in range(3)] == [
                b"in flight, 1", b"in flight, 2", b"in flight",
            ]  # fmt: skip
            c.leave()
            for n in range(600):  # more than are looked at in one step
                give(p, f"{'ab'[n % 2]}", b"%d" % n, 1)
    process.reload(**rules({**DENY, "action": "subscribe", "topics": ["a"]}))
    with process.raw(version) as c:
        assert c.connect("c", **kept(version)).flags == 1
        expected = [b"in flight", *(b"%d" % n for n in range(1, 600, 2))]
        got = []
        for _ in expected:
            packet = c.expect(PUBLISH)
            assert packet.topic == "b"
            got.append(packet.payload)
            c.send(raw.ack(PUBACK, packet.packet_id))
        assert got == expected
        c.assert_silent()
        assert c.subscribe(("b", 0)) == [0]


def test_message_in_flight_is_not_sent_again_without_the_right_to_it(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with process.raw(5) as p, process.raw(5) as c:
        p.connect("p")
        c.connect("c", **kept(5))
        c.subscribe(("#", 1))
        give(p, "a", b"1", 1)
        assert c.expect(PUBLISH).payload == b"1"
        process.reload(**rules({**DENY, "action": "subscribe", "topics": ["a"]}))
        with process.raw(5) as again:  # takes over
            assert again.connect("c", **kept(5)).flags == 1
            again.assert_silent()


def test_rules_that_came_with_a_restart_count_for_kept_sessions(
    start_broker: StartBroker,
) -> None:
    process = start_broker(http_server__port=str(free_port()))
    with process.raw(5) as c:
        c.connect("c", **kept(5))
        c.subscribe(("a", 1), ("b", 1))
        c.leave()
    with process.raw(5) as p:
        p.connect("p")
        give(p, "a", b"1", 1)
        give(p, "b", b"2", 1)
    process.set_keys(**rules({**DENY, "action": "subscribe", "topics": ["a"]}))
    restart(process)
    process.waits_for("client 'c': its subscription 'a' ends")
    with process.raw(5) as c:
        assert c.connect("c", **kept(5)).flags == 1
        assert take(c)[:2] == ("b", b"2")
        c.assert_silent()


def test_will_is_not_sent_without_the_right_to_it(start_broker: StartBroker) -> None:
    process = start_broker()
    no = rules({**DENY, "action": "publish", "topics": ["bye/#"]})
    delay = b"\x18\x00\x00\x00\x01"  # Will Delay Interval
    with process.raw(5) as hears, process.raw(5) as c, process.raw(5) as later:
        hears.connect("hears")
        hears.subscribe(("#", 0))
        c.connect("c", will=("bye/c", b"w", 0, True))
        later.connect(
            "later", will=("bye/l", b"w", 0, False), will_properties=delay,
            properties=expiry(60),
        )  # fmt: skip
        later.close()
        process.reload(**no)
        process.waits_for("client 'c': its will is not sent")
        process.waits_for("client 'later': its will is not sent")
        c.close()
        with process.raw(5) as d:
            d.connect("d", will=("ok", b"last", 0, False))
            d.close()
        assert take(hears)[:2] == ("ok", b"last")
        hears.assert_silent()


@pytest.mark.parametrize("again", [False, True], ids=["", "after a restart"])
def test_retained_message_is_not_sent_while_its_publisher_may_not_publish_it(
    start_broker: StartBroker, again: bool
) -> None:
    process = start_broker(http_server__port=str(free_port()), **ANN, **BOB)
    with process.raw(5) as c:
        c.connect("c", **AS_ANN)
        give(c, "a/x", b"by ann", 1, retain=True)
        give(c, "b/x", b"by ann", 1, retain=True)
        c.leave()
    with process.raw(5) as c:
        c.connect("d", **AS_BOB, will=("a/z", b"by bob", 0, True))
        give(c, "a/y", b"by bob", 1, retain=True)
        c.send(raw.disconnect(5, 4))  # with the will
        c.read_until_closed()
    no = rules({**DENY, "username": "ann", "action": "publish", "topics": ["a/#"]})
    process.reload(**no)
    if again:
        restart(process)

    def kept_topics() -> set[str]:
        with process.raw(5) as c:
            c.connect("e", **AS_BOB)
            c.send(raw.subscribe(1, ("#", 0), version=5), raw.packet(raw.PINGREQ))
            got = []
            while (packet := c.read()).kind != raw.PINGRESP:
                got.append(packet)
            return {p.topic for p in got if p.kind == PUBLISH}

    assert kept_topics() == {"b/x", "a/y", "a/z"}
    process.reload(acl__rule__1=None)
    assert kept_topics() == {"a/x", "b/x", "a/y", "a/z"}


def test_no_local_holds_for_retained_messages_after_a_restart(
    start_broker: StartBroker,
) -> None:
    process = start_broker(http_server__port=str(free_port()))
    with process.raw(5) as c:
        c.connect("c")
        give(c, "t", b"own", 1, retain=True)
        c.leave()
    restart(process)
    with process.raw(5) as c, process.raw(5) as d:
        c.connect("c")
        d.connect("d")
        no_local = 4
        assert c.subscribe(("t", no_local)) == [0]
        c.assert_silent()
        d.send(raw.subscribe(1, ("t", no_local), version=5))
        assert {d.read().kind, d.read().kind} == {raw.SUBACK, PUBLISH}


# --- users that change


@modern
def test_user_who_is_gone_is_disconnected_and_leaves_no_will(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(**ANN, **BOB)
    with process.raw(version) as bob, process.raw(version) as ann, process.raw() as nobody:
        bob.connect("b", **AS_BOB)
        bob.subscribe(("bye", 0))
        ann.connect("a", **AS_ANN, will=("bye", b"w", 0, False))
        nobody.connect("n")
        process.reload(auth__1__login=None, auth__1__password=None)
        assert closed_with(ann) == (0x87 if version == 5 else None)
        process.waits_for("client 'a' is disconnected")
        bob.assert_silent()
        nobody.ping()
        process.reload(auth__2__login=None, auth__2__password=None)
        assert closed_with(bob) == (0x87 if version == 5 else None)
        nobody.ping()


@modern
def test_user_with_another_password_is_disconnected(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(**ANN, **BOB)
    with process.raw(version) as ann, process.raw(version) as bob:
        ann.connect("a", **AS_ANN, **kept(version), will=("bye", b"w", 0, False))
        bob.connect("b", **AS_BOB)
        bob.subscribe(("bye", 0))
        process.reload(auth__1__password="other")
        assert closed_with(ann) == (0x87 if version == 5 else None)
        assert take(bob)[:2] == ("bye", b"w")
        with process.raw(version) as back:
            got = back.connect("a", user="ann", password=b"other", **kept(version))
            assert (got.reason, got.flags) == (0, 1)
        bob.ping()


def test_user_who_proved_himself_by_scram_is_one_of_them(start_broker: StartBroker) -> None:
    process = start_broker(auth__1__login="u", auth__1__password="secret")
    with process.raw(5) as c, process.raw(5) as late:
        client, too_late = scram(), scram()
        c.send(raw.connect("c", 5, properties=first(client)))
        answer(c, client, c.read())
        assert c.expect(raw.CONNACK).reason == 0
        late.send(raw.connect("late", 5, properties=first(too_late)))
        challenge = late.read()
        process.reload(auth__1__password="other")
        assert closed_with(c) == 0x87
        answer(late, too_late, challenge)  # proves the password of before
        assert [p.reason for p in late.read_until_closed()] == [0x89]


def test_session_does_not_become_another_users_by_another_proof(
    start_broker: StartBroker,
) -> None:
    process = start_broker(**ANN, **BOB)
    with process.raw(5) as c:
        ann, bob = scram("ann", "a"), scram("bob", "b")
        c.send(raw.connect("c", 5, properties=first(ann)))
        answer(c, ann, c.read())
        assert c.expect(raw.CONNACK).reason == 0
        c.send(auth(AGAIN, first(bob)))
        answer(c, bob, c.read())
        assert closed_with(c) == 0x87


def test_will_of_a_user_who_is_gone_after_a_restart_is_not_sent(
    start_broker: StartBroker,
) -> None:
    process = start_broker(http_server__port=str(free_port()), **ANN, **BOB)
    late = {"will_properties": b"\x18\x00\x00\x00\x01", **kept(5)}
    with contextlib.ExitStack() as all_of_them:
        a, b, n, z, w = (all_of_them.enter_context(process.raw(5)) for _ in range(5))
        w.connect("w", **AS_BOB, **kept(5))
        w.subscribe(("bye/#", 1))
        last = {**late, "will_properties": b"\x18\x00\x00\x00\x02"}
        z.connect("z", **AS_BOB, will=("bye/last", b"w", 1, False), **last)
        a.connect("a", **AS_ANN, will=("bye/ann", b"w", 1, False), **late)
        b.connect("b", **AS_BOB, will=("bye/bob", b"w", 1, False), **late)
        n.connect("n", will=("bye/nobody", b"w", 1, False), **late)
        process.set_keys(
            auth__1__login=None, auth__1__password=None, allow_anonymous="false"
        )
        for c in (a, b, n, z):
            c.close()
        restart(process)
    with process.raw(5) as w:
        assert w.connect("w", **AS_BOB, **kept(5)).flags == 1
        # the last one is due after those that must not come
        assert {take(w)[0] for _ in range(2)} == {"bye/bob", "bye/last"}
        w.assert_silent()


def test_names_that_nobody_had_to_prove_end_when_they_must_be_proved(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with process.raw(5) as says, process.raw(5) as nobody, process.raw(5) as slow:
        says.connect("c", user="ann", password=b"a")
        nobody.connect("n")
        process.reload(**ANN)
        assert closed_with(says) == 0x87
        nobody.ping()
        # a connection of before that took its time with the CONNECT is asked too
        assert slow.connect("s", user="ann", password=b"wrong").reason == 0x86


def test_clients_without_a_name_end_where_one_is_needed(start_broker: StartBroker) -> None:
    process = start_broker(**ANN, listener__in__url="nmq-tcp://127.0.0.1:0")
    with (
        process.raw(5) as out,
        process.raw(5) as ann,
        process.raw(5) as slow,
        process.raw(5, "listener.in.url") as inside,
    ):
        out.connect("out")
        ann.connect("a", **AS_ANN)
        inside.connect("in")
        process.reload(allow_anonymous="false", listener__in__allow_anonymous="true")
        assert closed_with(out) == 0x87
        ann.ping()
        inside.ping()
        assert slow.connect("slow").reason == 0x87
        process.reload(listener__in__allow_anonymous=None)
        assert closed_with(inside) == 0x87
        ann.ping()


# --- configurations that nobody can keep


BY_NAME = '{"permit":"deny","username":"low","topics":["a"]}'
BY_MARK = '{"permit":"allow","topics":["home/%u/#"]}'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"acl.rule.7={BY_NAME}", "nanomq.conf:5: acl.rule.7: username='low': no client"),
        (f"acl.rule.2={BY_MARK}", "nanomq.conf:5: acl.rule.2: topics: 'home/%u/#': no"),
        ("auth.1.login=a", "nanomq.conf:5: auth.1.password: missing"),
        ("auth.1.password=a", "nanomq.conf:5: auth.1.login: missing"),
        ("auth.1.login=a\nauth.1.password=", "nanomq.conf:6: auth.1.password=(hidden)"),
    ],
)
def test_configuration_that_proves_nobody_is_refused(
    tmp_path: Path, start_broker: StartBroker, text: str, says: str
) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.write_text(conf_text() + text + "\n")
    for command in (("conf", "check", str(conf)), ("start", "--conf", str(conf))):
        done = nanomq(*command, XDG_RUNTIME_DIR=str(tmp_path))
        assert done.returncode == 2, done
        assert says in done.stderr
    process = start_broker()
    with process.raw() as c:
        c.connect("c", user="u", password=b"")
        process.conf.write_text(process.conf.read_text() + text + "\n")
        refused = process.api(req=10, action="reload")
        assert refused.status == 400
        assert says in refused.json["message"]
        c.ping()
        os.kill(process.pid, signal.SIGHUP)
        process.waits_for("not reloaded")
        c.ping()


def test_rules_that_name_users_are_kept_where_there_are_some(tmp_path: Path) -> None:
    conf = tmp_path / "nanomq.conf"
    both = {**ANN, "acl__rule__1": BY_NAME, "acl__rule__2": BY_MARK}
    anyone = {"acl__rule__1": '{"permit":"deny","username":"#","topics":["a"]}'}
    for given in (both, anyone):
        conf.write_text(conf_text(**given))
        done = nanomq("conf", "check", str(conf))
        assert done.returncode == 0, done.stderr
