"""Both forms of the configuration file under Hypothesis: short in the suite, long here.

    python -m tests.fuzz.conf [--seconds S] [--kept PREFIX] [FILE or FOLDER ...]

Promise: any bytes give a Config, or a ConfigError whose faults are lines that can be shown,
in bounded time; and what was read can be written and read again.

The files are read first. The shortest text that breaks the promise is written to
``PREFIXcrash``: give it as FILE to see it.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.declare.walk import Place, all_keys
from nanomq_py.config.reader import from_texts, read
from nanomq_py.config.settings import settings_of

SLOWEST_S = 2.0  # of this thread, for a file of a few lines
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
SET = st.tuples(st.sampled_from(NAMES), st.just("="), VALUE).map("".join)
LINE = SET | st.tuples(NAME, st.sampled_from(["=", " = ", " { ", ": "]), VALUE).map("".join)
FLAT = st.lists(LINE, max_size=8).map("\n".join)
FILES = (
    FLAT
    | FLAT.map(lambda text: f"mqtt {{}}\n{text}")
    | FLAT.map(lambda text: f"mqtt {{\n{text}\n}}")
    | st.binary(max_size=200).map(lambda data: data.decode("latin-1"))
)


def keep_promise(text: str) -> None:
    """Raise AssertionError where reading the text breaks the promise."""
    began = time.thread_time()
    try:
        config = read(text, "x.conf").config
    except ConfigError as fault:
        assert fault.args, text
        assert all(str(one).encode() for one in fault.args), text
        assert "x.conf" in str(fault), (text, str(fault))
        return
    finally:
        assert time.thread_time() - began < SLOWEST_S, text
    texts = {name: setting.text for name, setting in settings_of(config).items()}
    again = settings_of(from_texts(texts, "y"))
    assert {name: setting.text for name, setting in again.items()} == texts, text


class Run:
    """One run: how many texts were read, and which one was the last."""

    def __init__(self) -> None:
        self.texts = 0
        self.last = ""

    def keep_promise(self, text: str) -> None:
        self.texts += 1
        self.last = text
        keep_promise(text)

    def search(self, seconds: float) -> None:
        """Look for a text that breaks the promise; the shortest one is the last."""
        end = time.monotonic() + seconds

        @settings(
            max_examples=500, deadline=None, database=None, report_multiple_bugs=False,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(FILES)
        def try_some(text: str) -> None:
            self.keep_promise(text)

        while time.monotonic() < end:
            try_some()


def _texts(places: list[Path]) -> Iterator[str]:
    for place in places:
        for file in sorted(place.iterdir()) if place.is_dir() else [place]:
            yield file.read_bytes().decode("utf-8", "replace")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Fuzz the configuration file.")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--kept", default="conf-", help="how the name of a file begins")
    parser.add_argument("places", nargs="*", type=Path)
    args = parser.parse_args(arguments)
    run = Run()
    try:
        for text in _texts(args.places):
            run.keep_promise(text)
        run.search(args.seconds)
    except Exception:
        traceback.print_exc()
        Path(f"{args.kept}crash").write_bytes(run.last.encode())
        return 1
    finally:
        print(f"runs: {run.texts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
