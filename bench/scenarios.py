"""What is measured, and what is asked of it."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Figure:
    """One number out of the load generator's answer."""

    key: str
    unit: str
    ratio_to: float | None = None  # asked: at most this times the peer's figure
    at_most: float | None = None  # asked: at most this
    more_is_better: bool = False  # then ratio_to is the least


@dataclass(frozen=True)
class Scenario:
    """Arguments of bench/load, and the figures that count."""

    name: str
    args: dict[str, str | int]
    figures: tuple[Figure, ...]
    transport: str = "tcp"
    cpus: str | None = None  # that the broker may use; None: all
    is_flood: bool = False  # it has to be long

    def command(self) -> list[str]:
        """Return the load generator's arguments, without ports and process."""
        return [f"transport={self.transport}"] + [f"{k}={v}" for k, v in self.args.items()]

    def rounds(self, of: int) -> int:
        """Return how many of so many rounds it takes part in."""
        asked = any(f.ratio_to is not None or f.at_most is not None for f in self.figures)
        return of if asked or of == 1 else of // 2

    def shortened(self) -> Scenario:
        """Return a twentieth of it, with at most 1,000 clients; a flood as it is."""
        if self.is_flood:
            return self
        args = dict(self.args)
        if "messages" in args:
            args["messages"] = max(20, int(args["messages"]) // 20)
        if "subs" in args:
            args["subs"] = min(1000, int(args["subs"]))
        return replace(self, args=args)


def cpu(ratio_to: float | None = None) -> Figure:
    return Figure("cpu_us", "us CPU a message", ratio_to)


def flow(
    name: str, ratio_to: float | None = None, transport: str = "tcp", **args: str | int
) -> Scenario:
    return Scenario(name, {"mode": "flow", **args}, (cpu(ratio_to),), transport)


SPEED = Figure("per_s", "messages/s", more_is_better=True)
LOW_LOAD = (
    Figure("p50_us", "us, median", 1.5),
    Figure("p99_us", "us, 99 %", 1.5),
    cpu(1.5),
)
CONNECTIONS = (
    Figure("per_s", "connections/s", 0.7, more_is_better=True),
    Figure("bytes_each", "bytes each", at_most=2560),
    Figure("idle_mib", "MiB before the first", at_most=36),
)
RETAINED = (
    Figure("cpu_us", "us CPU a message", 1.0),
    Figure("seconds", "s until all are there", 1.0),
    Figure("peak_ratio", "peak / held", at_most=1.3),
)

SCENARIOS = [
    flow("50 pairs, QoS 0", 0.06, qos=0, messages=20000),
    flow("50 pairs, QoS 1", 0.055, qos=1, messages=10000),
    flow("50 pairs, QoS 2", 0.045, qos=2, messages=5000),
    flow("fan-out, 5 to 500", 0.07, layout="fan", pubs=5, subs=500, messages=400),
    flow(
        "wildcards, 8 to 1,000 x 5", 0.08, layout="wild", pubs=8, subs=1000, messages=20000
    ),
    flow(
        "fan-in, 200 to 2, QoS 1",
        0.14,
        layout="fan",
        qos=1,
        pubs=200,
        subs=2,
        messages=1000,
    ),
    flow("256 KiB, 4 pairs", 0.8, pubs=4, subs=4, bytes=262144, messages=500),
    Scenario(
        "1,000 messages/s, QoS 1",
        {"mode": "flow", "qos": 1, "pubs": 20, "subs": 20, "rate": 50, "messages": 250},
        LOW_LOAD,
    ),
    Scenario("10,000 connections", {"mode": "hold", "subs": 10000}, CONNECTIONS),
    Scenario(
        "100,000 retained, then #",
        {"mode": "retained", "qos": 1, "messages": 100000, "give_up_ms": 30000},
        RETAINED,
    ),
    Scenario(
        "churn: in, subscribe, publish, out",
        {"mode": "churn", "qos": 1, "messages": 5000},
        (Figure("cpu_us", "us CPU a client"),),
    ),
    Scenario(
        "offline: 1,000 kept sessions",
        {"mode": "offline", "qos": 1, "subs": 1000, "messages": 1000},
        (cpu(),),
    ),
    flow("big fan-out, 1 to 5,000", layout="fan", pubs=1, subs=5000, messages=200),
    Scenario(
        "long flood, 5 to 500, QoS 0",
        {"mode": "flow", "layout": "fan", "pubs": 5, "subs": 500, "messages": 3000},
        (cpu(),),
        is_flood=True,
    ),
    Scenario(
        "long flood, 5 to 500, QoS 1",
        {
            "mode": "flow",
            "layout": "fan",
            "qos": 1,
            "pubs": 5,
            "subs": 500,
            "messages": 1000,
        },
        (cpu(),),
        is_flood=True,
    ),
    flow("TLS, 50 pairs, QoS 0", transport="tls", qos=0, messages=4000),
    flow("TLS, 50 pairs, QoS 1", transport="tls", qos=1, messages=2000),
    flow("WebSocket, 50 pairs, QoS 0", transport="ws", qos=0, messages=10000),
    flow("WebSocket, 50 pairs, QoS 1", transport="ws", qos=1, messages=5000),
    Scenario(
        "50 pairs, QoS 1, broker on one core",
        {"mode": "flow", "qos": 1, "messages": 10000},
        (SPEED, cpu()),
        cpus="0",
    ),
    Scenario(
        "50 pairs, QoS 1, broker on all cores",
        {"mode": "flow", "qos": 1, "messages": 10000},
        (SPEED, cpu()),
    ),
]
