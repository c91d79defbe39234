"""Fixtures that tests of one dialect share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Process
from tests.http.v4 import busy_broker, get


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A broker with a few clients: see ``busy_broker``."""
    with busy_broker(tmp_path_factory.mktemp("busy")) as process:
        yield process


@pytest.fixture(scope="module")
def node(busy: Process) -> str:
    """The name of that broker."""
    name: str = get(busy, "/brokers")["data"][0]["node"]
    return name
