"""``/api-docs`` in a browser: it shows the document, under its own Content-Security-Policy."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import FOREIGN_ENV, StartBroker
from tests.http.endpoints import ALL

CHROMIUM = shutil.which("chromium")
AUTH = "Basic " + base64.b64encode(b"admin:public").decode()

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.plain,
]


@contextmanager
def logged_in(port: int) -> Iterator[tuple[int, list[str]]]:
    """Pass requests on to the broker with a login, for which a browser would ask."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            url = f"http://127.0.0.1:{port}{self.path}"
            request = urllib.request.Request(url, headers={"Authorization": AUTH})
            try:
                got = urllib.request.urlopen(request, timeout=20)
            except urllib.error.HTTPError as fault:
                got = fault
            with got:
                body = got.read()
                self.send_response(got.status)
                for name in ("Content-Type", "Content-Security-Policy"):
                    if name in got.headers:
                        self.send_header(name, got.headers[name])
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            thread.join()


def shown(url: str, folder: Path) -> str:
    """Return what a page consists of when it has run for a while, of its own time."""
    done = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",  # tests may run as root
            "--disable-gpu",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={folder}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            url,
        ],
        capture_output=True,
        text=True,
        timeout=90,
        env=FOREIGN_ENV,
        check=True,
    )
    return done.stdout


def test_page_lists_every_operation(start_broker: StartBroker, tmp_path: Path) -> None:
    broker = start_broker()
    with logged_in(broker.http_port) as (port, asked):
        page = shown(f"http://127.0.0.1:{port}/api-docs", tmp_path / "profile")
    assert "/api/openapi.json" in asked
    listed = re.findall(r'<span class="method">(\w+)</span><code>(.+?)</code>', page)
    paths = [(e.endpoint.method, e.prefix + e.path.replace("...}", "}")) for e in ALL]
    paths.append(("POST", "/api/v1"))
    assert sorted(listed) == sorted((method, path.rstrip("/")) for method, path in paths)
