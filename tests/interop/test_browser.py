"""MQTT.js in a browser, over ws and wss: the scripted session that Node.js plays too."""

from __future__ import annotations

import http.server
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.certs import Certs
from tests.conftest import FOREIGN_ENV, StartBroker
from tests.interop.test_scripted import HERE, both, expected

CHROMIUM = shutil.which("chromium")
MQTT_JS = HERE / "js" / "node_modules" / "mqtt" / "dist" / "mqtt.min.js"
PAGE = b"""<!doctype html><title>MQTT</title><script src="/mqtt.js"></script>
<script src="/session.js"></script>"""

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(not MQTT_JS.exists(), reason="no npm registry at set-up"),
    pytest.mark.plain,
]


@contextmanager
def served_page() -> Iterator[tuple[int, queue.Queue[str]]]:
    """Serve the page on a free port; what it posts comes out of the queue."""
    seen: queue.Queue[str] = queue.Queue()
    files = {"/mqtt.js": MQTT_JS, "/session.js": HERE / "js" / "session.js"}

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            file = files.get(self.path)
            if file is not None:
                self._answer("text/javascript", file.read_bytes())
            else:
                self._answer("text/html", PAGE)

        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            seen.put(self.rfile.read(size).decode())
            self._answer("text/plain", b"")

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, seen
        finally:
            server.shutdown()
            thread.join()


def browse(url: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",  # tests may run as root
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--ignore-certificate-errors",  # the test's CA is nobody's
            f"--user-data-dir={folder}",
            "--remote-debugging-port=0",  # it stays until it is ended
            url,
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=FOREIGN_ENV,
    )


@both
@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_mqtt_js_in_a_browser(
    start_broker: StartBroker,
    certs: Certs,
    tmp_path: Path,
    name: str,
    scheme: str,
    version: int,
) -> None:
    broker = start_broker(
        websocket__enable="true",
        websocket__url="nmq-ws://127.0.0.1:0/mqtt",
        websocket__tls_url="nmq-wss://127.0.0.1:0/mqtt",
        tls__certfile=str(certs.server.certfile),
        tls__keyfile=str(certs.server.keyfile),
    )
    port = broker.ports["websocket.tls_url" if scheme == "wss" else "websocket.url"]
    with served_page() as (page_port, seen):
        query = urlencode(
            {"url": f"{scheme}://127.0.0.1:{port}/mqtt", "version": version, "name": name}
        )
        browser = browse(f"http://127.0.0.1:{page_port}/?{query}", tmp_path / "profile")
        try:
            got = seen.get(timeout=60)
        finally:
            browser.terminate()
            browser.wait(30)
    assert got.startswith("{"), got
    assert json.loads(got) == expected(version)
