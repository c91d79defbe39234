"""``nanomq acl test``, and access rules in a file of their own that is reloaded."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nanomq_py.store.rules import AccessRule, Action, RuleTable
from nanomq_py.store.store import Store
from tests.conftest import StartBroker, nanomq
from tests.raw import PUBACK, PUBLISH

pytestmark = pytest.mark.plain

CONF = """\
acl.rule.1={"permit":"deny","or":[{"clientid":"bad"},{"ipaddr":"10.0.0.0/8"}]}
acl.rule.2={"permit":"allow","action":"publish","qos":"<=1","retain":false,"topics":["up/%c"]}
acl.rule.3={"permit":"allow","username":"ann","action":"subscribe","topics":["eq a/+"]}
"""


@pytest.mark.parametrize(
    ("args", "verdict"),
    [
        ("--client bad --action publish --topic up/bad", "deny: CONF:1: acl.rule.1"),
        ("--address 10.9.8.7 --action publish --topic a", "deny: CONF:1: acl.rule.1"),
        ("--client c --action publish --topic up/c", "allow: CONF:2: acl.rule.2"),
        ("--client c --action publish --topic up/c --qos 2", "deny: acl_nomatch=deny"),
        ("--client c --action publish --topic up/c --retain", "deny: acl_nomatch=deny"),
        ("--user ann --action subscribe --topic a/+", "allow: CONF:3: acl.rule.3"),
        ("--user ann --action subscribe --topic $share/g/a/+", "allow: CONF:3: acl.rule.3"),
        ("--user ann --action subscribe --topic a/b", "deny: acl_nomatch=deny"),
        ("--action publish --topic $SYS/x", "deny: $SYS topics are the broker's"),
    ],
)
def test_acl_test_names_the_rule_that_decides(
    args: str, verdict: str, tmp_path: Path
) -> None:
    conf = tmp_path / "x.conf"
    conf.write_text(CONF + "acl_nomatch=deny\n")
    done = nanomq("acl", "test", "--conf", str(conf), *args.split())
    assert done.stdout == verdict.replace("CONF", str(conf)) + "\n"
    assert done.returncode == (0 if verdict.startswith("allow") else 1)


def test_acl_test_knows_who_is_above_the_rules_and_who_is_asked(tmp_path: Path) -> None:
    conf = tmp_path / "x.conf"
    args = ("acl", "test", "--conf", str(conf), "--action", "publish", "--topic", "a")
    conf.write_text(
        'acl.rule.1={"permit":"deny","topics":["a"]}\n'
        "auth.superusers=root\nauth.1.login=root\nauth.1.password=p\n"
    )
    assert nanomq(*args, "--user", "root").stdout == "allow: auth.superusers\n"
    assert nanomq(*args, "--user", "ann").stdout == f"deny: {conf}:1: acl.rule.1\n"
    conf.write_text(
        "auth.http.enable=true\nauth.http.acl_req.url=http://127.0.0.1/acl\n"
        "auth.http.acl_req.method=post\n"
    )
    told = "auth.http.acl_req decides; acl_nomatch=allow if it has no opinion"
    assert nanomq(*args).stdout == f"allow: {told}\n"


def test_acl_test_names_the_line_of_acl_file(tmp_path: Path) -> None:
    conf, acl = tmp_path / "x.conf", tmp_path / "acl"
    acl.write_text("user ann\ntopic read a/#\n")
    conf.write_text(f"acl_file={acl}\n")
    args = ("acl", "test", "--conf", str(conf), "--user", "ann", "--topic", "a")
    assert (
        nanomq(*args, "--action", "subscribe").stdout == f"allow: {acl}:2: topic read a/#\n"
    )
    assert nanomq(*args, "--action", "publish").stdout == "deny: acl_file\n"
    acl.write_text("user\n")
    for done in (nanomq(*args, "--action", "publish"), nanomq("conf", "check", str(conf))):
        assert done.returncode == 2
        assert f"{acl}:1: expected user NAME" in done.stderr


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        ("--action publish --topic a/#", "--topic 'a/#': expected a topic name"),
        ("--action subscribe --topic a#", "--topic 'a#': expected a topic filter"),
        ("--action subscribe --topic $share//a", "expected a topic filter"),
        ("--action subscribe --topic a\x1bb", "expected texts without control characters"),
        ("--action eat --topic a", "invalid choice: 'eat'"),
        ("--action publish --topic a --address 300.1", "invalid ip_address value"),
    ],
)
def test_acl_test_refuses_what_no_client_can_do(
    args: str, fault: str, tmp_path: Path
) -> None:
    conf = tmp_path / "x.conf"
    conf.write_text("")
    done = nanomq("acl", "test", "--conf", str(conf), *args.split(" "))
    assert done.returncode == 2
    assert fault in done.stderr


def test_content_of_acl_file_counts_at_a_reload(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic a\n")
    process = start_broker(acl_file=str(acl))
    with process.raw(5) as c, process.raw(5) as other:
        c.connect("c")
        other.connect("d")
        assert c.subscribe(("a", 0), ("b", 0)) == [0, 0x87]
        assert process.reload() == {"applied": [], "restart": [], "unused": []}
        acl.write_text("topic write a\ntopic b\n")
        assert process.reload()["applied"] == ["acl_file"]
        assert c.subscribe(("a", 0), ("b", 0)) == [0x87, 0]
        other.publish("a", b"not heard any more", qos=1, packet_id=1)
        assert other.expect(PUBACK).reason in (0, 0x10)
        other.publish("b", b"heard")
        assert c.expect(PUBLISH).payload == b"heard"
        acl.write_text("topic read a\nnonsense\n")
        answer = process.api(req=10, action="reload")
        assert answer.status != 200
        assert f"{acl}:2: expected topic, pattern or user" in str(answer.json)
        assert c.subscribe(("b", 0)) == [0]


def test_acl_test_knows_the_rules_of_the_store(tmp_path: Path) -> None:
    conf = tmp_path / "x.conf"
    conf.write_text('acl.rule.1={"permit":"deny","topics":["a/#"]}\nauth.1.login=ann\n')
    with conf.open("a") as file:
        file.write("auth.1.password=p\n")

    async def fill() -> None:
        made = Store(tmp_path / "x.db")
        await RuleTable(made).put(
            [
                AccessRule(topic="a/b", action=Action.PUBLISH, allow=True, client_id="c"),
                AccessRule(topic="u/%u", action=Action.PUBSUB, allow=False),
            ]
        )
        await made.close()

    def verdict(*args: str) -> str:
        return nanomq("acl", "test", "--conf", str(conf), *args).stdout

    publish = ("--action", "publish", "--topic")
    assert verdict("--client", "c", *publish, "a/b") == f"deny: {conf}:1: acl.rule.1\n"
    asyncio.run(fill())
    said = "allow: store: client id 'c': allow pub a/b\n"
    assert verdict("--client", "c", *publish, "a/b") == said
    assert verdict("--client", "d", *publish, "a/b") == f"deny: {conf}:1: acl.rule.1\n"
    said = "deny: store: everybody: deny pubsub u/%u\n"
    assert verdict("--user", "ann", *publish, "u/ann") == said


# --- the broker that runs


def test_running_broker_is_asked(start_broker: StartBroker) -> None:
    """What the file says now does not count, but what is in force; sessions count too."""
    rule = '{"permit":"deny","ipaddr":"%s","topics":["a"]}'
    broker = start_broker(acl__rule__1=rule % "127.0.0.1")
    url = f"http://127.0.0.1:{broker.http_port}"
    test = ("acl", "test", "--action", "publish", "--topic", "a")
    running = (*test, "--running", "--url", url, "--conf", str(broker.conf))
    broker.set_keys(acl__rule__1=rule % "10.0.0.1")
    with broker.raw() as client:
        client.connect("c")
        done = nanomq(*running, "--client", "c")
    assert done.stdout == f"deny: {broker.conf}:5: acl.rule.1\n", done.stderr
    assert done.returncode == 1
    for args in (("--client", "d"), ("--user", "bob", "--address", "10.0.0.1")):
        done = nanomq(*running, *args)
        assert (done.stdout, done.returncode) == ("allow: acl_nomatch=allow\n", 0)


def test_login_of_a_file_is_shown_to_the_broker(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    broker = start_broker(http_server__username="root", http_server__password="sesame")
    url = f"http://127.0.0.1:{broker.http_port}"
    login = tmp_path / "login"
    test = ("acl", "test", "--action", "publish", "--topic", "a", "--running", "--url", url)
    login.write_text("root:sesame\n")
    assert nanomq(*test, "--login-file", str(login)).stdout == "allow: acl_nomatch=allow\n"
    login.write_text("root:other\n")
    for args in ((), ("--login-file", str(login))):
        done = nanomq(*test, *args)
        assert done.returncode == 2
        assert f"{url}: HTTP status 401" in done.stderr
        assert "see --login-file" in done.stderr
        assert "sesame" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ("--url http://127.0.0.1:1", "--url: only with --running"),
        ("--login-file x", "--login-file: only with --running"),
        ("--running --url ftp://x", "--url ftp://x: expected such as http://"),
        ("--running --url http://[", "--url http://[: expected such as http://"),
        ("--running --url http://u:p@x", "expected such as http://"),
        ("--running --url http://127.0.0.1:1", "127.0.0.1:1: Connection refused"),
        ("--running --url https://x --cacertfile FOLDER/no", "no: cannot be read"),
        ("--running --login-file FOLDER/no", "no: No such file"),
        ("--running --login-file FOLDER/empty", "expected NAME:PASSWORD, or Bearer TOKEN"),
        ("--running --conf FOLDER/off.conf", "does not say where the HTTP API is"),
        ("--running --conf FOLDER/jwt.conf", "give --login-file with Bearer TOKEN"),
    ],
)
def test_what_is_wrong_with_asking_is_said(tmp_path: Path, args: str, text: str) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "off.conf").write_text("http_server.enable=false\n")
    (tmp_path / "jwt.conf").write_text(
        "http_server.auth_type=jwt\nhttp_server.jwt.secret=" + "s" * 32 + "\n"
    )
    given = args.replace("FOLDER", str(tmp_path)).split()
    done = nanomq("acl", "test", "--action", "publish", "--topic", "a", *given)
    assert (done.returncode, text in done.stderr) == (2, True), done.stderr


def test_broker_without_that_dialect_is_named(start_broker: StartBroker) -> None:
    broker = start_broker(http_server__dialects="v1")
    url = f"http://127.0.0.1:{broker.http_port}"
    done = nanomq(
        *("acl", "test", "--action", "publish", "--topic", "a", "--running", "--url", url)
    )
    assert done.returncode == 2
    assert "is v4 in its http_server.dialects?" in done.stderr
