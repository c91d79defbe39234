"""A broker with plugins: they come and go while it runs, and none of them stops it."""

from __future__ import annotations

import base64
import http.client
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.conftest import Process, running_broker
from tests.plugged import GOOD, KEYED, install
from tests.raw import PUBLISH

pytestmark = pytest.mark.plain

QUICK = {
    "nanomq_py.plugins.held.WITHIN_S": 0.3,
    "nanomq_py.plugins.held.STOP_WITHIN_S": 0.3,
}
Start = Callable[..., AbstractContextManager[Process]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a broker that finds the plugins of ``tmp_path``."""

    @contextmanager
    def started(**given: str) -> Iterator[Process]:
        environ = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        with running_broker(tmp_path, environ, constants=QUICK, **given) as process:
            yield process

    return started


def get(
    process: Process,
    path: str,
    auth: str = "admin:public",
    body: bytes = b"",
    more: Mapping[str, str] | None = None,
) -> str:
    """Return status and text of what the path answers. more: headers."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{process.http_port}{path}",
        body or None,
        {
            "Authorization": "Basic " + base64.b64encode(auth.encode()).decode(),
            **(more or {}),
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return f"{answer.status} {answer.read().decode()}"
    except urllib.error.HTTPError as fault:
        with fault:
            return f"{fault.code} {fault.read().decode()}"


def number(process: Process) -> str:
    return get(process, "/plugins/good/number").partition(" for ")[0]


# --- they come and go


def test_reload_loads_and_unloads(start: Start, tmp_path: Path) -> None:
    install(tmp_path, "good", GOOD)
    with start() as process:
        assert number(process).startswith("404")
        assert process.reload(plugins__load="good")["applied"] == ["plugins.load"]
        process.waits_for("good 1 starts")
        got = get(process, "/plugins/good/number")
        assert got.startswith("200 1 for admin from 127.0.0.1:")
        assert process.reload()["applied"] == []
        assert process.reload(plugins__load=None)["applied"] == ["plugins.load"]
        process.waits_for("good 1 stops")
        assert number(process).startswith("404")
        assert sum("good 1 starts" in line for line in process.lines) == 1
    assert sum("good 1 stops" in line for line in process.lines) == 1


def test_request_12_loads_changes_keys_and_unloads(start: Start, tmp_path: Path) -> None:
    install(tmp_path, "keyed", KEYED)
    with start() as process:
        got = process.api(req=12, data={"plugins": {"load": ["keyed"]}})
        assert (got.status, got.json["data"]["saved"]) == (200, True)
        process.waits_for("keyed: rate 5")
        got = process.api(req=12, data={"plugins.keyed": {"rate": 3, "word": "not-told"}})
        assert got.status == 200, got
        process.waits_for("keyed: rate 3")
        shown = process.api(req=11).json["data"]
        assert shown["plugins"] == {"load": ["keyed"]}
        assert shown["plugins.keyed"] == {"rate": 3, "word": "not-told"}
        assert "plugins.keyed.rate=3\n" in process.conf.read_text()

        got = process.api(req=12, data={"plugins.keyed": {"rate": 9}})
        assert got.status == 400
        assert "9 is more than this plugin can do" in got.json["message"]
        got = process.api(req=12, data={"plugins": {"load": ["keyed", "none"]}})
        assert got.status == 400
        assert (
            "which are devices, keyed, rules, webhook; not installed: none"
            in got.json["message"]
        )
        assert process.api(req=11).json["data"] == shown

        assert process.api(req=12, data={"plugins": {"load": []}}).status == 200
        process.waits_for("keys of plugins that are not loaded: plugins.keyed.rate")
        assert "plugins.keyed" not in process.api(req=11).json["data"]
        assert "plugins.keyed.rate=3\n" in process.conf.read_text()
        assert not any("not-told" in line for line in process.lines)


def test_reload_takes_code_that_has_changed(start: Start, tmp_path: Path) -> None:
    module = install(tmp_path, "good", GOOD)
    with start(plugins__load="good") as process:
        assert number(process) == "200 1"
        code = module.read_text()
        module.write_text(code.replace("NUMBER = 1", "NUMBER = 22"))
        assert number(process) == "200 1"
        assert process.reload()["applied"] == ["plugins.good"]
        assert number(process) == "200 22"
        process.waits_for("22 starts")  # the log is read beside the test
        order = [line for line in process.lines if "good 1 stops" in line or " 22 " in line]
        assert ["1 stops" in order[0], "22 starts" in order[1]] == [True, True]

        module.write_text("1 / 0\n")
        assert process.reload()["applied"] == []
        process.waits_for("plugin good: cannot be loaded: ZeroDivisionError")
        assert number(process) == "200 22"


def test_code_that_was_changed_counts_when_it_is_loaded_again(
    start: Start, tmp_path: Path
) -> None:
    module = install(tmp_path, "good", GOOD)
    with start(plugins__load="good") as process:
        process.reload(plugins__load=None)
        module.write_text(module.read_text().replace("NUMBER = 1", "NUMBER = 22"))
        assert process.api(req=12, data={"plugins": {"load": ["good"]}}).status == 200
        assert number(process) == "200 22"


def test_plugins_and_their_keys_outlive_a_restart_whose_file_is_broken(
    start: Start, tmp_path: Path
) -> None:
    install(tmp_path, "keyed", KEYED)
    with start(plugins__load="keyed", plugins__keyed__rate="3") as process:
        process.waits_for("keyed: rate 3")
        process.lines.clear()
        process.popen.send_signal(signal.SIGUSR2)
        process.waits_for("keyed: rate 3")
        process.waits_for("serving:")


def test_environment_names_plugins_and_their_keys(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "keyed", KEYED)
    monkeypatch.setenv("NANOMQ_PLUGINS_LOAD", "keyed")
    monkeypatch.setenv("NANOMQ_PLUGINS_KEYED_RATE", "7")
    with start() as process:
        process.waits_for("keyed: rate 7")


# --- what goes wrong

CLASS = "class Its(Plugin):\n"
ODD = "class Odd(BaseException): pass\n"
BAD = {
    "import": ("sys.exit(3)\n", "cannot be loaded: SystemExit: 3"),
    "making": (
        CLASS + "    def __init__(self, name, broker): 1 / 0\n",
        "it cannot be made: ZeroDivisionError",
    ),
    "prepare": (
        CLASS + "    async def prepare(self, config): 1 / 0\n",
        "prepare failed: ZeroDivisionError",
    ),
    "refusal": (
        CLASS + "    async def prepare(self, config): raise ConfigError('it is bad')\n",
        "prepare failed: ConfigError: it is bad",
    ),
    "slow prepare": (
        CLASS + "    async def prepare(self, config): await asyncio.sleep(99)\n",
        "prepare took longer than 0.3 s",
    ),
    "commit": (
        "class Put(Change):\n    def commit(self): 1 / 0\n"
        + CLASS
        + "    async def prepare(self, config): return Put()\n",
        "commit failed: ZeroDivisionError",
    ),
    "no change": (
        CLASS + "    async def prepare(self, config): return 5\n",
        "prepare failed: TypeError: 5: expected a Change",
    ),
    "no method": (
        CLASS + "    def prepare(self, config): pass\n",
        "prepare failed: TypeError",
    ),
    "start": (
        CLASS + "    async def start(self): sys.exit(3)\n",
        "start failed: SystemExit: 3",
    ),
    "slow start": (
        CLASS + "    async def start(self): await asyncio.sleep(99)\n",
        "start took longer than 0.3 s",
    ),
    "slow start, for what it says itself": (
        CLASS + "    start_within_s = 0.2\n"
        "    async def start(self): await asyncio.sleep(99)\n",
        "start took longer than 0.2 s",
    ),
}


@pytest.mark.parametrize("where", BAD)
def test_plugin_that_fails_is_reported_and_the_rest_runs(
    start: Start, tmp_path: Path, where: str
) -> None:
    code, says = BAD[where]
    module = install(tmp_path, "bad", code)
    install(tmp_path, "good", GOOD)
    with start(plugins__load="bad,good") as process:
        process.waits_for(f"plugin bad: {says}")
        assert number(process) == "200 1"
        assert get(process, "/plugins/bad/number").startswith("404")
        with process.raw() as client:
            client.connect("c")
        # The next reload tries it again, and finds it mended.
        module.write_text(module.read_text().replace(code, GOOD))
        assert "plugins.bad" in process.reload()["applied"]
        assert get(process, "/plugins/bad/number").startswith("200 1")
        process.waits_for("good 1 starts")
        assert sum("good 1 starts" in line for line in process.lines) == 1


@pytest.mark.parametrize("where", [name for name in BAD if name != "refusal"])
def test_plugin_that_fails_when_it_comes_later_leaves_the_rest_running(
    start: Start, tmp_path: Path, where: str
) -> None:
    code, says = BAD[where]
    install(tmp_path, "bad", code)
    install(tmp_path, "good", GOOD)
    with start(plugins__load="good") as process:
        process.reload(plugins__load="good,bad", msq_len="7")
        process.waits_for(f"plugin bad: {says}")
        assert number(process) == "200 1"
        assert process.api(req=11).json["data"]["msq_len"] == 7


def test_value_that_a_plugin_refuses_refuses_the_reload(
    start: Start, tmp_path: Path
) -> None:
    install(tmp_path, "bad", BAD["refusal"][0])
    install(tmp_path, "good", GOOD)
    with start(plugins__load="good") as process:
        process.set_keys(plugins__load="good,bad", msq_len="7")
        got = process.api(req=10, action="reload")
        assert (got.status, got.json["message"]) == (400, "it is bad")
        assert process.api(req=11).json["data"]["plugins"] == {"load": ["good"]}
        assert number(process) == "200 1"


RENEWS = """
class Put(Change):
    @property
    def renewed(self):
        return 5

class Its(Plugin):
    def __init__(self, name, broker):
        pass

    async def prepare(self, config):
        return Put()
"""


def test_plugin_that_keeps_no_promise_is_loaded_and_unloaded(
    start: Start, tmp_path: Path
) -> None:
    install(tmp_path, "bad", RENEWS)
    install(tmp_path, "good", GOOD)
    with start(plugins__load="bad,good") as process:
        process.reload(msq_len="7")
        process.waits_for("plugin bad: renewed failed: TypeError")
        process.reload(plugins__load="good")
        process.waits_for("plugin bad: its work goes on: AttributeError")
        assert number(process) == "200 1"


def test_change_that_others_refuse_leaves_plugins_as_they_were(
    start: Start, tmp_path: Path
) -> None:
    install(tmp_path, "other", GOOD)
    module = install(tmp_path, "good", GOOD)
    with start(plugins__load="good") as process, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        module.write_text(module.read_text().replace("NUMBER = 1", "NUMBER = 22"))
        process.set_keys(plugins__load="good,other", http_server__port=port)
        assert process.api(req=10, action="reload").status == 400
        process.waits_for("other 1 stops")  # it was made, and never started
        assert number(process) == "200 1"
        assert get(process, "/plugins/other/number").startswith("404")
        assert not any("good 1 stops" in line for line in process.lines)
        assert not any("other 1 starts" in line for line in process.lines)
        process.reload(http_server__port="0")
        assert number(process) == "200 22"
        assert get(process, "/plugins/other/number").startswith("200")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("async def stop(self): 1 / 0", "stop failed: ZeroDivisionError"),
        ("async def stop(self): sys.exit(3)", "stop failed: SystemExit"),
        (
            "async def stop(self): await asyncio.sleep(99)",
            "stop took longer than 0.3 s",
        ),
        ("def leave(self): sys.exit(3)", "leave failed: SystemExit"),
    ],
)
def test_plugin_that_does_not_stop_is_gone_and_stops_nobody(
    start: Start, tmp_path: Path, code: str, says: str
) -> None:
    install(tmp_path, "bad", f"{CLASS}    {code}\n")
    install(tmp_path, "good", GOOD)
    with start(plugins__load="bad,good") as process:
        process.reload(plugins__load="good")
        process.waits_for(f"plugin bad: {says}")
        assert number(process) == "200 1"
        process.reload(plugins__load="good,bad")
        process.lines.clear()
    assert any(f"plugin bad: {says}" in line for line in process.lines)
    assert any("good 1 stops" in line for line in process.lines)
    assert any("stopped" in line for line in process.lines)


LAST_WORDS = """
    def leave(self):
        self.broker.publish("last", "words", qos=1)

    async def stop(self):
        self.broker.publish("last", "too late")
"""


def test_plugin_has_its_last_words_when_the_broker_stops(
    start: Start, tmp_path: Path
) -> None:
    install(tmp_path, "good", CLASS + LAST_WORDS)
    with start(plugins__load="good") as process, process.raw() as client:
        client.connect("c")
        client.subscribe(("last", 1))
        assert process.stop() == 0
        assert client.expect(PUBLISH).payload == b"words"


WORK = """
    async def start(self):
        self.work(self.hear(self.broker.events([Connected])))

    async def hear(self, events):
        async for event in events:
            sys.exit(event.client.client_id)
"""


def test_work_that_fails_is_reported(start: Start, tmp_path: Path) -> None:
    install(tmp_path, "bad", CLASS + WORK)
    install(tmp_path, "good", GOOD)
    with start(plugins__load="bad,good") as process:
        for name in ("its-name", "other"):
            with process.raw() as client:
                client.connect(name)
            process.waits_for("plugin bad: its work failed")
            process.waits_for("SystemExit: its-name")
        assert number(process) == "200 1"


ROUTES = """
    def routes(self):
        async def fails(request):
            1 / 0

        async def leaves(request):
            sys.exit(3)

        async def forbids(request):
            from starlette.exceptions import HTTPException
            raise HTTPException(403, "not you", {"X-Its": "own"})

        async def length(request):
            return PlainTextResponse(str(len(await request.body())))

        async def base(request): raise Odd("of no usual kind")
        async def work(request):
            async def fails(): raise Odd("of work")
            self.work(fails())
            return PlainTextResponse("")
        async def breaks_off(request):
            async def pieces():
                yield "the beginning"
                1 / 0
            return StreamingResponse(pieces())

        return [
            Route("/breaks_off", breaks_off), Route("/base", base), Route("/work", work),
            Route("/fails", fails), Route("/leaves", leaves), Route("/forbids", forbids),
            Route("/length", length, methods=["POST"]),
        ]
"""


ENDLESS = """
    def routes(self):
        async def endless(request):
            async def pieces():
                while True:
                    yield b"piece"
                    await asyncio.sleep(0.01)
            return StreamingResponse(pieces())
        async def never(request):
            self.log.warning("asked")
            await asyncio.Event().wait()
        return [Route("/endless", endless), Route("/never", never)]
"""


def test_answers_end_with_the_plugin(start: Start, tmp_path: Path) -> None:
    install(tmp_path, "bad", CLASS + ENDLESS)
    install(tmp_path, "good", GOOD)
    with start(plugins__load="bad,good") as process, ThreadPoolExecutor(2) as pool:
        never = pool.submit(get, process, "/plugins/bad/never")
        endless = pool.submit(get, process, "/plugins/bad/endless")
        process.waits_for("asked")
        process.reload(plugins__load="good")
        assert never.result(10) == '404 {"message":"the plugin \'bad\' is loaded no more"}'
        with pytest.raises(http.client.IncompleteRead):
            endless.result(10)
        assert number(process) == "200 1"


def test_routes_that_fail_leave_the_others(start: Start, tmp_path: Path) -> None:
    install(tmp_path, "bad", ODD + CLASS + ROUTES)
    install(tmp_path, "worse", CLASS + "    def routes(self): 1 / 0\n")
    install(tmp_path, "good", GOOD)
    with start(plugins__load="bad,worse,good") as process:
        assert get(process, "/plugins/bad/fails") == '500 {"message":"Unexpected"}'
        process.waits_for("plugin bad: GET /plugins/bad/fails failed")
        process.waits_for("ZeroDivisionError")
        assert get(process, "/plugins/bad/leaves").startswith("500")
        assert get(process, "/plugins/bad/base") == '500 {"message":"Unexpected"}'
        assert get(process, "/plugins/bad/work").startswith("200")
        process.waits_for("plugin bad: its work failed")
        assert get(process, "/plugins/worse/x").startswith("500")
        assert get(process, "/plugins/bad/forbids") == '403 {"message":"not you"}'
        assert get(process, "/plugins/bad/none") == '404 {"message":"Not Found"}'
        assert get(process, "/plugins/bad/length").startswith("405")
        with pytest.raises(http.client.IncompleteRead):
            get(process, "/plugins/bad/breaks_off")
        process.waits_for("plugin bad: GET /plugins/bad/breaks_off failed")
        for path in ("/plugins/none", "/plugins/", "/plugins/good/../x"):
            assert get(process, path).startswith("404"), path
        assert number(process) == "200 1"
        assert process.api(req=2).status == 200


def test_routes_have_the_login_and_the_bounds_of_the_api(
    start: Start, tmp_path: Path
) -> None:
    install(tmp_path, "bad", CLASS + ROUTES)
    with start(plugins__load="bad") as process:
        for path in ("/plugins/bad/length", "/plugins/none"):
            got = get(process, path, auth="admin:wrong", body=b"abc")
            assert got == '401 {"message":"Unauthorized"}'
        assert get(process, "/plugins/bad/length", body=b"abc") == "200 3"
        most = bytes(1 << 20)
        assert get(process, "/plugins/bad/length", body=most) == f"200 {len(most)}"
        got = get(process, "/plugins/bad/length", body=most + b"a")
        assert got == '400 {"message":"the body is larger than 1 MiB"}'
