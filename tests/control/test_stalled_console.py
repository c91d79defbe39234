"""Whoever reads the log on stderr stalls: the broker goes on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, Process, conf_text
from tests.raw import Raw

pytestmark = pytest.mark.plain


def test_broker_serves_and_stops_while_nobody_reads_its_log(tmp_path: Path) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.write_text(conf_text())
    broker = subprocess.Popen(
        [sys.executable, "-m", "nanomq_py", "start", "--conf", str(conf)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert broker.stderr is not None
    try:
        line = ""
        while "serving:" not in line:
            line = broker.stderr.readline()
            assert line, "it has ended"
        ports = {key: int(port) for key, port in re.findall(r"(\S+) on port (\d+)", line)}
        process = Process(broker, ports["url"], ports["http_server"], conf, [], ports)
        for number in range(700):  # more lines than a pipe holds
            with Raw(process.port, 4) as c:
                c.connect(f"{number:0100}")
        time.sleep(0.5)
        assert process.api(req=2).status == 200
        began = time.monotonic()
        broker.terminate()
        assert broker.wait(30) == 0
        assert time.monotonic() - began < 20
    finally:
        broker.kill()
        broker.wait(10)
        broker.stderr.close()
