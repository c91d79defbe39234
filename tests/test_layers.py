"""Includes point down: base <- {io, mqtt <- store <- route} <- net <- serve <- broker."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parent.parent / "csrc"
LAYERS = ["base", "mqtt", "io", "store", "route", "net", "serve"]
PACKAGE = CSRC.parent / "nanomq_py"


@pytest.mark.parametrize("source", sorted(CSRC.glob("*/*.[ch]")), ids=lambda p: p.name)
def test_c_includes_point_down(source: Path) -> None:
    layer = LAYERS.index(source.parent.name)
    for folder in re.findall(r'#include "(\w+)/', source.read_text()):
        assert LAYERS.index(folder) <= layer, f"{source.name} reaches up into {folder}/"


def test_only_the_top_knows_the_broker() -> None:
    for source in CSRC.glob("*/*.[ch]"):
        assert '"broker.h"' not in source.read_text(), source.name


WALL_CLOCK = {"registry.c", "bytes.c"}  # times that people read; a seed


def test_waits_go_by_the_monotonic_clock() -> None:
    for source in CSRC.rglob("*.[ch]"):
        text = source.read_text()
        assert "CLOCK_REALTIME" not in text or source.name in WALL_CLOCK, source.name
        if "pthread_cond_timedwait" in text:
            assert "nmq_clock_cond_init" in text, source.name
        if source.name != "clock.c":
            assert "pthread_condattr" not in text, source.name
    for module in PACKAGE.rglob("*.py"):
        assert not re.search(r"\btime\.time\(|\bdatetime\.now\(\)", module.read_text()), (
            module.name
        )


NNG = {"nng", "stream_nng", "acceptor_socket", "acceptor_tls", "tls_guard", "tls_library"}


def test_nng_is_known_to_streams_and_acceptors_only() -> None:
    for source in CSRC.rglob("*.[ch]"):
        if source.stem not in NNG:
            assert not re.search(r"\bnng(_\w+\(|\.\w)|io/nng", source.read_text()), (
                source.name
            )


ORDER = [
    "config",
    "core",
    "listen",
    "auth",
    "metrics",
    "taps",
    "broker",
    "kernel",
    "run",
    "http",
    "verify",
    "server",
    "cli",
]


def test_python_imports_point_down() -> None:
    for source in PACKAGE.rglob("*.py"):
        part = source.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part not in ORDER:
            continue
        top = [
            line
            for line in source.read_text().splitlines()
            if line.startswith(("from nanomq_py.", "import nanomq_py."))
        ]
        for line in top:
            found = re.search(r"nanomq_py\.(\w+)", line)
            if found and found[1] in ORDER:
                assert ORDER.index(found[1]) <= ORDER.index(part), f"{source.name}: {line}"
