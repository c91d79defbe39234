"""The documentation names what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from nanomq_py.auth import answers, enhanced, logins, scram, throttle
from nanomq_py.auth.refusals import refuse_unsupported
from nanomq_py.config import Config, parse
from nanomq_py.config.declare.key import Applies, keys_of
from nanomq_py.config.keys.config import SECTIONS
from nanomq_py.config.keys.http_server import DEFAULT_HTTP_PASSWORD
from nanomq_py.config.keys.listeners import Listener
from nanomq_py.config.values.numbers import Duration, Size, Thousandths, Whole
from nanomq_py.core.declared import METRICS
from nanomq_py.core.declared_events import KINDS, Event, Why
from nanomq_py.core.options import QUEUE, WINDOW
from nanomq_py.http import connection, door, guard, request
from nanomq_py.http.v1.api import HANDLERS
from nanomq_py.listen.places import places_of
from nanomq_py.run import log_lines
from tests.conftest import FOREIGN_ENV, ROOT, free_port, running_broker
from tests.test_commands import blocks
from tests.unit.test_config import every_key

pytestmark = pytest.mark.plain

CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()


@pytest.mark.parametrize("key", every_key())
def test_every_key_is_documented(key: str) -> None:
    assert f"| `{key}` |" in CONFIGURATION


@pytest.mark.parametrize("req", HANDLERS)
def test_every_request_code_is_documented(req: int) -> None:
    assert f"\n| {req} | " in (ROOT / "docs" / "api" / "http.md").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_event_is_documented_with_its_fields(kind: type[Event]) -> None:
    page = (ROOT / "docs" / "api" / "python.md").read_text()
    (row,) = re.findall(rf"^\| `{kind.__name__}` \| (.+) \|$", page, re.MULTILINE)
    for field in fields(kind)[1:]:
        assert f"`{field.name}`" in row


@pytest.mark.parametrize("why", Why)
def test_every_reason_of_an_event_is_documented(why: Why) -> None:
    page = (ROOT / "docs" / "api" / "python.md").read_text()
    assert f"`{why.name}`" in page or f"`Why.{why.name}`" in page


def programs(page: str) -> list[str]:
    """Return the programs on a page that say what they print."""
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if "\n# " in block]


@pytest.mark.parametrize(
    "program",
    [
        program
        for page in ("api/python.md", "store.md")
        for program in programs((ROOT / "docs" / page).read_text())
    ],
)
def test_a_program_prints_what_the_page_says(program: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        check=True,
    )
    told = "".join(line[2:] + "\n" for line in program.splitlines() if line[:2] == "# ")
    assert done.stdout == told


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and GitLab make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def test_links_between_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for link in re.findall(r"\]\((?!http)([^)]+)\)", page.read_text()):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


# --- limits: docs/security.md, docs/sys-topics.md

SECURITY = (ROOT / "docs" / "security.md").read_text()
NO_LIMITS = {
    "durability.slow_flush",
    "qos_duration",
    "sys_interval",
    "http_server.port",
    "auth.jwt.jwks.refresh",
    "auth.jwt.leeway",
}


def limits() -> Iterator[tuple[str, str]]:
    """Yield the keys whose numbers can change at once, with their defaults as written."""
    sections = [
        ("", Config),
        *((p, type(getattr(Config(), n))) for n, p in SECTIONS.items()),
    ]
    for prefix, section in [*sections, ("listener.NAME.", Listener)]:
        for declared, key in keys_of(section):
            is_number = isinstance(key.kind, Whole | Size | Duration | Thousandths)
            if is_number and key.applies is Applies.HOT:
                yield prefix + key.name, key.kind.render(declared.default)


@pytest.mark.parametrize(("key", "default"), list(limits()))
def test_every_limit_is_explained_with_its_default(key: str, default: str) -> None:
    if key not in NO_LIMITS:
        assert f"| `{key}` | `{default}`" in SECURITY


def test_queue_and_window_are_explained() -> None:
    cell = f"| `msq_len` | unset: {WINDOW:,} messages in flight, {QUEUE:,} that wait |"
    assert cell in SECURITY


LIMITS = [m.name for m in METRICS if f"limits/{m.name}" in m.topics]


@pytest.mark.parametrize("name", LIMITS)
def test_every_counter_of_a_limit_is_explained(name: str) -> None:
    assert f"`{name}`" in SECURITY


def c_constant(name: str) -> int:
    """Return the value of an enum constant of the core."""
    for source in (ROOT / "csrc").glob("*/*.[ch]"):
        if found := re.search(rf"\b{name} = (\d+)(?: << (\d+))?[, ]", source.read_text()):
            return int(found[1]) << int(found[2] or 0)
    raise AssertionError(f"{name}: not in csrc/")


FIXED = [
    (c_constant("NMQ_ACCEPT_KEEP"), "leave {} descriptors to the process"),
    (door.KEEP_DESCRIPTORS, "the HTTP API leaves {} of them"),
    (c_constant("NMQ_ACCEPT_PAUSE_MS"), "looks again after {} ms"),
    (door.PAUSE_S, "the API after {} s"),
    (c_constant("IN_CAP_STRANGER") >> 10, "reads are of up to {} KiB"),
    (c_constant("IN_GRANT") >> 20, "gets up to {} MiB of buffer"),
    (c_constant("WILL_MAX_BYTES") >> 10, "{} KiB besides `max_connect_size`"),
    (c_constant("WILL_MAX_BYTES") >> 10, "more than this and {} KiB for a will"),
    (c_constant("NMQ_WS_UPGRADE_BYTES") >> 10, "| {} KiB: 431 |"),
    (c_constant("LINE_BYTES"), "{} bytes in version 1"),
    (c_constant("BODY_BYTES"), "{} bytes behind the head in version 2"),
    (c_constant("NMQ_ACCEPT_IDLE_S"), "asked after {} s"),
    (c_constant("NMQ_ACCEPT_ASKS"), "s, {} times"),
    (c_constant("NMQ_ACCEPT_ASK_S"), "times, {} s apart"),
    (c_constant("DATA_MAX") >> 10, "| Authentication Data | {} KiB in"),
    (scram.MOST_NAME_BYTES, "| the user name of SCRAM | {} bytes"),
    (enhanced.MOST_UNDER_WAY, "| {}: one more takes the place of the oldest"),
    (logins.MOST_WAITING, "| logins that wait for a member of the chain | {}, and"),
    (logins.MOST_WAITING_ALIKE, "the chain | 10,000, and {} of one address"),
    (answers.MOST_WAITING, "| {}, and"),
    (answers.MOST_WAITING_ALIKE, ", and {} of one user at one address"),
    (connection.HEAD_BYTES >> 10, "| a header | {} KiB"),
    (connection.HEAD_LINES, "KiB, {} lines"),
    (connection.HEAD_S, "lines, {} s from the connection"),
    (request.MAX_BODY_BYTES >> 20, "| a body | {} MiB"),
    (request.SKIP_BYTES >> 10, "of who does not log in {} KiB are read"),
    (door.LINE, "| who waits for a place | {} connections"),
    (door.LINE_OF_ADDRESS, "connections, of one address {}, for"),
    (door.LINE_S, "for {} s |"),
    (door.HANDSHAKE_S, "| a TLS handshake | {} s"),
    (door.BETWEEN_HANDSHAKES_S * 1000, "one begins every {} ms"),
    (connection.BODY_S, "MiB, {} s;"),
    (connection.LEAST_PROGRESS >> 10, "each {} KiB of it is taken within"),
    (connection.WRITE_S, "is taken within {} s"),
    (connection.PIECE, "| parsing | {} bytes of a header"),
    (log_lines.REPEAT_S, "| one of a kind in {} s"),
    (throttle.FIRST_WAIT_S, "before they are answered: {} s"),
    (throttle.MOST_WAIT_S, "twice as long each time, {} s at"),
    (throttle.FREE_OTHERS, "an address where {} users have failed"),
    (throttle.FREE_OTHERS, "who has failed at {} addresses"),
    (throttle.MOST_KEYS, "every wait. {} of each kind"),
    (guard.MOST_WAITING, "at most {} requests of an address wait"),
    (c_constant("SHORT_WINDOW"), "up to {} messages in flight"),
    (100 // c_constant("OUT_PART"), "| out | {} % over it"),
    (c_constant("CUT_LEAST_BYTES") >> 10, "by its own doing, {} KiB or more"),
    (c_constant("STRANGERS_MAX"), "At most {} connections may be without"),
    (100 // c_constant("RESIDENT_OVER_PART"), "measured at {} % over"),
    (c_constant("SHORT_LOW_PART"), "fine again a {}th below"),
    (c_constant("NMQ_LANE_WORK"), "| {} nodes or subscriptions, about"),
    (c_constant("NMQ_BATCH_WORK"), "| {} nodes or subscriptions, or"),
    (c_constant("OUT_BYTES") >> 20, "or {} MiB written to subscribers"),
    (c_constant("BIG_FAN"), "more than {} subscriptions"),
    (c_constant("FAN_PART"), "in parts of {}"),
    (c_constant("STEP_MESSAGES"), "; {} messages or"),
    (c_constant("STEP_VISITS"), "messages or {} nodes"),
    (c_constant("PUMP_VISITS"), "{} nodes before others"),
    (c_constant("FORGET_PART"), "| {} subscriptions at a time"),
    (c_constant("SUBSCRIPTIONS_AT_ONCE"), "| {} subscriptions, "),
    (c_constant("MESSAGES_AT_ONCE"), "subscriptions, {} messages at a time"),
    (c_constant("QUEUE_SOFT_COUNT"), "or {} messages (all that"),
]


@pytest.mark.parametrize(("value", "text"), FIXED)
def test_limits_without_a_key_are_as_in_the_code(value: float, text: str) -> None:
    assert text.format(f"{value:,g}") in " ".join(SECURITY.split())


def run_block(block: str, folder: Path, http: int) -> None:
    """Run one beside a broker on other ports; what ``#`` begins is an answer."""
    for port, other in {"8081": http, "8082": free_port()}.items():
        block = re.sub(rf'(localhost:|"port":){port}\b', rf"\g<1>{other}", block)
    path = f"{folder}:{FOREIGN_ENV['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", block.replace("curl ", "curl -s --fail ")],
        cwd=folder, capture_output=True, text=True, timeout=60,
        env={**FOREIGN_ENV, "PATH": path, "XDG_RUNTIME_DIR": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, (block, done.stdout, done.stderr)
    for answer in re.findall(r"^# (.*)", block, re.MULTILINE):
        assert answer in done.stdout, block
    assert done.stdout.count('"code":') == block.count("curl ")


RUN_HERE = {"api/accounts.md", "api/http.md", "security.md"}
BLOCKS = [(p, b) for p in sorted(RUN_HERE) for b in blocks(ROOT / "docs" / p, "sh")]


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a shell preloads no sanitizer")
@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_shell_blocks_can_be_run(page: str, block: str, tmp_path: Path) -> None:
    for name, module in (("nanomq", "-m nanomq_py"), ("python3", "")):
        (tmp_path / name).write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
        (tmp_path / name).chmod(0o755)
    given = {"http_server__port": str(free_port()), "http_server__host": "127.0.0.1"}
    with running_broker(tmp_path, **given) as process:
        run_block(block, tmp_path, process.http_port)


def test_pages_whose_blocks_are_run_have_some() -> None:
    assert {page for page, _ in BLOCKS} == RUN_HERE


def test_advised_configuration_is_one() -> None:
    advice = SECURITY[SECURITY.index("## Advice") :]
    text = advice.split("```\n")[1]
    config = parse(text, "nanomq.conf")
    refuse_unsupported(config)
    assert not config.allow_anonymous
    assert config.http_server.password != DEFAULT_HTTP_PASSWORD
    assert all(place.has_tls or "127.0.0.1" in place.url for place in places_of(config))
