"""Messages to web hooks through a broker that restarts and is killed, to a bad receiver.

::

    python -m tests.webhook.flood [--messages 500000] [--restarts 2] [--kills 2]

The receiver fails, hangs, resets, closes half and comes back. What it took is compared with
what the broker has acknowledged to the publishers: all of it has to come, in the order of
each topic. A restart does not double anything to speak of; a kill doubles what was under way.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.answering import status
from tests.conftest import free_port
from tests.control.test_restart import restart
from tests.delivery.receiving import OK, Came, Receiver
from tests.lives import Lives
from tests.raw import PUBACK, Closed, Raw, publish

TOPICS = 100
PUBLISHERS = 4
IN_FLIGHT = 200  # of a publisher
PAYLOAD = "x" * 100
LOST_S = 60  # what does not come for so long does not come
TWICE = 20_000  # of a kill, at most: sent and not forgotten, or not acknowledged
# The queue of the hook is full before long, and messages wait in the broker then.
BACKLOG = {"web__hook__max_waiting": "200"}
CONSTANTS = {
    "nanomq_py.plugins.webhook.plugin.FIRST_WAIT_S": 0.05,
    "nanomq_py.plugins.webhook.plugin.MOST_WAIT_S": 0.5,
}


@dataclass
class Tally:
    """What the receiver has taken: each message by topic and number."""

    last: dict[str, int] = field(default_factory=dict)
    count: Counter[tuple[str, int]] = field(default_factory=Counter)
    out_of_order: int = 0

    def take(self, topic: str, number: int) -> None:
        self.count[topic, number] += 1
        if self.count[topic, number] == 1:
            self.out_of_order += number < self.last.get(topic, -1)
            self.last[topic] = max(number, self.last.get(topic, -1))

    @property
    def twice(self) -> int:
        return sum(count > 1 for count in self.count.values())


@dataclass
class Mood:
    """How the receiver answers now."""

    name: str = "good"
    moods: tuple[str, ...] = ("good",)
    tally: Tally = field(default_factory=Tally)

    async def says(self, came: Came) -> bytes | None:
        is_bad = random.random() < 0.3
        if self.name == "hangs" and is_bad:
            await asyncio.sleep(3600)
        if self.name == "fails" and is_bad:
            return status(500)
        if self.name == "resets" and is_bad:
            return None
        if self.name == "halves" and is_bad:
            return b"HTTP/1.1 204 No Content\r\nX-"
        if self.name == "busy" and is_bad:
            return status(429, b"", "Retry-After: 0")
        fields = json.loads(came.body)
        self.tally.take(fields["topic"], int(fields["payload"].partition(" ")[0]))
        return OK


class InThread:
    """The receiver, in a loop of its own; it goes away and comes back, too."""

    def __init__(self, mood: Mood) -> None:
        self.mood = mood
        self.loop = asyncio.new_event_loop()
        self.receiver = Receiver(mood.says)
        self.receiver.keeps = False
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.call(self.receiver.open)

    def call(self, act: Callable[[], object]) -> None:
        asyncio.run_coroutine_threadsafe(act(), self.loop).result(60)  # type: ignore[arg-type]

    def end(self) -> None:
        self.call(self.receiver.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


class Publisher(threading.Thread):
    """Publishes its share at QoS 1, whatever happens to its connection."""

    def __init__(self, port: int, index: int, count: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._index = index
        self._count = count
        self.acked = 0
        self.fault: Exception | None = None

    def run(self) -> None:
        done = 0
        try:
            while done < self._count:
                try:
                    with Raw(self._port, 4) as c:
                        c.connect(f"publisher-{self._index}")
                        done = self._publish(c, done)
                except (OSError, Closed, AssertionError):
                    time.sleep(0.1)  # the broker restarts
                self.acked = done
        except Exception as fault:
            self.fault = fault

    def _publish(self, c: Raw, done: int) -> int:
        """Publish from there on; return up to where all is acknowledged."""
        sent = done
        try:
            while done < self._count:
                burst = b""
                while sent < min(done + IN_FLIGHT, self._count):
                    topic = f"t/{self._index}/{sent % (TOPICS // PUBLISHERS)}"
                    text = f"{sent} {PAYLOAD}".encode()
                    burst += publish(topic, text, 4, qos=1, packet_id=sent % 60000 + 1)
                    sent += 1
                if burst:
                    c.send(burst)
                c.expect(PUBACK)
                done += 1
                self.acked = done
        except (OSError, Closed, AssertionError):
            pass
        return done


def flood(
    lives: Lives,
    receiver: InThread,
    messages: int,
    restarts: int = 0,
    kills: int = 0,
    *,
    seed: int = 0,
    moods: tuple[str, ...] = ("good", "fails", "hangs", "resets", "halves", "busy", "gone"),
    each_s: float = 3.0,
) -> list[int]:
    """Publish all of them until they have come, or until no more comes.

    Return the broker's resident KiB, from time to time.

    kills  moments within the flood at which it dies, by kill -9
    """
    share = messages // PUBLISHERS
    port = lives.process.port
    publishers = [Publisher(port, n, share) for n in range(PUBLISHERS)]
    for publisher in publishers:
        publisher.start()
    resident: list[int] = []
    moments = random.Random(seed)
    ends = [(messages * n // (restarts + 1), False) for n in range(1, restarts + 1)]
    ends += [(moments.randrange(1, messages * 19 // 20), True) for _ in range(kills)]
    ends.sort()
    turn = 0
    changes_at = time.monotonic()
    tally = receiver.mood.tally
    came_at = time.monotonic(), 0
    while len(tally.count) < share * PUBLISHERS:
        faults = [publisher.fault for publisher in publishers if publisher.fault]
        assert not faults, faults
        if time.monotonic() >= changes_at:
            _change(receiver, moods[turn % len(moods)])
            turn += 1
            changes_at = time.monotonic() + each_s
        if ends and len(tally.count) >= ends[0][0]:
            _, is_kill = ends.pop(0)
            _kill(lives, moments) if is_kill else restart(lives.process)
        resident.append(resident_kib(lives.process.pid))
        time.sleep(0.2)
        if came_at[1] != len(tally.count):
            came_at = time.monotonic(), len(tally.count)
        elif time.monotonic() > came_at[0] + LOST_S:
            break
    for publisher in publishers:
        publisher.join(60)
    return resident


def _kill(lives: Lives, moments: random.Random) -> None:
    time.sleep(moments.uniform(0, 0.2))
    lives.kill()


def _change(receiver: InThread, mood: str) -> None:
    is_open = receiver.receiver.server is not None
    if mood == "gone" and is_open:
        receiver.call(receiver.receiver.close)
    elif mood != "gone" and not is_open:
        receiver.call(receiver.receiver.open)
    receiver.mood.name = mood


def resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def keys(url: str) -> dict[str, str]:
    """Return the configuration of a broker with web hooks."""
    return {
        "url": f"nmq-tcp://127.0.0.1:{free_port()}",
        "http_server__port": str(free_port()),
        "web__hook__enable": "true",
        "web__hook__url": url,
        "web__hook__timeout": "1s",
        "web__hook__max_attempts": "1000",
        "web__hook__rule__message__publish__1": '{"action":"on_message_publish"}',
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=500_000)
    parser.add_argument("--restarts", type=int, default=2)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--durability", default="always")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    receiver = InThread(Mood())
    made = {**keys(receiver.receiver.url), **BACKLOG, "durability": given.durability}
    with (
        tempfile.TemporaryDirectory() as folder,
        Lives(Path(folder), CONSTANTS, **made) as lives,
    ):
        began = time.monotonic()
        resident = flood(
            lives, receiver, given.messages, given.restarts, given.kills, seed=given.seed
        )
        took = time.monotonic() - began
    receiver.end()
    tally = receiver.mood.tally
    lost = given.messages // PUBLISHERS * PUBLISHERS - len(tally.count)
    print(
        f"{len(tally.count)} messages in {took:.0f} s, {len(tally.count) / took:.0f} a second;"
        f" {lost} lost, {tally.twice} twice, {tally.out_of_order} out of order;"
        f" {given.restarts} restarts, {given.kills} kills;"
        f" resident at most {max(resident) / 1024:.0f} MiB"
    )
    most_twice = given.messages / 1000 + given.kills * TWICE
    return int(lost > 0 or tally.twice > most_twice or tally.out_of_order > 0)


if __name__ == "__main__":
    sys.exit(main())
