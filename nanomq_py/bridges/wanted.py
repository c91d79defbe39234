"""What the configuration wants of bridges: options for the core, addresses, waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from nanomq_py.bridges.line import Times
from nanomq_py.bridges.loops import Ways, find_echo, find_loop
from nanomq_py.bridges.places import Place, places_of
from nanomq_py.bridges.topics import BadMapping, Route, forwards_of, subscriptions_of
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.keys.bridges import Bridge
from nanomq_py.config.values.numbers import U32
from nanomq_py.core.bridging import BridgeOptions, BridgeWill, Retain, Rule
from nanomq_py.kernel.node import node_name

_RETAIN = {0: Retain.CLEAR, 1: Retain.SET, 2: Retain.KEEP}


@dataclass(frozen=True)
class Wanted:
    """One bridge.

    places      where the other broker may be, the preferred one first
    may_unmask  it may connect without saying that it is a bridge
    """

    options: BridgeOptions
    places: tuple[Place, ...]
    times: Times
    timeout_ms: int
    may_unmask: bool

    @property
    def name(self) -> str:
        return self.options.name

    @property
    def is_paused(self) -> bool:
        """Whether it does not connect, and keeps what comes."""
        return self.options.paused

    @property
    def greeting(self) -> BridgeOptions:
        """What CONNECT says, without what counts at once."""
        return replace(
            self.options,
            forwards=(),
            subscriptions=(),
            queue_max=1,
            queue_max_bytes=0,
            drop_newest=False,
            message_expiry_s=0,
            paused=False,
        )


def _rule(route: Route) -> Rule:
    mapping = route.mapping
    return Rule(
        mapping.filter,
        mapping.take,
        mapping.put,
        mapping.fixed,
        route.qos,
        _RETAIN[route.retain],
    )


def _options(bridge: Bridge, node: str, ways: Ways) -> BridgeOptions:
    expiry = bridge.session_expiry
    if expiry is None:
        expiry = 0 if bridge.clean_start else U32
    will = None
    if bridge.will_topic:
        payload = bridge.will_payload.encode()
        will = BridgeWill(bridge.will_topic, payload, bridge.will_qos, bridge.will_retain)
    return BridgeOptions(
        name=bridge.name,
        client_id=bridge.client_id(node),
        forwards=tuple(map(_rule, ways.forwards)),
        subscriptions=tuple(map(_rule, ways.subscriptions)),
        user_name=bridge.username,
        password=None if bridge.password is None else bridge.password.encode(),
        version=bridge.proto_ver,
        bridge_bit=bridge.try_private,
        clean_start=bridge.clean_start,
        session_expiry_s=expiry,
        keep_alive_s=bridge.keepalive,
        receive_maximum=bridge.max_inflight,
        queue_max=bridge.max_send_queue_len,
        queue_max_bytes=bridge.max_send_queue_size,
        drop_newest=bridge.when_full == "newest",
        message_expiry_s=bridge.max_send_queue_age,
        paused=bridge.paused,
        will=will,
    )


def _ways(bridge: Bridge) -> Ways:
    try:
        return Ways(
            bridge.name,
            frozenset(bridge.addresses),
            bridge.proto_ver == 5 or bridge.try_private,
            forwards_of(bridge),
            subscriptions_of(bridge),
        )
    except BadMapping as fault:
        raise ConfigError(f"bridge.mqtt.{bridge.name}.{fault}") from None


def _check_loops(all_ways: Sequence[Ways]) -> None:
    for ways in all_ways:
        if (echo := find_echo(ways)) is not None:
            raise ConfigError(
                f"{echo}: expected proto_ver=5 or try_private=true, or other topics"
            )
    if (loop := find_loop(all_ways)) is not None:
        raise ConfigError(f"{loop}: expected one bridge for both, or other topics")


def _check(bridge: Bridge) -> None:
    at = f"bridge.mqtt.{bridge.name}"
    if bridge.proto_ver < 4:
        raise ConfigError(
            f"{at}.proto_ver={bridge.proto_ver}: expected 4 or 5: MQTT 3.1 is not spoken here"
        )
    if bridge.proto_ver == 4 and bridge.username is None and bridge.password is not None:
        raise ConfigError(  # [MQTT-3.1.2-22]
            f"{at}.username: missing: before MQTT 5.0 there is no password without it"
        )


def _one(bridge: Bridge, ways: Ways, node: str) -> Wanted:
    _check(bridge)
    would_echo = find_echo(replace(ways, is_quiet=False)) is not None
    return Wanted(
        options=_options(bridge, node, ways),
        places=places_of(bridge),
        times=Times(
            bridge.backoff_min / 1000, bridge.backoff_max / 1000, bridge.failback / 1000
        ),
        timeout_ms=bridge.connect_timeout,
        may_unmask=bridge.proto_ver == 4 and bridge.try_private and not would_echo,
    )


def wanted_of(config: Config) -> Mapping[str, Wanted]:
    """Return the bridges that run, by name, in the order of the configuration.

    Blocks: it reads PEM files. Raises ConfigError naming the key.
    """
    running = [bridge for bridge in config.bridges if bridge.bridge_mode]
    all_ways = [_ways(bridge) for bridge in running]
    _check_loops(all_ways)
    node = node_name(config)
    return {
        bridge.name: _one(bridge, ways, node)
        for bridge, ways in zip(running, all_ways, strict=True)
    }
