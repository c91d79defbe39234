"""Both forms of the configuration file under Hypothesis: short in the suite, long here.

    python -m tests.fuzz.conf --seconds S

Promise: any bytes give a Config, or a ConfigError whose faults are lines that can be shown,
in bounded time; and what was read can be written and read again.
"""

from __future__ import annotations

import argparse
import time

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.declare.walk import Place, all_keys
from nanomq_py.config.reader import from_texts, read
from nanomq_py.config.settings import settings_of

SLOWEST_S = 2.0  # for a file of a few lines, on a busy machine
INDEXES = {"EVENT.N": "client.connack.1", "NAME": "a", "N": "1"}


def _spelled(place: Place) -> str:
    """Return a name of the file, with one index of each family."""
    return ".".join(s if isinstance(s, str) else INDEXES[s.shown] for s in place.steps)


NAMES = sorted({_spelled(place) for place, _ in all_keys(Config)})
NESTED = ["mqtt", "system", "listeners.tcp", "listeners.ssl.b", "auth.password", "auth.acl",
          "rules", "bridges.mqtt.q", "subscription", "webhook", "events", "auth.http_auth",
          "include", "auth_http", "authorization.sources", "nodes"]  # fmt: skip
VALUES = ["1", "true", "off", "", "a,b", "nmq-tcp://h:1", "http://u:p@h",
          '{"permit":"deny"}',
          '{"permit":"allow","topics":["a#"]}', '{"action":"x"}', "[", "{", "}", "]",
          '"', '"""',
          "10MB", "5s", "h:1", "\\u0001", "${x}", "[{topic = x, qos = 1}]"]  # fmt: skip
ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = st.sampled_from([*NAMES, *NESTED]) | ANY
VALUE = st.sampled_from(VALUES) | ANY
LINE = st.builds(
    "".join, st.tuples(NAME, st.sampled_from(["=", " = ", " { ", ": "]), VALUE)
)
FLAT = st.lists(LINE, max_size=8).map("\n".join)
FILES = (
    FLAT
    | FLAT.map(lambda text: f"mqtt {{}}\n{text}")
    | FLAT.map(lambda text: f"mqtt {{\n{text}\n}}")
    | st.binary(max_size=200).map(lambda data: data.decode("latin-1"))
)


def keep_promise(text: str) -> None:
    """Raise AssertionError where reading the text breaks the promise."""
    began = time.monotonic()
    try:
        config = read(text, "x.conf").config
    except ConfigError as fault:
        assert fault.args, text
        assert all(str(one).encode() for one in fault.args), text
        assert "x.conf" in str(fault), (text, str(fault))
        return
    finally:
        assert time.monotonic() - began < SLOWEST_S, text
    texts = {name: setting.text for name, setting in settings_of(config).items()}
    again = settings_of(from_texts(texts, "y"))
    assert {name: setting.text for name, setting in again.items()} == texts, text


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the configuration file.")
    parser.add_argument("--seconds", type=int, default=20)
    end = time.monotonic() + parser.parse_args().seconds
    runs = 0
    phases = (Phase.generate, Phase.shrink)

    @settings(
        max_examples=500, deadline=None, database=None, phases=phases,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(FILES)
    def run(text: str) -> None:
        nonlocal runs
        runs += 1
        keep_promise(text)

    while time.monotonic() < end:
        run()
    print(f"conf: kept, {runs} runs")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
