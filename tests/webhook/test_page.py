"""docs/webhooks.md: its receiver gets what it says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading

import pytest

from nanomq_py.config.keys.http_client import HOOK_EVENTS
from tests.conftest import ROOT, StartBroker, free_port
from tests.control.test_plugins import get
from tests.eventually import eventually
from tests.raw import PUBACK
from tests.test_commands import blocks

pytestmark = pytest.mark.plain

PAGE = ROOT / "docs" / "webhooks.md"


def test_example_of_the_page_does_what_it_says(start_broker: StartBroker) -> None:
    port = str(free_port())
    (receiver,) = blocks(PAGE, "python")
    (config,) = blocks(PAGE, "ini")
    (call,) = blocks(PAGE, "sh")
    (shown,) = blocks(PAGE, "json")
    lines = [line for line in config.splitlines() if not line.startswith("#")]
    keys = dict(line.replace("8992", port).split("=", 1) for line in lines)
    server = subprocess.Popen(
        [sys.executable, "-c", receiver.replace("8992", port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        process = start_broker(**{name.replace(".", "__"): keys[name] for name in keys})
        printed: list[dict[str, object]] = []
        assert server.stdout is not None
        out = server.stdout
        reader = threading.Thread(
            target=lambda: printed.extend(json.loads(line) for line in out), daemon=True
        )
        reader.start()
        with process.raw() as c:
            c.connect("pump-1")
            c.publish("other", b"not told", qos=1, packet_id=1)
            c.expect(PUBACK)
            c.publish("pumps/1", b"on", qos=1, packet_id=2)
            c.expect(PUBACK)
            c.leave()
        eventually(lambda: '"succeeded":3' in get(process, "/plugins/webhook/targets"))
        eventually(lambda: len(printed) == 3)
        (message,) = [each for each in printed if each["action"] == "message_publish"]
        expected = json.loads(shown)
        assert {**message, "ts": 0} == {**expected, "ts": 0}
        assert list(message) == list(expected)
        assert {each["action"] for each in printed} == {
            *("message_publish", "client_connack", "client_disconnected"),
        }
        path = re.search(r"8081(/\S+)", call)
        assert path is not None
        shown_counts = re.findall(r"^# (.*)$", call, re.M)
        assert shown_counts[0] in get(process, path[1])
    finally:
        server.kill()
        server.wait()
        if server.stdout is not None:
            server.stdout.close()


def test_page_names_each_event() -> None:
    assert set(
        re.findall(r"`((?:client|session|message|bridge)\.[a-z]+)`", PAGE.read_text())
    ) == set(HOOK_EVENTS)


def test_dead_letters_have_pages_while_web_hooks_are_off(start_broker: StartBroker) -> None:
    process = start_broker(plugins__load="webhook")
    assert get(process, "/plugins/webhook/targets") == '200 {"targets":[]}'
