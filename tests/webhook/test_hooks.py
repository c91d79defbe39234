"""Web hooks of a broker, from clients to the receiver."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from nanomq_py import Broker, Config
from nanomq_py.config import ConfigError
from nanomq_py.config.keys.http_client import Header, WebHook, WebHookRule
from nanomq_py.config.reader import read
from nanomq_py.plugins.webhook import plugin as module
from nanomq_py.plugins.webhook.plugin import CONSUMER, NAME, WebHooks
from tests import certs as certificates
from tests.answering import status
from tests.delivery.receiving import OK, Came, Receiver, receiving
from tests.raw import Raw

LOCAL = Config(url="nmq-tcp://127.0.0.1:0")


def rule(event: str, topic: str | None = None) -> WebHookRule:
    return WebHookRule(event=event, action=f"on_{event}", topic=topic)


def hook_to(receiver: Receiver, *rules: WebHookRule, **given: Any) -> Config:
    hook = WebHook(enable=True, url=receiver.url, rules=rules, **given)
    return replace(LOCAL, web_hook=hook)


@asynccontextmanager
async def hooked(config: Config, broker: Broker | None = None) -> AsyncIterator[WebHooks]:
    """Run web hooks as the process does, in a broker of this one."""
    own = Broker(config) if broker is None else broker
    if broker is None:
        await own.start()
    made = WebHooks("webhook", own)
    change = await made.prepare(config)
    assert change is not None
    change.commit()
    await change.settle()
    await made.start()
    try:
        yield made
    finally:
        made.leave()
        await asyncio.gather(made.stop(), *([own.stop()] if broker is None else []))
        made.end_work()


async def reconfigured(hooks: WebHooks, config: Config) -> None:
    change = await hooks.prepare(config)
    assert change is not None
    change.commit()
    await hooks.broker.reconfigure(config)
    await change.settle()


def taken(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(came.body) for came in receiver.taken]


async def actions_of(receiver: Receiver, count: int) -> list[str]:
    await receiver.until(lambda: len(receiver.taken) >= count)
    return [fields["action"] for fields in taken(receiver)]


async def test_messages_that_match_are_told_once_and_in_order() -> None:
    async with receiving() as receiver:
        # both filters match a/b
        config = hook_to(
            receiver,
            *(rule("message.publish", "a/#"), rule("message.publish", "a/b")),
            headers=(
                Header(name="Content-Type", value="text/json"),
                Header(name="X", value="y"),
            ),
        )
        async with hooked(config) as hooks:
            broker = hooks.broker
            for number in range(50):
                broker.publish("a/b", str(number), qos=number % 3)
                broker.publish("b", b"not told")
            await receiver.until(lambda: len(receiver.taken) >= 50)
            assert [fields["payload"] for fields in taken(receiver)] == [
                str(number) for number in range(50)
            ]
            assert {fields["topic"] for fields in taken(receiver)} == {"a/b"}
            headers = receiver.taken[0].headers
            assert (headers["content-type"], headers["x"]) == ("text/json", "y")
            assert broker.deliveries.counts(NAME).succeeded <= 50


async def test_retained_messages_of_before_are_not_told() -> None:
    async with receiving() as receiver, Broker(LOCAL) as broker:
        broker.publish("a", b"before", retain=True)
        config = hook_to(receiver, rule("message.publish"))
        async with hooked(config, broker):
            broker.publish("a", b"after", retain=True)
            await receiver.until(lambda: len(receiver.taken) >= 1)
        assert [fields["payload"] for fields in taken(receiver)] == ["after"]


async def test_what_clients_do_is_told() -> None:
    rules = [
        rule(event)
        for event in (
            *("client.connack", "client.disconnected", "client.subscribe"),
            *("client.unsubscribe", "session.terminated", "message.delivered"),
            *("message.acked", "client.connect", "client.connected"),
            *("session.subscribed", "session.unsubscribed", "message.publish"),
        )
    ]
    async with receiving() as receiver, hooked(hook_to(receiver, *rules)) as hooks:

        def act() -> None:
            with Raw(hooks.broker.ports["url"], 5) as c:
                c.connect("c", keep_alive=33)
                c.subscribe(("t", 1))
                c.publish("t", b"x", qos=1, packet_id=5)
                for _ in "12":
                    packet = c.read()
                    if packet.kind == 3:
                        c.send(b"\x40\x02" + packet.packet_id.to_bytes(2, "big"))
                c.ping()
                c.leave()

        await asyncio.to_thread(act)
        actions = await actions_of(receiver, 10)
        assert {"client_connack", "client_disconnected", "session_terminated"} <= set(
            actions
        )
        assert {"message_publish", "message_delivered", "message_acked"} <= set(actions)
        of_client = [fields for fields in taken(receiver) if fields.get("clientid") == "c"]
        order = [fields["action"] for fields in of_client]
        assert order == [
            *("client_connect", "client_connack", "client_connected"),
            *("client_subscribe", "session_subscribed", "message_delivered"),
            *("message_acked", "client_disconnected", "session_terminated"),
        ]
        assert of_client[0]["keepalive"] == 33


async def test_nothing_that_was_acknowledged_is_lost_while_the_receiver_is_down() -> None:
    is_down = True

    def says(came: Came) -> bytes:
        return status(503) if is_down else OK

    async with (
        receiving(says) as receiver,
        hooked(hook_to(receiver, rule("message.publish"))) as hooks,
    ):
        broker = hooks.broker
        for number in range(300):
            broker.publish(f"t/{number % 3}", str(number), qos=1)
        await receiver.until(lambda: len(receiver.came) >= 1)
        await until_kept(broker, 300)
        is_down = False
        await receiver.until(lambda: len(receiver.taken) >= 300)
        for level in range(3):
            of_topic = [
                int(fields["payload"])
                for fields in taken(receiver)
                if fields["topic"] == f"t/{level}"
            ]
            assert of_topic == list(range(level, 300, 3))


async def until_kept(broker: Broker, count: int) -> None:
    async def wait() -> None:
        while broker.deliveries.counts(NAME).waiting < count:
            await asyncio.sleep(0.005)

    await asyncio.wait_for(wait(), 20)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(module, "MOST_WAIT_S", 0.1)


async def test_keys_are_followed_while_it_runs() -> None:
    async with receiving() as first, receiving() as second:
        config = hook_to(first, rule("message.publish", "a"))
        async with hooked(config) as hooks:
            hooks.broker.publish("a", b"1")
            await first.until(lambda: len(first.taken) == 1)
            await reconfigured(
                hooks,
                hook_to(second, rule("message.publish", "b"), encoding="base64"),
            )
            hooks.broker.publish("a", b"not told")
            hooks.broker.publish("b", b"2")
            await second.until(lambda: len(second.taken) == 1)
            assert taken(second)[0]["payload"] == "Mg=="
            await reconfigured(hooks, LOCAL)
            hooks.broker.publish("b", b"not told")
        assert (len(first.taken), len(second.taken)) == (1, 1)


async def test_switched_off_it_keeps_nothing() -> None:
    async with receiving() as receiver, Broker(LOCAL) as broker:
        config = hook_to(receiver, rule("message.publish"))
        async with hooked(config, broker):
            pass  # the broker's own keys say that it is off
        with pytest.raises(KeyError):
            broker.end_consumer(CONSUMER)
        assert broker.deliveries.names == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"url": None}, "web.hook.url: missing"),
        (
            {"url": "http://169.254.169.254:80/"},
            "web.hook.url: 169.254.169.254: its address",
        ),
        ({"allow": ("10.0.0.0/8",)}, "web.hook.url: 127.0.0.1: its address 127.0.0.1"),
        ({"secret": "whsec_."}, "web.hook.secret: expected base64"),
        ({"headers": (Header(name="Host", value="x"),)}, "web.hook.headers: 'Host' cannot"),
        (
            {"url": "https://127.0.0.1:1/", "cacertfile": "/nowhere"},
            "web.hook.ssl.cacertfile=/nowhere: cannot be read",
        ),
    ],
)
async def test_what_cannot_be_told_is_refused(given: dict[str, Any], why: str) -> None:
    hook = WebHook(**{"enable": True, "url": "http://127.0.0.1:80/", **given})
    made = WebHooks("webhook", Broker(LOCAL))
    with pytest.raises(ConfigError) as caught:
        await made.prepare(replace(LOCAL, web_hook=hook))
    assert str(caught.value).startswith(why)


def test_rule_with_a_topic_that_is_no_filter_is_refused() -> None:
    line = 'web.hook.rule.message.publish.1={"action":"on_message_publish","topic":"a#"}'
    with pytest.raises(ConfigError, match="a topic that is a topic filter, not 'a#'"):
        read(line, "x")
    with pytest.raises(ConfigError, match=r"web\.hook\.rule\.session\.created\.1"):
        read('web.hook.rule.session.created.1={"action":"on_session_created"}', "x")


async def test_https_server_is_verified(certs: certificates.Certs) -> None:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server.certfile, certs.server.keyfile)
    from tests.answering import answering

    with answering(status(204), context) as server:
        hook = WebHook(
            enable=True,
            url=server.url.replace("127.0.0.1", "localhost"),
            cacertfile=str(certs.ca.certfile),
            rules=(rule("message.publish"),),
        )
        async with hooked(replace(LOCAL, web_hook=hook)) as hooks:
            hooks.broker.publish("a", b"x")
            await asyncio.to_thread(server.until, 1)
            trusting_others = replace(hook, cacertfile=None, max_attempts=2)
            await reconfigured(hooks, replace(LOCAL, web_hook=trusting_others))
            hooks.broker.publish("a", b"y")

            async def wait() -> None:
                while not hooks.broker.deliveries.counts(NAME).failed:
                    await asyncio.sleep(0.01)

            await asyncio.wait_for(wait(), 20)
            assert "certificate" in hooks.broker.deliveries.counts(NAME).last_error
    assert len(server.asked) == 1
