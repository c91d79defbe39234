"""docs/bridges.md: its commands do what they say, its configurations are good."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nanomq_py.bridges.wanted import wanted_of
from nanomq_py.config import parse
from tests.certs import Certs
from tests.conftest import ROOT, free_port
from tests.test_commands import Shells, blocks, shells

__all__ = ["shells"]  # a fixture

pytestmark = pytest.mark.plain

PAGE = ROOT / "docs" / "bridges.md"


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a shell preloads no sanitizer")
def test_commands_of_the_page(tmp_path: Path, shells: Callable[..., Shells]) -> None:
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    text = "".join(blocks(PAGE, "sh"))
    for port in ("1883", "1884"):
        text = text.replace(port, str(free_port()))
    shells(tmp_path, **env).run(text)
    assert not list(tmp_path.glob("*.pid"))  # both have ended


def test_configurations_for_clouds_are_good(certs: Certs) -> None:
    pages = blocks(PAGE, "ini")
    assert len(pages) == 3
    text = "".join(pages)
    for name, file in (
        ("site-7.pem", certs.server.certfile),
        ("site-7.key", certs.server.keyfile),
        ("AmazonRootCA1.pem", certs.ca.certfile),
        ("emqxsl-ca.crt", certs.ca.certfile),
    ):
        text = text.replace(f"/etc/nanomq/{name}", str(file))
    config = parse(text, str(PAGE))
    assert (config.said.missing, config.said.ignored) == ((), ())
    wanted = wanted_of(config)
    assert list(wanted) == ["aws", "azure", "emqx"]
    assert all(each.places[0].tls is not None for each in wanted.values())
