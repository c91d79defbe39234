"""One scripted session, played by each client library in both versions."""

from __future__ import annotations

import asyncio
import json
import queue
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiomqtt
import gmqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.conftest import FOREIGN_ENV, Process

HERE = Path(__file__).parent
both = pytest.mark.parametrize("version", [4, 5])

# What each script has seen, in the words of JSON.
SEEN: dict[str, Any] = {
    "messages": [["/0", "m0", 0], ["/1", "m1", 1], ["/2", "m2", 2]],
    "retained": ["kept", True],
    "present": True,
    "waited": "waited",
    "will": "gone",
}
REQUEST = ["/request", "answers", "42", {"a": "1", "b": "2"}, 7, True]


def expected(version: int) -> dict[str, Any]:
    return SEEN | ({"request": REQUEST} if version == 5 else {})


@both
@pytest.mark.skipif(
    not (HERE / "js" / "node_modules" / "mqtt").exists(), reason="no npm registry at set-up"
)
def test_mqtt_js(broker: Process, version: int, name: str) -> None:
    node = Path(sys.executable).parent / "node"
    got = subprocess.run(
        [
            node,
            HERE / "js" / "session.js",
            f"mqtt://127.0.0.1:{broker.port}",
            str(version),
            name,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env=FOREIGN_ENV,
    )
    assert got.returncode == 0, got.stderr
    assert json.loads(got.stdout) == expected(version)


class Paho:
    """A paho client as blocking calls."""

    def __init__(
        self, port: int, name: str, version: int, *, kept: bool = False, **will: Any
    ):
        self.messages: queue.Queue[paho.MQTTMessage] = queue.Queue()
        self._done: queue.Queue[Any] = queue.Queue()
        options = {"clean_session": not kept} if version == 4 else {}
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            name,
            protocol=paho.MQTTv5 if version == 5 else paho.MQTTv311,
            **options,  # type: ignore[arg-type]
        )
        self.client.on_connect = lambda c, d, flags, *_: self._done.put(flags)
        self.client.on_subscribe = self.client.on_unsubscribe = lambda *_: self._done.put(0)
        self.client.on_disconnect = lambda *_: self._done.put(0)
        self.client.on_message = lambda c, d, message: self.messages.put(message)
        if will:
            self.client.will_set(**will)
        properties = None
        if version == 5:
            properties = Properties(PacketTypes.CONNECT)
            properties.TopicAliasMaximum = 10
            if kept:
                properties.SessionExpiryInterval = 60
        self.client.connect(
            "127.0.0.1",
            port,
            properties=properties,
            **({"clean_start": not kept} if version == 5 else {}),
        )
        self.client.loop_start()
        self.present = self.wait().session_present

    def wait(self) -> Any:
        return self._done.get(timeout=20)

    def next(self) -> paho.MQTTMessage:
        return self.messages.get(timeout=20)

    def publish(self, topic: str, payload: str, qos: int = 1, **options: Any) -> None:
        self.client.publish(topic, payload, qos, **options).wait_for_publish(10)

    def subscribe(self, topic: str, qos: int, **options: Any) -> None:
        self.client.subscribe(topic, qos, **options)
        self.wait()

    def leave(self) -> None:
        self.client.disconnect()
        self.wait()
        self.client.loop_stop()


@both
def test_paho(broker: Process, version: int, name: str) -> None:
    seen: dict[str, Any] = {}
    client = Paho(broker.port, name, version)
    client.subscribe(name + "/#", 2)
    for qos in range(3):
        client.publish(f"{name}/{qos}", f"m{qos}", qos)
    got = [client.next() for _ in range(3)]
    seen["messages"] = [
        [m.topic.removeprefix(name), m.payload.decode(), m.qos] for m in got
    ]

    client.publish(name + "/kept", "kept", retain=True)
    client.next()
    client.client.unsubscribe(name + "/#")
    client.wait()
    client.subscribe(name + "/kept", 1)
    kept = client.next()
    seen["retained"] = [kept.payload.decode(), kept.retain]
    client.publish(name + "/kept", "", retain=True)
    client.next()

    away = Paho(broker.port, name + "_away", version, kept=True)
    away.subscribe(name + "/away", 1)
    away.leave()
    client.publish(name + "/away", "waited")
    away = Paho(broker.port, name + "_away", version, kept=True)
    seen["present"], seen["waited"] = away.present, away.next().payload.decode()
    away.leave()

    goner = Paho(
        broker.port, name + "_goner", version, topic=name + "/kept", payload="gone", qos=1
    )
    goner.client.socket().shutdown(2)
    seen["will"] = client.next().payload.decode()
    goner.client.loop_stop()

    if version == 5:
        identifier = Properties(PacketTypes.SUBSCRIBE)
        identifier.SubscriptionIdentifier = 7
        client.client.subscribe(
            name + "/request", options=paho.SubscribeOptions(1), properties=identifier
        )
        client.wait()
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = "answers"
        properties.CorrelationData = b"42"
        properties.MessageExpiryInterval = 100
        properties.UserProperty = [("a", "1"), ("b", "2")]
        client.publish(name + "/request", "ask", properties=properties)
        message = client.next()
        p = message.properties
        seen["request"] = [
            message.topic.removeprefix(name),
            p.ResponseTopic,
            p.CorrelationData.decode(),
            dict(p.UserProperty),
            p.SubscriptionIdentifier[0],
            p.MessageExpiryInterval > 90,
        ]
    client.leave()
    assert seen == expected(version)


def aio(
    broker: Process, name: str, version: int, *, kept: bool = False, **options: Any
) -> Any:
    if version == 4:
        options["clean_session"] = not kept
    else:
        options["clean_start"] = not kept
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 60 if kept else 0
        options["properties"] = properties
    protocol = aiomqtt.ProtocolVersion.V5 if version == 5 else aiomqtt.ProtocolVersion.V311
    return aiomqtt.Client(
        "127.0.0.1", broker.port, identifier=name, protocol=protocol, timeout=10, **options
    )


async def aio_next(client: aiomqtt.Client) -> aiomqtt.Message:
    return await asyncio.wait_for(anext(aiter(client.messages)), 20)


@both
async def test_aiomqtt(broker: Process, version: int, name: str) -> None:
    seen: dict[str, Any] = {}
    async with aio(broker, name, version) as client:
        await client.subscribe(name + "/#", 2)
        for qos in range(3):
            await client.publish(f"{name}/{qos}", f"m{qos}", qos)
        got = [await aio_next(client) for _ in range(3)]
        seen["messages"] = [
            [m.topic.value.removeprefix(name), m.payload.decode(), m.qos] for m in got
        ]

        await client.publish(name + "/kept", "kept", 1, retain=True)
        await aio_next(client)
        await client.unsubscribe(name + "/#")
        await client.subscribe(name + "/kept", 1)
        kept = await aio_next(client)
        seen["retained"] = [kept.payload.decode(), kept.retain]
        await client.publish(name + "/kept", "", 1, retain=True)
        await aio_next(client)

        async with aio(broker, name + "_away", version, kept=True) as away:
            await away.subscribe(name + "/away", 1)
        await client.publish(name + "/away", "waited", 1)
        async with aio(broker, name + "_away", version, kept=True) as away:
            seen["waited"] = (await aio_next(away)).payload.decode()
            seen["present"] = True  # or it had not waited; the library does not tell

        goner = aio(
            broker, name + "_goner", version, will=aiomqtt.Will(name + "/kept", "gone", 1)
        )

        async def drop_the_line() -> None:
            async with goner:
                goner._client.socket().shutdown(2)
                await aio_next(goner)

        with pytest.raises(aiomqtt.MqttError):
            await drop_the_line()
        seen["will"] = (await aio_next(client)).payload.decode()

        if version == 5:
            identifier = Properties(PacketTypes.SUBSCRIBE)
            identifier.SubscriptionIdentifier = 7
            await client.subscribe(name + "/request", 1, properties=identifier)
            properties = Properties(PacketTypes.PUBLISH)
            properties.ResponseTopic = "answers"
            properties.CorrelationData = b"42"
            properties.MessageExpiryInterval = 100
            properties.UserProperty = [("a", "1"), ("b", "2")]
            await client.publish(name + "/request", "ask", 1, properties=properties)
            message = await aio_next(client)
            p = message.properties
            seen["request"] = [
                message.topic.value.removeprefix(name),
                p.ResponseTopic,
                p.CorrelationData.decode(),
                dict(p.UserProperty),
                p.SubscriptionIdentifier[0],
                p.MessageExpiryInterval > 90,
            ]
    assert seen == expected(version)


class Gmqtt:
    """A gmqtt client whose callbacks become awaitable."""

    def __init__(
        self, name: str, version: int, *, kept: bool = False, **options: Any
    ) -> None:
        self.messages: asyncio.Queue[tuple[str, str, int, dict[str, Any]]] = asyncio.Queue()
        self._subscribed: asyncio.Queue[int] = asyncio.Queue()
        self._connected: asyncio.Queue[int] = asyncio.Queue()
        self.version = version
        if version == 5 and kept:
            options["session_expiry_interval"] = 60
        self.client = gmqtt.Client(name, clean_session=not kept, **options)
        self.client.set_config({"reconnect_retries": 0})
        self.client.on_message = self._on_message
        self.client.on_connect = lambda c, flags, *_: self._connected.put_nowait(flags)
        done: Callable[..., None] = lambda *_: self._subscribed.put_nowait(0)  # noqa: E731
        self.client.on_subscribe = self.client.on_unsubscribe = done

    def _on_message(
        self, client: Any, topic: str, payload: bytes, qos: int, properties: dict[str, Any]
    ) -> int:
        self.messages.put_nowait((topic, payload.decode(), qos, properties))
        return 0

    async def open(self, port: int) -> None:
        await self.client.connect("127.0.0.1", port, version=self.version)
        self.present = bool(await asyncio.wait_for(self._connected.get(), 20))

    async def subscribe(self, topic: str, qos: int, **options: Any) -> None:
        self.client.subscribe(topic, qos, **options)
        await asyncio.wait_for(self._subscribed.get(), 20)

    async def unsubscribe(self, topic: str) -> None:
        self.client.unsubscribe(topic)
        await asyncio.wait_for(self._subscribed.get(), 20)

    def next(self) -> Awaitable[tuple[str, str, int, dict[str, Any]]]:
        return asyncio.wait_for(self.messages.get(), 20)


@both
async def test_gmqtt(broker: Process, version: int, name: str) -> None:
    seen: dict[str, Any] = {}
    g = Gmqtt(name, version)
    await g.open(broker.port)
    await g.subscribe(name + "/#", 2)
    for qos in range(3):
        g.client.publish(f"{name}/{qos}", f"m{qos}", qos=qos)
    got = [await g.next() for _ in range(3)]
    seen["messages"] = [[m[0].removeprefix(name), m[1], m[2]] for m in got]

    g.client.publish(name + "/kept", "kept", qos=1, retain=True)
    await g.next()
    await g.unsubscribe(name + "/#")
    await g.subscribe(name + "/kept", 1)
    kept = await g.next()
    seen["retained"] = [kept[1], bool(kept[3]["retain"])]
    g.client.publish(name + "/kept", "", qos=1, retain=True)
    await g.next()

    away = Gmqtt(name + "_away", version, kept=True)
    await away.open(broker.port)
    await away.subscribe(name + "/away", 1)
    await away.client.disconnect()
    g.client.publish(name + "/away", "waited", qos=1)
    await g.subscribe(name + "/nothing", 0)  # the message has been handled
    away = Gmqtt(name + "_away", version, kept=True)
    await away.open(broker.port)
    seen["present"], seen["waited"] = away.present, (await away.next())[1]
    await away.client.disconnect()

    will = gmqtt.Message(name + "/kept", "gone", qos=1, will_delay_interval=0)
    goner = Gmqtt(name + "_goner", version, will_message=will)
    await goner.open(broker.port)
    goner.client._connection._transport.abort()
    seen["will"] = (await g.next())[1]

    if version == 5:
        await g.subscribe(name + "/request", 1, subscription_identifier=7)
        g.client.publish(
            name + "/request",
            "ask",
            qos=1,
            response_topic="answers",
            correlation_data=b"42",
            message_expiry_interval=100,
            user_property=[("a", "1"), ("b", "2")],
        )
        topic, _, _, p = await g.next()
        seen["request"] = [
            topic.removeprefix(name),
            p["response_topic"][0],
            p["correlation_data"][0].decode(),
            dict(p["user_property"]),
            p["subscription_identifier"][0],
            p["message_expiry_interval"][0] > 90,
        ]
    await g.client.disconnect()
    assert seen == expected(version)
