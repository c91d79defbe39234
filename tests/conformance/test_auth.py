"""Who may come in: passwords, and enhanced authentication (MQTT 5.0, 3.15 and 4.12)."""

from __future__ import annotations

import pytest
import scramp

from tests import raw
from tests.conformance.flows import closed_with, modern, text
from tests.conftest import Process, StartBroker
from tests.raw import AUTH, CONNACK, DISCONNECT, Packet, Raw

METHOD, DATA = 0x15, 0x16
GO_ON, AGAIN = 0x18, 0x19
SCRAM = text(METHOD, "SCRAM-SHA-256")


def auth(reason: int, properties: bytes = SCRAM) -> bytes:
    return raw.packet(AUTH, bytes([reason]) + raw.varint(len(properties)) + properties)


def data_of(got: Packet) -> str:
    """Return the Authentication Data; the method must be there too. [MQTT-4.12.0-5]"""
    assert SCRAM in got.properties
    rest = got.properties.split(SCRAM, 1)[1]
    assert rest[:1] == bytes([DATA])
    return rest[3 : 3 + int.from_bytes(rest[1:3], "big")].decode()


def scram(user: str = "u", password: str = "secret") -> scramp.core.ScramClient:
    return scramp.ScramClient(["SCRAM-SHA-256"], user, password)


def first(client: scramp.core.ScramClient) -> bytes:
    return SCRAM + text(DATA, client.get_client_first())


def answer(c: Raw, client: scramp.core.ScramClient, got: Packet) -> None:
    assert (got.kind, got.reason) == (AUTH, GO_ON)
    client.set_server_first(data_of(got))
    c.send(auth(GO_ON, SCRAM + text(DATA, client.get_client_final())))


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> object:
    from tests.conftest import running_broker

    with running_broker(
        tmp_path_factory.mktemp("auth"),
        auth__1__login="u",
        auth__1__password="secret",
        allow_anonymous="false",
    ) as made:
        yield made
        assert "secret" not in "".join(made.lines)


@pytest.mark.spec("MQTT-3.1.4-2")
@modern
@pytest.mark.parametrize(
    ("user", "password", "code", "code_3"),
    [
        ("u", b"secret", 0, 0),
        ("u", b"wrong", 0x86, 4),
        ("u", b"", 0x86, 4),
        ("u", None, 0x86, 4),
        ("x", b"secret", 0x86, 4),
        (None, None, 0x87, 5),
    ],
)
def test_users_of_the_configuration_are_let_in(
    process: Process,
    version: int,
    user: str | None,
    password: bytes | None,
    code: int,
    code_3: int,
) -> None:
    with process.raw(version) as c:
        got = c.connect("x", user=user, password=password)
        assert got.reason == (code if version == 5 else code_3)
        if code == 0:
            c.ping()
        else:
            assert c.read_until_closed() == []


@pytest.mark.spec(
    "MQTT-4.12.0-2", "MQTT-4.12.0-3", "MQTT-4.12.0-5", "MQTT-3.2.0-1", "MQTT-3.15.2-1"
)
def test_scram_lets_a_user_in(process: Process, name: str) -> None:
    client = scram()
    with process.raw(5) as c:
        c.send(raw.connect(name, 5, properties=first(client)))
        answer(c, client, c.read())
        got = c.expect(CONNACK)
        assert got.reason == 0
        client.set_server_final(data_of(got))  # the broker knows the password too
        assert c.subscribe((name, 0)) == [0]


@pytest.mark.spec("MQTT-4.12.0-4", "MQTT-3.1.4-6")
@pytest.mark.parametrize(
    ("user", "password"),
    [("u", "wrong"), ("nobody", "secret")],
    ids=["of-a-user", "of-nobody"],  # client identifiers, which are logged
)
def test_scram_refuses_strangers_at_the_proof(
    process: Process, user: str, password: str, name: str
) -> None:
    client = scram(user, password)
    with process.raw(5) as c:
        c.send(raw.connect(name, 5, properties=first(client)))
        answer(c, client, c.read())
        c.publish(name, b"not processed")
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (CONNACK, 0x87)


def test_stranger_gets_the_same_salt_each_time(process: Process, name: str) -> None:
    salts = set()
    for _ in range(2):
        with process.raw(5) as c:
            c.send(raw.connect(name, 5, properties=first(scram("nobody", "x"))))
            salts.add(data_of(c.expect(AUTH)).split(",")[1])
    assert len(salts) == 1


@pytest.mark.spec("MQTT-4.12.0-4")
@pytest.mark.parametrize(
    "data", [None, b"", b"\xff", b"n,,", b"n,,n=u", b"p=x,,n=u,r=y", b"x" * 999]
)
def test_malformed_first_message_is_refused(
    process: Process, data: bytes | None, name: str
) -> None:
    with process.raw(5) as c:
        properties = SCRAM if data is None else SCRAM + text(DATA, data)
        assert c.connect("c", properties=properties).reason == 0x87
        assert c.read_until_closed() == []


@pytest.mark.spec("MQTT-4.12.0-1")
@pytest.mark.parametrize("method", ["GS2-KRB5", "", "scram-sha-256"])
def test_unknown_method_is_refused(
    broker: Process, process: Process, method: str, name: str
) -> None:
    for one in (broker, process):
        with one.raw(5) as c:
            got = c.connect("c", properties=text(METHOD, method))
            assert (got.kind, got.reason) == (CONNACK, 0x8C)
            assert c.read_until_closed() == []


@pytest.mark.spec("MQTT-4.12.0-6")
def test_without_a_method_there_is_none_in_connack(process: Process, name: str) -> None:
    with process.raw(5) as c:
        got = c.connect(name, user="u", password=b"secret")
        assert bytes([METHOD]) not in got.properties[::1][:1]
        assert b"SCRAM" not in got.properties


@pytest.mark.spec("MQTT-4.12.0-7")
def test_auth_without_a_method_in_connect_is_an_error(process: Process, name: str) -> None:
    with process.raw(5) as c:
        c.connect(name, user="u", password=b"secret")
        c.send(auth(AGAIN))
        assert closed_with(c) == 0x82


@pytest.mark.spec("MQTT-3.1.2-30", "MQTT-3.14.0-1")
@pytest.mark.parametrize(
    ("packet", "reason"),
    [
        (raw.packet(raw.PINGREQ), 0x82),
        (raw.publish("a", b"x", 5), 0x82),
        (auth(AGAIN), 0x82),
        (auth(0), 0x82),
        (auth(GO_ON, b""), 0x82),
        (auth(GO_ON, text(METHOD, "OTHER")), 0x8C),
        (auth(GO_ON), 0x87),  # without data
    ],
)
def test_what_does_not_belong_to_the_exchange_ends_it_with_connack(
    process: Process, packet: bytes, reason: int, name: str
) -> None:
    with process.raw(5) as c:
        c.send(raw.connect(name, 5, properties=first(scram())))
        c.expect(AUTH)
        c.send(packet)
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (CONNACK, reason)


def test_client_may_give_up_with_disconnect(process: Process, name: str) -> None:
    with process.raw(5) as c:
        c.send(raw.connect(name, 5, properties=first(scram())))
        c.expect(AUTH)
        c.send(raw.disconnect(5))
        assert c.read_until_closed() == []


def signed_in(process: Process, name: str) -> Raw:
    client = scram()
    c = process.raw(5)
    c.send(raw.connect(name, 5, properties=first(client)))
    answer(c, client, c.read())
    c.expect(CONNACK)
    return c


@pytest.mark.spec("MQTT-4.12.1-1", "MQTT-4.12.0-5")
def test_client_can_prove_itself_again(process: Process, name: str) -> None:
    with signed_in(process, name) as c:
        for _ in range(2):
            client = scram()
            c.send(auth(AGAIN, first(client)))
            got = c.read()
            assert c.subscribe((name, 0)) == [0]  # the connection goes on meanwhile
            answer(c, client, got)
            got = c.expect(AUTH)
            assert got.reason == 0
            client.set_server_final(data_of(got))
        c.publish(name, b"x")
        assert c.expect(raw.PUBLISH).payload == b"x"


@pytest.mark.spec("MQTT-4.12.1-2")
def test_failed_proof_closes_the_connection(process: Process, name: str) -> None:
    with signed_in(process, name) as c:
        client = scram(password="wrong")
        c.send(auth(AGAIN, first(client)))
        answer(c, client, c.read())
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (DISCONNECT, 0x87)


@pytest.mark.spec("MQTT-4.12.1-1", "MQTT-4.12.0-3")
@pytest.mark.parametrize(
    "packet", [auth(AGAIN, text(METHOD, "OTHER")), auth(AGAIN, b""), auth(GO_ON), auth(0)]
)
def test_auth_out_of_turn_closes_the_connection(
    process: Process, packet: bytes, name: str
) -> None:
    with signed_in(process, "out of turn") as c:
        c.send(packet)
        (got,) = c.read_until_closed()
        assert (got.kind, got.reason) == (DISCONNECT, 0x82)


def test_exchange_that_its_client_leaves_ends_in_time(start_broker: StartBroker) -> None:
    process = start_broker(
        auth__1__login="u", auth__1__password="secret", connect_timeout="300ms"
    )
    with process.raw(5) as c:
        c.send(raw.connect("c", 5, properties=first(scram())))
        c.expect(AUTH)
        assert c.read_until_closed() == []


def test_the_client_is_known_by_the_name_it_proved(process: Process, name: str) -> None:
    import base64
    import json
    import urllib.request

    with signed_in(process, name):
        request = urllib.request.Request(
            f"http://127.0.0.1:{process.http_port}/api/v1",
            json.dumps({"req": 5, "seq": 1}).encode(),
            {"Authorization": "Basic " + base64.b64encode(b"admin:public").decode()},
        )
        with urllib.request.urlopen(request) as reply:
            clients = json.loads(reply.read())["data"]
        (own,) = (c for c in clients if c["client_id"] == name)
        assert own["username"] == "u"
