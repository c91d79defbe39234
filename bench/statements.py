"""``python bench/statements.py``: what one run of a rule's statement costs, in microseconds.

One process, one thread, no broker: the time of ``Statement.run`` for a message of 150 bytes. A
rule of 20,000 messages a second has 50 us for each, of which a statement may take 15.

    python bench/statements.py [--runs 100000]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from nanomq_py.plugins.rules.sql import Statement, parse, template  # noqa: E402

PAYLOAD = (
    b'{"temperature":21.5,"humidity":40,"device":{"id":"d-17","place":"hall"},'
    b'"samples":[1,2,3,4,5,6,7,8],"status":"ok","seq":1234567,"note":"nothing to say"}'
)
COLUMNS = {
    "event": "message.publish",
    "id": "0005E4B7A3C1F2D8",
    "clientid": "device-17",
    "username": None,
    "payload": PAYLOAD,
    "peerhost": "192.0.2.7",
    "topic": "site/1/device/17",
    "qos": 1,
    "flags": {"dup": False, "retain": False},
    "headers": {},
    "pub_props": {},
    "timestamp": 1_653_557_852_982,
    "publish_received_at": 1_653_557_852_982,
    "node": "nanomq",
}
STATEMENTS = {
    "three fields and WHERE": (
        "SELECT payload.temperature AS t, payload.device.id AS id, topic"
        " FROM \"site/#\" WHERE t > 20 AND payload.status = 'ok'"
    ),
    "the same, WHERE is false": (
        "SELECT payload.temperature AS t, payload.device.id AS id, topic"
        " FROM \"site/#\" WHERE payload.status = 'failed'"
    ),
    "columns alone": "SELECT topic, clientid, qos FROM t WHERE qos > 0",
    "all columns": "SELECT * FROM t",
    "functions": (
        "SELECT upper(payload.device.id) AS id, round(payload.temperature * 10) AS t,"
        " format_date('millisecond', 'Z', '%Y-%m-%d', timestamp) AS day FROM t"
        " WHERE regex_match(clientid, '^device-[0-9]+$')"
    ),
    "FOREACH of 8": "FOREACH payload.samples AS s DO s, clientid INCASE s > 2 FROM t",
}


def us_of_a_run(statement: Statement, runs: int) -> float:
    """Return the median of five measurements."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(runs // 5):
            statement.run(COLUMNS)
        times.append((time.perf_counter() - began) / (runs // 5))
    return statistics.median(times) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    runs = parser.parse_args().runs
    for name, sql in STATEMENTS.items():
        print(f"{us_of_a_run(parse(sql), runs):6.2f} us  {name}")
    filled = template("${clientid}: ${payload.temperature}")
    began = time.perf_counter()
    for _ in range(runs):
        filled(COLUMNS)
    print(f"{(time.perf_counter() - began) / runs * 1e6:6.2f} us  a template of two places")


if __name__ == "__main__":
    main()
