"""docs/iot.md from its first line on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, free_port
from tests.test_commands import APT_GET, Shells, blocks, tree_at
from tests.test_commands import shells as shells

pytestmark = pytest.mark.plain

PAGE = ROOT / "docs" / "iot.md"
# Another test builds what README's first block does: here its targets are looked up, and what
# is built is used.
MAKE = f"""#!/bin/sh
/usr/bin/make -n "$@" >/dev/null && ln -s {Path(sys.prefix)} .venv
"""


@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a shell preloads no sanitizer")
def test_commands_of_the_page(tmp_path: Path, shells: Callable[..., Shells]) -> None:
    source = tree_at(tmp_path / "repository")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *command], cwd=source, check=True)
    port, http_port = free_port(), free_port()
    stubs = tmp_path / "bin"
    stubs.mkdir()
    for name, text in (("apt-get", APT_GET), ("make", MAKE)):
        (stubs / name).write_text(text)
        (stubs / name).chmod(0o755)
    env = {
        "URL": str(source),
        "PATH": f"{stubs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "NANOMQ_URL": f"nmq-tcp://127.0.0.1:{port}",
        "NANOMQ_WEBSOCKET_ENABLE": "false",
        "NANOMQ_HTTP_SERVER_PORT": str(http_port),
        "NANOMQ_LOG_LEVEL": "info",
    }
    install, start, device, command, refused = blocks(PAGE, "sh")
    shells(tmp_path, **env).run(install, 120)
    folder = tmp_path / "nanomq-py"
    broker = shells(folder, **env)
    broker.expect(broker.start(start), "serving:", 60)
    one = shells(folder, **env)
    device = device.replace("device.py", f"device.py --port {port}")
    one.expect(one.start(device), "8CFCA0107D1B is there", 60)
    caller = shells(folder, **env)
    caller.run((command + refused).replace("8081", str(http_port)), 60)
    one.end()
    broker.end()
