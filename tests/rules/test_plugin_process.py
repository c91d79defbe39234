"""Rules in a process of their own: over a restart, a kill, and another configuration."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, Process, StartBroker, free_port, running_broker
from tests.http.v4 import call, get
from tests.raw import PUBACK, Raw

ROWS = {"name": "file", "params": {"path": "rows.json"}}


def make(broker: Process) -> str:
    rule = {"rawsql": 'SELECT payload.n AS n FROM "n"', "actions": [ROWS], "id": "rows"}
    said = call(broker, "POST", "/api/v4/rules", rule)
    assert said.status == 200, said
    return str(said.json["data"]["id"])


def publish(broker: Process, numbers: range) -> None:
    """Publish them at QoS 1, and return once all are acknowledged."""
    with Raw(broker.port) as client:
        client.connect("gives")
        for n in numbers:
            client.publish("n", b'{"n":%d}' % n, qos=1, packet_id=n + 1)
        for _ in numbers:
            client.expect(PUBACK)


def written(broker: Process) -> list[int]:
    path = broker.conf.with_name(f"{broker.conf.stem}-rules") / "rows.json"
    return [json.loads(line)["n"] for line in path.read_text().splitlines()]


def wait_for(broker: Process, count: int) -> None:
    """Return once the rule has had so many messages."""
    while get(broker, "/rules/rows")["data"]["metrics"][0]["passed"] < count:
        pass


def test_acknowledged_messages_come_to_a_rule_over_a_restart(
    start_broker: StartBroker,
) -> None:
    broker = start_broker(plugins__load="rules", http_server__port=str(free_port()))
    make(broker)
    publish(broker, range(3000))
    served = sum("serving:" in line for line in broker.lines)
    assert broker.api(req=10, action="restart").status == 200
    while sum("serving:" in line for line in broker.lines) == served:
        time.sleep(0.01)
    publish(broker, range(3000, 3100))
    until = time.monotonic() + 30
    while set(written(broker)) != set(range(3100)):  # those of before come first, again
        assert time.monotonic() < until, len(set(written(broker)))
        time.sleep(0.05)


def test_rules_outlive_a_kill(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ended with -9"):
        make_and_kill(tmp_path)
    with running_broker(tmp_path, **{"plugins.load": "rules"}) as broker:
        publish(broker, range(1))
        wait_for(broker, 1)
        assert written(broker) == [0]


def make_and_kill(folder: Path) -> None:
    with running_broker(folder, **{"plugins.load": "rules"}) as broker:
        make(broker)
        broker.popen.send_signal(signal.SIGKILL)
        broker.ends()


@pytest.mark.parametrize("name", ["folder", "max_rules"])
def test_keys_count_from_a_reload_on(start_broker: StartBroker, name: str) -> None:
    broker = start_broker(plugins__load="rules")
    value = {"folder": str(broker.conf.parent / "other"), "max_rules": "1"}[name]
    with broker.conf.open("a") as conf:
        conf.write(f"plugins.rules.{name}={value}\n")
    assert broker.reload()["applied"] == [f"plugins.rules.{name}"]
    make(broker)
    if name == "max_rules":
        said = call(broker, "POST", "/api/v4/rules", {"rawsql": 'SELECT * FROM "x"'})
        assert (said.status, "plugins.rules.max_rules" in said.text) == (400, True)
    else:
        publish(broker, range(1))
        wait_for(broker, 1)
        assert (broker.conf.parent / "other" / "rows.json").exists()


IDLE = """
import asyncio, sys
from nanomq_py import Broker, Config
from nanomq_py.plugins.rules.plugin import Rules

async def main():
    async with Broker(Config(url="nmq-tcp://127.0.0.1:0")) as broker:
        plugin = Rules("rules", broker)
        await plugin.start()
        print([name for name in sys.modules if name.partition(".")[0] in ("lark", "sqlite3")])
        print("nanomq_py.plugins.rules.engine" in sys.modules, plugin.counters())
        await plugin.stop()

asyncio.run(main())
"""


def test_without_a_rule_little_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IDLE], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "False {}"]
