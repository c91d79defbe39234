"""Bridges between two brokers of ours: what crosses, and what a change of them does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.certs import Certs
from tests.conftest import (
    Process,
    StartBroker,
    running_broker,
    start_on_all_transports,
)
from tests.eventually import eventually
from tests.http.v4 import call, get
from tests.raw import Raw


def keys_of(far: int, **more: str) -> dict[str, str]:
    keys = {
        "node__name": "nanomq@here",
        "bridge__mqtt__b__bridge_mode": "true",
        "bridge__mqtt__b__address": f"mqtt-tcp://127.0.0.1:{far}",
        "bridge__mqtt__b__proto_ver": "5",
        "bridge__mqtt__b__clean_start": "false",
        "bridge__mqtt__b__backoff_min": "50ms",
        "bridge__mqtt__b__backoff_max": "200ms",
        "bridge__mqtt__b__forward__1__local_topic": "up/#",
        "bridge__mqtt__b__forward__1__remote_topic": "site/up/#",
    }
    return {**keys, **{f"bridge__mqtt__b__{name}": value for name, value in more.items()}}


def node(broker: Process, name: str = "b") -> dict[str, Any]:
    (found,) = get(broker, f"/bridges/{name}")["data"]["bridge"]["nodes"]
    assert isinstance(found, dict)
    return found


def status(broker: Process) -> dict[str, Any]:
    found = node(broker)["status"]
    assert isinstance(found, dict)
    return found


def is_up(broker: Process) -> None:
    eventually(lambda: status(broker)["state"], "up")


@contextmanager
def hearing(broker: Process, *filters: str) -> Iterator[Raw]:
    with broker.raw(5) as client:
        client.connect(f"hears-{len(filters)}")
        client.subscribe(*((each, 1) for each in filters))
        yield client


def send(broker: Process, topic: str, *payloads: bytes, **options: Any) -> None:
    with broker.raw(5) as client:
        client.connect("sends")
        for number, payload in enumerate(payloads, start=1):
            client.publish(topic, payload, qos=1, packet_id=number, **options)
            client.expect(4)


def heard(client: Raw, count: int = 1) -> list[tuple[str, bytes]]:
    packets = [client.expect(3) for _ in range(count)]
    return [(packet.topic, packet.payload) for packet in packets]


@pytest.mark.parametrize("version", ["4", "5"])
def test_topics_change_on_their_way_in_both_directions(
    start_broker: StartBroker, version: str
) -> None:
    far = start_broker()
    near = start_broker(
        **keys_of(
            far.port,
            proto_ver=version,
            forwards="same/#",
            forward__2__local_topic="t/+",
            forward__2__remote_topic="one",
            subscription__1__topic="site/cmd/#",
            subscription__1__local_topic="cmd/#",
            subscription__1__qos="1",
        )
    )
    is_up(near)
    with hearing(far, "#") as there, hearing(near, "cmd/#") as here:
        for topic in ("up/a", "same/b", "t/c", "other/d"):
            send(near, topic, b"x")
        assert heard(there, 3) == [("site/up/a", b"x"), ("same/b", b"x"), ("one", b"x")]
        send(far, "site/cmd/e", b"y")
        assert heard(here) == [("cmd/e", b"y")]
        here.assert_silent()


def test_two_ways_on_the_same_topics_settle(start_broker: StartBroker) -> None:
    far = start_broker()
    for version in ("4", "5"):
        near = start_broker(
            **keys_of(
                far.port, proto_ver=version, clientid=f"edge-{version}",
                forwards=f"both{version}/#",
                subscription__1__topic=f"both{version}/#", subscription__1__qos="1",
            )
        )  # fmt: skip
        is_up(near)
        topic = f"both{version}/t"
        with hearing(far, topic) as there, hearing(near, topic) as here:
            send(near, topic, b"1")
            send(far, topic, b"2")
            assert sorted(heard(there, 2)) == sorted(heard(here, 2))
            there.assert_silent()
            here.assert_silent()


def test_what_waits_crosses_when_the_address_changes(start_broker: StartBroker) -> None:
    """NanoMQ #2423, #1873: a backlog there waits for a new publish."""
    far = start_broker()
    near = start_broker(**keys_of(1))
    send(near, "up/a", b"1", b"2", b"3")
    assert status(near)["waiting"] == 3
    with hearing(far, "#") as there, hearing(near, "other") as here:
        address = f"mqtt-tcp://127.0.0.1:{far.port}"
        said = call(near, "PUT", "/api/v4/bridges/b", {"b": {"server": address}})
        assert said.json["data"]["applied"] == ["bridge.mqtt.b.address"]
        assert heard(there, 3) == [("site/up/a", b"%d" % n) for n in (1, 2, 3)]
        here.ping()  # local clients stay
    eventually(lambda: (status(near)["waiting"], status(near)["in_flight"]), (0, 0))
    assert status(near)["dropped"] == 0


def test_paused_bridge_keeps_what_comes_and_goes_on(start_broker: StartBroker) -> None:
    far = start_broker()
    near = start_broker(**keys_of(far.port))
    is_up(near)
    switch = "/api/v4/bridges/switch/b"
    assert call(near, "POST", switch, {"data": {"bridge_switch": False}}).status == 200
    with hearing(far, "#") as there:
        send(near, "up/a", b"1")
        assert (status(near)["state"], status(near)["waiting"]) == ("paused", 1)
        there.assert_silent()
        assert call(near, "POST", switch, {"data": {"bridge_switch": True}}).status == 200
        assert heard(there) == [("site/up/a", b"1")]


def test_other_broker_that_comes_back_gets_what_waited(start_broker: StartBroker) -> None:
    far = start_broker()
    near = start_broker(**keys_of(far.port))
    is_up(near)
    far.kill()
    eventually(lambda: status(near)["state"] != "up")
    send(near, "up/a", b"1", retain=True)  # it may be there before who hears it
    other = start_broker(url=f"nmq-tcp://127.0.0.1:{far.port}")
    with hearing(other, "#") as there:
        assert heard(there) == [("site/up/a", b"1")]
    assert status(near)["attempts"] == 0


def test_next_address_is_used_and_the_first_one_again(start_broker: StartBroker) -> None:
    first, second = start_broker(), start_broker()
    near = start_broker(
        **keys_of(
            first.port,
            hybrid_servers=f"mqtt-tcp://127.0.0.1:{second.port}",
            failback="100ms",
        )
    )
    is_up(near)
    first.kill()
    eventually(lambda: (status(near)["state"], status(near)["address"][-6:]),
               ("up", f":{second.port}"))  # fmt: skip
    again = start_broker(url=f"nmq-tcp://127.0.0.1:{first.port}")
    eventually(lambda: (status(near)["state"], status(near)["address"][-6:]),
               ("up", f":{first.port}"))  # fmt: skip
    with hearing(again, "#") as there:
        send(near, "up/a", b"1")
        assert heard(there) == [("site/up/a", b"1")]


def test_changed_forwards_leave_the_connection_alone(start_broker: StartBroker) -> None:
    far = start_broker()
    near = start_broker(**keys_of(far.port))
    is_up(near)
    since = status(near)["since"], status(near)["sent"]
    forwards = [{"local_topic": "new/#", "remote_topic": "site/new/#"}]
    body = {"b": {"forwards": forwards, "subscription": [{"topic": "cmd/#", "qos": 1}]}}
    assert call(near, "PUT", "/api/v4/bridges/b", body).json["code"] == 0
    assert (status(near)["state"], status(near)["since"]) == ("up", since[0])
    with hearing(far, "site/#") as there, hearing(near, "cmd/#") as here:
        send(near, "up/a", b"old")
        send(near, "new/a", b"new")
        assert heard(there) == [("site/new/a", b"new")]

        def crossed() -> bool:
            send(far, "cmd/a", b"x")
            return here.hears_within(0.2)

        eventually(crossed)
        assert heard(here) == [("cmd/a", b"x")]


def test_state_is_told_in_sys_topics_metrics_and_log(start_broker: StartBroker) -> None:
    far = start_broker()
    near = start_broker(sys_interval="1", **keys_of(far.port))
    state = "$SYS/brokers/nanomq@here/bridge/b/state"
    with hearing(near, state) as client:
        assert heard(client) == [(state, b"up")]
        far.kill()
        assert heard(client) == [(state, b"down")]
    with hearing(near, "$SYS/broker/bridge/b/waiting") as client:
        assert heard(client) == [("$SYS/broker/bridge/b/waiting", b"0")]
    text = call(near, "GET", "/api/v4/prometheus").text
    assert 'nanomq_bridge_up{name="b"} 0' in text
    assert 'nanomq_bridge_waiting{name="b"} 0' in text
    log = "".join(near.lines)
    assert f"bridge b: connected to mqtt-tcp://127.0.0.1:{far.port}" in log
    assert f"bridge b: not connected to mqtt-tcp://127.0.0.1:{far.port}: " in log
    said = call(near, "DELETE", "/api/v4/bridges/b")
    assert said.json["code"] == 0
    with hearing(near, state) as client:
        client.assert_silent()  # nothing is retained of a bridge that is gone


def test_request_12_changes_the_first_bridge_while_it_runs(
    start_broker: StartBroker,
) -> None:
    far = start_broker()
    near = start_broker(**keys_of(1))
    bridge = near.api(req=11).json["data"]["bridge"]
    bridge["address"] = f"mqtt-tcp://127.0.0.1:{far.port}"
    got = near.api(req=12, data={"bridge": bridge})
    assert got.json["data"]["applied"] == ["bridge.mqtt.b.address"]
    is_up(near)
    assert near.api(req=11).json["data"]["bridge"] == bridge


def test_what_cannot_be_is_refused_at_the_start(tmp_path: Any) -> None:
    from nanomq_py.bridges.wanted import wanted_of
    from nanomq_py.config import ConfigError, parse

    def fault(*lines: str) -> str:
        text = "".join(f"bridge.mqtt.b.{line}\n" for line in ("bridge_mode=true", *lines))
        with pytest.raises(ConfigError) as caught:
            wanted_of(parse(text, "x"))
        return str(caught.value)

    assert fault("address=mqtt-quic://h:1").startswith(
        "bridge.mqtt.b.address=mqtt-quic://h:1: expected another scheme"
    )
    tls = "address=tls+mqtt-tcp://h:1"
    assert fault(tls, "ssl.cacertfile=/nothing") == (
        "bridge.mqtt.b.ssl.cacertfile='/nothing': cannot be read: No such file or directory"
    )
    bad = tmp_path / "bad.pem"
    bad.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert fault(tls, f"ssl.cacertfile={bad}").endswith("expected certificates in PEM form")
    assert "ssl.certfile: missing, ssl.keyfile needs it" in fault(tls, f"ssl.keyfile={bad}")
    both = ("forwards=a/#", "subscription.1.topic=a/#", "try_private=false")
    assert fault(*both).endswith(
        "expected proto_ver=5 or try_private=true, or other topics"
    )
    assert "username: missing" in fault("password=p")
    assert "proto_ver=3: expected 4 or 5" in fault("proto_ver=3")


def test_every_transport_carries_a_bridge(
    start_broker: StartBroker, certs: Certs, tmp_path: Path
) -> None:
    far = start_on_all_transports(start_broker, certs, tmp_path)
    ports = re.findall(r"(\S+) on port (\d+)", "".join(far.lines))
    found = {name: int(port) for name, port in ports}
    addresses = {
        "mqtt-tcp": f"mqtt-tcp://127.0.0.1:{far.port}",
        "tls": f"tls+mqtt-tcp://localhost:{found['tls.url']}",
        "ws": f"ws://127.0.0.1:{found['websocket.url']}/mqtt",
        "wss": f"wss://localhost:{found['websocket.tls_url']}/mqtt",
        "ipc": f"ipc://{tmp_path / 'broker.sock'}",
    }
    near = start_broker(**keys_of(far.port, ssl__cacertfile=str(certs.ca.certfile)))
    with hearing(far, "#") as there:
        for name, address in addresses.items():
            body = {"b": {"server": address}}
            said = call(near, "PUT", "/api/v4/bridges/b", body)
            assert said.json["code"] == 0, said
            send(near, "up/a", name.encode())
            assert heard(there) == [("site/up/a", name.encode())]
            is_up(near)


def test_certificate_of_somebody_else_is_refused(
    start_broker: StartBroker, certs: Certs, tmp_path: Path
) -> None:
    far = start_on_all_transports(start_broker, certs, tmp_path)
    (port,) = re.findall(r" tls\.url on port (\d+)", "".join(far.lines))
    near = start_broker(
        **keys_of(
            1,
            address=f"tls+mqtt-tcp://localhost:{port}",
            ssl__cacertfile=str(certs.ca.certfile),
            ssl__server_name="other.example.com",
        )
    )
    eventually(lambda: bool(status(near)["last_error"]))
    assert status(near)["state"] != "up"
    body = {"b": {"ssl": {"server_name": "localhost"}}}
    assert call(near, "PUT", "/api/v4/bridges/b", body).json["code"] == 0
    is_up(near)


def test_what_waits_outlives_a_kill_and_goes_with_its_bridge(
    start_broker: StartBroker, tmp_path: Path
) -> None:
    keys = {
        "durability": "always",
        "durability__location": str(tmp_path / "journal"),
        **keys_of(1),
    }
    near = start_broker(**keys)
    send(near, "up/a", b"1", b"2")
    near.kill()
    near = start_broker(**keys)
    assert status(near)["waiting"] == 2
    near.kill()
    gone = {name: value for name, value in keys.items() if "bridge" not in name}
    near = start_broker(**gone)
    assert "1 bridges that are not configured any more have ended" in "".join(near.lines)
    assert near.stop() == 0
    near = start_broker(**keys)
    assert status(near)["waiting"] == 0


def test_bridge_that_is_away_is_an_alarm(tmp_path: Path) -> None:
    quick = {
        "nanomq_py.alarms_part.LOOK_S": 0.05,
        "nanomq_py.bridges.table.DOWN_S": 0.1,
    }
    with running_broker(tmp_path, constants=quick, **keys_of(1)) as near:

        def alarms() -> list[str]:
            (node,) = get(near, "/alarms/activated")["data"]
            return [each["name"] for each in node["alarms"]]

        eventually(alarms, ["bridge_down/b"])
        assert call(near, "DELETE", "/api/v4/bridges/b").json["code"] == 0
        eventually(alarms, [])


def test_subscription_that_is_refused_there_is_told(start_broker: StartBroker) -> None:
    far = start_broker(
        acl_nomatch="allow",
        **{"acl.rule.1": '{"permit":"deny","action":"subscribe","topics":["secret/#"]}'},
    )
    topics = {
        "subscription__1__topic": "secret/#",
        "subscription__2__topic": "cmd/#",
        "subscription__2__qos": "1",
    }
    near = start_broker(**keys_of(far.port, **topics))
    is_up(near)
    eventually(lambda: status(near)["refused"] != "")
    assert "refuses a subscription" in status(near)["refused"]
    with hearing(near, "#") as here:
        send(far, "cmd/a", b"x")
        assert heard(here) == [("cmd/a", b"x")]


def test_without_a_client_identifier_the_session_is_found_again_after_each_start(
    start_broker: StartBroker,
) -> None:
    """It is made of the names of node and bridge: what was sent meanwhile comes."""
    far = start_broker()
    keys = keys_of(far.port, subscription__1__topic="down/#", subscription__1__qos="1")
    near = start_broker(**keys)
    assert node(near)["connector"]["clientid"] == "nanomq@here-b"
    is_up(near)
    send(far, "down/1", b"first")
    eventually(lambda: status(near)["received"], 1)
    near.stop()
    send(far, "down/1", b"second")
    near = start_broker(**keys)
    eventually(lambda: status(near)["received"], 1)
