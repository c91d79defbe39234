"""Who may come in: the chain's order, the password file, superusers, against a real broker."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from nanomq_py.auth.hashing import hashed
from tests import raw
from tests.conformance.flows import closed_with, give, modern, take
from tests.conftest import Process, StartBroker, nanomq
from tests.raw import CONNACK
from tests.tokens import SECRET, token

WRONG, DENIED, BUSY = 0x86, 0x87, 0x89
SALT = base64.b64encode(b"s" * 12).decode()


def sha512(password: str) -> str:
    digest = hashlib.sha512(password.encode() + b"s" * 12).digest()
    return f"$6${SALT}${base64.b64encode(digest).decode()}"


def pbkdf2(password: str) -> str:
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), b"s" * 12, 101)
    return f"$7$101${SALT}${base64.b64encode(digest).decode()}"


def write(file: Path, users: Mapping[str, str]) -> str:
    file.write_text("".join(f"{name}:{stored}\n" for name, stored in users.items()))
    file.chmod(0o600)
    return str(file)


def code(
    process: Process, user: str | None = None, password: bytes | None = None
) -> int | None:
    """Return the Reason Code of a login by MQTT 5.0."""
    with process.raw(5) as c:
        return c.connect("", user=user, password=password).reason


JWT = {"auth__jwt__enable": "true", "auth__jwt__secret": SECRET}


def deny_all() -> dict[str, str]:
    return {"acl__rule__1": json.dumps({"permit": "deny", "topics": ["#"]})}


# --- superusers


@modern
def test_no_rule_counts_for_a_superuser_until_it_is_none_any_more(
    start_broker: StartBroker, version: int
) -> None:
    process = start_broker(
        auth__1__login="ann",
        auth__1__password="p",
        auth__2__login="bob",
        auth__2__password="p",
        auth__superusers="ann",
        acl_nomatch="deny",
        **deny_all(),
    )
    with (
        process.raw(version) as ann,
        process.raw(version) as hears,
        process.raw(version) as bob,
    ):
        ann.connect("ann", user="ann", password=b"p", will=("w", b"", 0, False))
        hears.connect("hears", user="ann", password=b"p")
        bob.connect("bob", user="bob", password=b"p")
        no = {4: 0x80, 5: 0x87}[version]
        assert (hears.subscribe(("a", 1)), bob.subscribe(("a", 1))) == ([1], [no])
        give(ann, "a", b"up", 1)
        assert take(hears)[1] == b"up"
        give(bob, "a", b"no", 1)
        process.reload(acl_nomatch="allow")  # other rules: it is none the less one
        give(ann, "a", b"still", 1)
        assert take(hears)[1] == b"still"
        assert "auth.superusers" in process.reload(auth__superusers=None)["applied"]
        assert closed_with(ann) == {4: None, 5: DENIED}[version]
    with process.raw(version) as ann:
        ann.connect("ann", user="ann", password=b"p")
        assert ann.subscribe(("a", 1)) == [no]


def test_superuser_by_a_token_is_none_any_more_after_a_reload(
    start_broker: StartBroker,
) -> None:
    process = start_broker(auth__superusers="ann", **JWT, **deny_all())
    with process.raw(5) as ann:
        ann.connect("ann", user="any", password=token(sub="ann").encode())
        assert ann.subscribe(("a", 1)) == [1]
        process.reload(auth__superusers=None)
        assert closed_with(ann) == DENIED


def test_what_a_superuser_holds_is_judged_when_it_is_none_any_more(
    start_broker: StartBroker,
) -> None:
    process = start_broker(
        auth__1__login="ann",
        auth__1__password="p",
        auth__superusers="ann",
        **deny_all(),
    )
    never = b"\x11\xff\xff\xff\xff"
    with process.raw(5) as ann:
        ann.connect("ann", user="ann", password=b"p", properties=never)
        assert ann.subscribe(("a", 1)) == [1]
        ann.send(raw.disconnect(5))
    process.reload(auth__superusers=None)
    with process.raw(5) as ann:
        ann.send(
            raw.connect("ann", 5, user="ann", password=b"p", clean=False, properties=never)
        )
        assert ann.expect(CONNACK).body[0] == 1  # Session Present
        subscriptions = process.api(req=4).json
        assert "ann" not in json.dumps(subscriptions)


def test_restart_knows_what_a_superuser_has_left(start_broker: StartBroker) -> None:
    process = start_broker(
        auth__1__login="ann",
        auth__1__password="p",
        auth__superusers="ann",
        acl__rule__1=json.dumps({"permit": "deny", "action": "publish", "topics": ["#"]}),
    )
    never = b"\x11\xff\xff\xff\xff"
    with process.raw(5) as ann:
        ann.connect("ann", user="ann", password=b"p", properties=never)
        assert ann.subscribe(("a", 1)) == [1]
        assert give(ann, "kept", b"x", 1, retain=True) == 0x10
    assert process.nanomq("restart", "--conf", str(process.conf)).returncode == 0
    with process.raw(5) as c:
        c.connect("c")
        assert c.subscribe(("kept", 0)) == [0]
        assert take(c)[:2] == ("kept", b"x")


# --- the chain


def test_only_members_of_the_chain_are_asked(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    file = write(tmp_path / "users", {"pump": sha512("file")})
    process = start_broker(
        auth__1__login="pump",
        auth__1__password="conf",
        auth__password_file=file,
    )
    # the configuration's users come first, and decide about their names
    assert [code(process, "pump", p) for p in (b"conf", b"file")] == [0, WRONG]
    assert code(process) == 0
    process.reload(auth__chain="file,users")
    assert [code(process, "pump", p) for p in (b"conf", b"file")] == [WRONG, 0]
    assert code(process) == DENIED  # nobody lets in who has no name
    process.reload(auth__chain="users,anonymous")
    assert [code(process, "pump", p) for p in (b"conf", b"file")] == [0, WRONG]
    assert code(process) == 0


def test_clients_without_a_name_leave_when_the_chain_has_no_place_for_them(
    start_broker: StartBroker,
) -> None:
    process = start_broker(auth__1__login="ann", auth__1__password="p")
    with process.raw(5) as c, process.raw(5) as ann:
        c.connect("c")
        ann.connect("ann", user="ann", password=b"p")
        process.reload(auth__chain="users")
        assert closed_with(c) == DENIED
        ann.ping()


def test_who_came_in_by_a_member_that_is_none_any_more_is_disconnected(
    start_broker: StartBroker,
) -> None:
    process = start_broker(auth__1__login="bob", auth__1__password="p", **JWT)
    with process.raw(5) as ann, process.raw(5) as bob:
        ann.connect("ann", user="any", password=token(sub="ann").encode())
        bob.connect("bob", user="bob", password=b"p")
        process.reload(auth__chain="users")
        assert closed_with(ann) == DENIED
        bob.ping()


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        ("users,passwords", "some of jwt, users, file, "),
        ("users,users", "each once"),
        ("plugin:", "plugin:NAME"),
        ("file,anonymous", "file: expected auth.password_file"),
        ("certificate", "certificate: expected a TLS listener with username_from"),
    ],
)
def test_member_that_is_not_there_is_refused(
    start_broker: StartBroker, tmp_path: Path, chain: str, expected: str
) -> None:
    process = start_broker()
    process.set_keys(auth__chain=chain)
    checked = nanomq("conf", "check", str(process.conf))
    assert (checked.returncode, expected in checked.stderr) == (2, True), checked.stderr
    answer = process.api(req=10, action="reload")
    assert (answer.status, expected in json.dumps(answer.json)) == (400, True)
    assert code(process) == 0


async def test_program_adds_an_authenticator() -> None:
    from nanomq_py import Broker, Config
    from nanomq_py.auth.chain import Decision, Login
    from nanomq_py.config import ConfigError
    from nanomq_py.config.keys.access import AclRule, Auth
    from tests.raw import Raw

    class Own:
        name = "own"

        def decide(self, login: Login) -> Decision | None:
            known = login.user_name == "eve" and login.password == b"apple"
            return Decision(0, is_superuser=True) if known else None

    def codes(port: int) -> list[int]:
        found = []
        for password in (b"apple", b"pear"):
            with contextlib.suppress(raw.Closed), Raw(port, 5) as c:
                found.append(c.connect("", user="eve", password=password).reason)
                if found[-1] == 0:
                    assert c.subscribe(("a", 0)) == [0]
        return found

    config = Config(
        url="nmq-tcp://127.0.0.1:0",
        acl_rules=(AclRule(permit="deny", topics=("#",)),),
    )
    broker = Broker(config)
    broker.add_authenticator(Own())
    with pytest.raises(ValueError, match="one of that name"):
        broker.add_authenticator(Own())
    async with broker:
        port = broker.ports["url"]
        assert await asyncio.to_thread(codes, port) == [0, WRONG]
        with pytest.raises(ConfigError, match=r"plugin:other: nobody has added it; .*own"):
            await broker.reconfigure(
                Config(url=config.url, auth=Auth(chain=("plugin:other",)))
            )
        auth = Auth(chain=("plugin:own",))
        await broker.reconfigure(
            Config(url=config.url, acl_rules=config.acl_rules, auth=auth)
        )
        assert await asyncio.to_thread(codes, port) == [0, WRONG]


async def test_too_many_that_wait_at_one_address_leave_room_for_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nanomq_py import Broker, Config
    from nanomq_py.auth import logins
    from nanomq_py.auth.chain import Decision, Login

    asked: asyncio.Queue[str] = asyncio.Queue()
    go_on = asyncio.Event()

    class Slow:
        name = "slow"

        async def decide(self, login: Login) -> Decision:
            asked.put_nowait(login.address)
            await go_on.wait()
            return Decision(0)

    async def come(address: str) -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", broker.ports["url"], local_addr=(address, 0)
        )
        opened.callback(writer.close)
        writer.write(raw.connect("", 5, user="u", password=b"p"))
        return reader

    async def reason(client: asyncio.StreamReader) -> int:
        return (await client.readexactly(4))[3]

    monkeypatch.setattr(logins, "MOST_WAITING_ALIKE", 2)
    monkeypatch.setattr(logins, "MOST_WAITING", 3)
    broker = Broker(Config(url="nmq-tcp://127.0.0.1:0"))
    broker.add_authenticator(Slow())
    async with broker:
        with contextlib.ExitStack() as opened:
            waiting = [await come("127.0.0.1") for _ in range(2)]
            assert [await asked.get() for _ in waiting] == ["127.0.0.1"] * 2
            assert await reason(await come("127.0.0.1")) == BUSY
            waiting.append(await come("127.0.0.2"))
            assert await asked.get() == "127.0.0.2"
            assert await reason(await come("127.0.0.3")) == BUSY
            go_on.set()
            assert [await reason(client) for client in waiting] == [0, 0, 0]
            assert await reason(await come("127.0.0.1")) == 0
    assert asked.qsize() == 1  # the others were not asked about


# --- the password file


USERS = {"scrypt": hashed(b"one"), "pbkdf2": pbkdf2("two"), "sha": sha512("three")}


def test_users_of_the_file_log_in(start_broker: StartBroker, tmp_path: Path) -> None:
    path = tmp_path / "users"
    write(path, USERS)
    path.write_text("# a comment\r\n\n" + path.read_text().replace("\n", "\r\n"))
    process = start_broker(auth__password_file=str(path), allow_anonymous="false")
    for _ in range(2):  # the second time they are remembered
        for user, password in zip(USERS, (b"one", b"two", b"three"), strict=True):
            assert code(process, user, password) == 0
    for user in USERS:
        for wrong in (b"", None, b"ones", b"\xff\xfe", b"x" * 50_000):
            assert code(process, user, wrong) == WRONG
    assert code(process, "nobody", b"one") == WRONG
    assert code(process) == DENIED


def test_mark_of_utf_8_is_no_part_of_a_name(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    path = tmp_path / "users"
    write(path, {"ann": sha512("p"), "bob": sha512("p")})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    process = start_broker(auth__password_file=str(path))
    assert (code(process, "ann", b"p"), code(process, "bob", b"p")) == (0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"ann\n", ":1: expected USER:HASH"),
        (b"# x\n:$6$a$b\n", ":2: expected USER:HASH"),
        (b"ann:secret\n", ":1: expected a hash such as"),
        (b"ann:$2b$12$abcdefghijklmnopqrstuv\n", ":1: expected a hash such as"),
        (f"a:{USERS['sha']}\na:{USERS['sha']}\n".encode(), ":2: this user has a line"),
        (f"a:{USERS['sha']}\n\xff\n".encode("latin-1"), ":2: expected UTF-8"),
        (b"a:$scrypt$ln=30,r=8,p=1$AAAAAAAAAAAA$" + b"A" * 43, "more than 64 MiB"),
    ],
)
def test_line_that_cannot_be_used_refuses_the_load(
    start_broker: StartBroker, tmp_path: Path, text: bytes, expected: str
) -> None:
    path = tmp_path / "users"
    process = start_broker(auth__password_file=write(path, {"u": sha512("p")}))
    path.write_bytes(text)
    answer = process.api(req=10, action="reload")
    assert answer.status == 400
    assert f"{path}{expected}" in json.dumps(answer.json) or expected in json.dumps(
        answer.json
    )
    assert b"secret" not in json.dumps(answer.json).encode()
    checked = nanomq("conf", "check", str(process.conf))
    assert (checked.returncode, expected in checked.stderr) == (2, True), checked.stderr
    assert code(process, "u", b"p") == 0  # as before


def test_file_that_cannot_be_read_refuses_the_load(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    process = start_broker()
    os.mkfifo(tmp_path / "fifo")
    for path, why in (
        (tmp_path / "none", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "fifo", "expected a file"),
    ):
        process.set_keys(auth__password_file=str(path))
        answer = process.api(req=10, action="reload")
        assert (answer.status, why in json.dumps(answer.json)) == (400, True), answer


def test_file_that_others_can_read_is_warned_of(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    path = tmp_path / "users"
    file = write(path, {"u": sha512("p")})
    path.chmod(0o644)
    process = start_broker(auth__password_file=file)
    process.waits_for(f"{path}: mode 0644 lets every user of this machine read")


def test_restart_keeps_sessions_of_the_users_of_the_file(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    path = tmp_path / "users"
    file = write(path, {u: sha512("p") for u in ("stays", "goes")})
    process = start_broker(auth__password_file=file)
    never = b"\x11\xff\xff\xff\xff"
    for user in ("stays", "goes"):
        with process.raw(5) as c:
            c.connect(user, user=user, password=b"p", properties=never)
            assert c.subscribe(("a", 1)) == [1]
    assert process.nanomq("restart", "--conf", str(process.conf)).returncode == 0
    with process.raw(5) as c:
        c.send(raw.connect("stays", 5, user="stays", password=b"p", clean=False))
        assert c.expect(CONNACK).body[0] == 1  # Session Present


def test_secrets_are_nowhere_to_be_read(start_broker: StartBroker, tmp_path: Path) -> None:
    users = {"ann": hashed(b"geheim-1"), "bob": sha512("geheim-2")}
    path = tmp_path / "users"
    process = start_broker(
        auth__password_file=write(path, users),
        log__level="trace",
        auth__1__login="eve",
        auth__1__password="geheim-3",
    )
    for user, password in (
        ("ann", b"geheim-1"),
        ("bob", b"geheim-9"),
        ("eve", b"geheim-3"),
    ):
        code(process, user, password)
    path.write_text("ann:geheim-4\n")
    answer = process.api(req=10, action="reload")
    assert answer.status == 400
    told = "".join(process.lines) + json.dumps(answer.json)
    told += Path(f"/proc/{process.pid}/cmdline").read_text()
    for secret in ("geheim", *(stored.rpartition("$")[2] for stored in users.values())):
        assert secret not in told
