"""docs/durability.md: its commands do what they say."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, free_port
from tests.test_commands import Shells, blocks, shells

__all__ = ["shells"]  # a fixture

pytestmark = pytest.mark.plain


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a shell preloads no sanitizer")
def test_commands_of_the_page(tmp_path: Path, shells: Callable[..., Shells]) -> None:
    port = free_port()
    for client in ("mosquitto_pub", "mosquitto_sub"):
        (tmp_path / client).write_text(f"-p {port}\n")
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_CONFIG_HOME": str(tmp_path),  # of the mosquitto clients
        "XDG_RUNTIME_DIR": str(tmp_path),
        "NANOMQ_WEBSOCKET_ENABLE": "false",
        "NANOMQ_HTTP_SERVER_ENABLE": "false",
    }
    shell = shells(tmp_path, **env)
    text = "".join(blocks(ROOT / "docs" / "durability.md", "sh"))
    shell.run(text.replace("1883", str(port)))
    assert not (tmp_path / "kept.pid").exists()  # it has ended
