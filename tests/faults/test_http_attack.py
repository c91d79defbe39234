"""Attacks on the HTTP API: MQTT goes on, the API comes back, nothing is written without end."""

from __future__ import annotations

import contextlib
import resource
import select
import socket
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Process, StartBroker, free_port, running_broker
from tests.eventually import eventually
from tests.yardstick import Times

HALF = b"POST /api/v1 HTTP/1.1\r\nHost: a\r\n"
ASK = (
    b"POST /api/v1 HTTP/1.1\r\nHost: a\r\nAuthorization: Basic YWRtaW46cHVibGlj\r\n"
    b"Content-Length: 17\r\n\r\n" + b'{"req":2,"seq":1}'
)
CHUNKED = ASK.replace(b"Content-Length: 17", b"Transfer-Encoding: chunked")[:-17]
CHUNKS = CHUNKED + b"1\r\n{\r\n" * 40_000


def connections(
    process: Process, count: int, address: str = "127.0.0.1"
) -> list[socket.socket]:
    """Open that many from an address of this machine; those that are refused too."""
    made = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            made.append(
                socket.create_connection(
                    ("127.0.0.1", process.http_port), 5, source_address=(address, 0)
                )
            )
    return made


@contextlib.contextmanager
def attacked(
    process: Process, count: int, first: bytes = HALF
) -> Iterator[list[socket.socket]]:
    """Have that many connections stay silent after ``first``."""
    made = connections(process, count)
    try:
        for sock in made:
            with contextlib.suppress(OSError):
                sock.sendall(first)
        yield made
    finally:
        for sock in made:
            sock.close()


def answer_when_free(process: Process) -> int:
    """Return the status of a request, as soon as those that have left count no more."""
    until = time.monotonic() + 30  # what they sent is parsed, a piece at a time
    while True:
        try:
            return process.api(req=2).status
        except OSError:  # refused
            assert time.monotonic() < until


def bound_descriptors(process: Process, free: int) -> None:
    in_use = max(int(fd.name) for fd in Path(f"/proc/{process.pid}/fd").iterdir())
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (in_use + free, in_use + free))


def cpu_s(process: Process) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def answer_of(sock: socket.socket) -> bytes:
    """Return the next answer to an ASK on the connection, or what came of it."""
    answer = b""
    while not answer.endswith(b"}") and (data := sock.recv(4096)):
        answer += data
    return answer


def is_closed(sock: socket.socket, within_s: float) -> bool:
    """Return whether the broker closes the connection, whatever it says before."""
    until = time.monotonic() + within_s
    while (left := until - time.monotonic()) > 0 and select.select([sock], [], [], left)[0]:
        try:
            if not sock.recv(65536):
                return True
        except OSError:
            return True
    return False


def test_silent_http_connections_stop_neither_mqtt_nor_the_api(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    bound_descriptors(process, 200)
    with process.raw() as healthy:
        healthy.connect("healthy")
        with attacked(process, 300):
            before, began = cpu_s(process), time.monotonic()
            while time.monotonic() < began + 2:
                with process.raw() as late:  # descriptors are left for clients
                    late.connect("late")
                    late.ping()
                healthy.ping()
                time.sleep(0.05)
            assert cpu_s(process) - before < 1  # no busy loop
    assert process.api(req=2).status == 200
    text = "".join(process.lines)
    assert "Traceback" not in text
    assert len(text) < 20_000


def test_other_addresses_reach_the_api_beside_silent_connections(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with attacked(process, 300), contextlib.ExitStack() as closing:
        for number in range(2, 6):  # more addresses than there is room for
            for sock in connections(process, 20, f"127.0.0.{number}"):
                closing.enter_context(sock)
                with contextlib.suppress(OSError):
                    sock.sendall(HALF)
        time.sleep(1.1)  # the young ones are spared
        with connections(process, 1, "127.0.0.9")[0] as mine:
            mine.sendall(ASK)
            assert mine.recv(4096).startswith(b"HTTP/1.1 200")


def test_bodies_of_strangers_that_do_not_come_leave_places(
    start_broker: StartBroker,
) -> None:
    """A login that is sent in a body is judged when the body is there, and not before."""
    process = start_broker(constants={"nanomq_py.http.connection.BODY_S": 600.0})
    with contextlib.ExitStack() as closing:
        for number in range(2, 5):  # more addresses than there is room for
            for sock in connections(process, 30, f"127.0.0.{number}"):
                closing.enter_context(sock)
                with contextlib.suppress(OSError):
                    sock.sendall(b"POST /api/v4/auth HTTP/1.1\r\nHost: x\r\n")
                    sock.sendall(b"Content-Length: 99\r\n\r\n{")
        time.sleep(1.1)  # the young ones are spared
        with connections(process, 1, "127.0.0.9")[0] as mine:
            mine.sendall(ASK)
            assert mine.recv(4096).startswith(b"HTTP/1.1 200")


def test_same_address_reaches_the_api_beside_silent_connections(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    with attacked(process, 40):
        time.sleep(1.1)  # the young ones are spared
        assert process.api(req=2).status == 200


def test_mqtt_clients_leave_descriptors_to_the_api(start_broker: StartBroker) -> None:
    process = start_broker()
    bound_descriptors(process, 60)
    crowd = [process.raw() for _ in range(100)]
    try:
        process.waits_for("the process is out of descriptors")
        assert [process.api(req=2).status for _ in range(3)] == [200] * 3
        # a reload opens files
        assert process.reload(http_server__max_connections="10") == {
            "applied": ["http_server.max_connections"], "restart": [], "unused": [],
        }  # fmt: skip
    finally:
        for c in crowd:
            c.close()


UNFINISHED = {
    "nothing": b"",
    "half a header": HALF,
    "half a body": ASK[:-5],
    "half a chunk": CHUNKED + b"5\r\nab",
    "nothing after an answer": ASK,
}


# A second is enough to see that a time counts; tests/test_docs.py knows the real ones.
HASTY = {
    f"nanomq_py.http.connection.{name}": 1.0 for name in ("HEAD_S", "BODY_S", "WRITE_S")
}


@pytest.fixture(scope="module")
def hasty_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A broker that waits a second for its HTTP peers."""
    with running_broker(tmp_path_factory.mktemp("hasty"), constants=HASTY) as made:
        yield made


def test_peer_that_stops_in_the_middle_is_cut(hasty_broker: Process) -> None:
    with contextlib.ExitStack() as closing:
        made = {}
        for name, first in UNFINISHED.items():
            (made[name],) = connections(hasty_broker, 1)
            closing.enter_context(made[name]).sendall(first)
        assert not any(is_closed(sock, 0.1) for sock in made.values())
        for name, sock in made.items():
            assert is_closed(sock, 20), name


@pytest.mark.parametrize(
    "head",
    [b"X: " + b"a" * 20_000, b"X: a\r\n" * 1000, b"\r\n" * 200_000],
    ids=["long line", "many lines", "empty lines"],
)
def test_header_too_large_is_refused(shared_broker: Process, head: bytes) -> None:
    (sock,) = connections(shared_broker, 1)
    with sock, contextlib.suppress(OSError):
        sock.sendall(HALF + head if head.strip() else head)
        answer = sock.recv(4096)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400"), answer


def test_requests_that_come_at_once_are_all_answered(shared_broker: Process) -> None:
    (sock,) = connections(shared_broker, 1)
    with sock:
        sock.sendall(ASK * 200)
        got = b""
        while got.count(b'"rep":2') < 200:
            data = sock.recv(65536)
            assert data, got.count(b'"rep":2')
            got += data


def test_bytes_after_the_last_request_are_dropped(shared_broker: Process) -> None:
    (sock,) = connections(shared_broker, 1)
    with sock:
        ask = ASK.replace(b"Host: a", b"Host: a\r\nConnection: close")
        sock.sendall(ask + b"junk" * 10_000)
        with contextlib.suppress(ConnectionResetError):
            got = b""
            while data := sock.recv(65536):
                got += data
            assert got.startswith(b"HTTP/1.1 200")
            assert got.endswith(b"}}")
    assert "Traceback" not in "".join(shared_broker.lines)


def test_peer_that_reads_no_answer_is_cut(hasty_broker: Process) -> None:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    with sock:
        sock.settimeout(100)  # much is parsed before
        sock.connect(("127.0.0.1", hasty_broker.http_port))
        with pytest.raises(ConnectionError):
            sock.sendall(ASK * 1_000_000)  # blocks as soon as nothing is parsed any more


def logins_while(process: Process, quiet: Process, act: Callable[[], None]) -> Times:
    """Return how long logins take while two threads repeat ``act``, for three seconds."""
    stop, times = threading.Event(), Times(quiet)

    def repeat() -> None:
        while not stop.is_set():
            act()

    threads = [threading.Thread(target=repeat) for _ in range(2)]
    for thread in threads:
        thread.start()
    timer = threading.Timer(3, stop.set)
    timer.start()
    times.take_logins(process, stop)
    for thread in threads:
        thread.join()
    return times


FLOODS = {
    "tiny chunks": CHUNKS,
    "tiny chunks of a stranger": CHUNKS.replace(b"YWRtaW4", b"YWRtaW5"),
    "requests": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 8_000,
    "lines": b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 60_000,
}


@pytest.mark.alone
@pytest.mark.parametrize("flood", FLOODS)
def test_logins_do_not_wait_for_what_http_peers_send(
    shared_broker: Process, broker: Process, flood: str
) -> None:
    def send() -> None:
        for sock in connections(shared_broker, 8):
            with sock, contextlib.suppress(OSError):
                sock.settimeout(1)
                sock.sendall(FLOODS[flood])

    # Parsed as it comes, it takes a second and more.
    logins_while(shared_broker, broker, send).assert_undisturbed(95)


def test_invalid_requests_write_few_lines(start_broker: StartBroker) -> None:
    process = start_broker()
    for _ in range(200):
        with connections(process, 1)[0] as sock:
            sock.sendall(b"\0\r\n\r\n")
            assert is_closed(sock, 20)
    assert process.api(req=2).status == 200
    assert len([line for line in process.lines if "Invalid HTTP" in line]) == 1


def test_bounds_follow_a_reload(start_broker: StartBroker) -> None:
    process = start_broker(http_server__max_connections_per_address="2")
    with attacked(process, 2, b""):
        (third,) = connections(process, 1)
        with third:
            third.sendall(ASK)
            third.settimeout(0.7)
            with pytest.raises(TimeoutError):  # the others are young
                third.recv(4096)
            third.settimeout(20)
            assert answer_of(third).startswith(b"HTTP/1.1 200")
    assert answer_when_free(process) == 200
    assert process.reload(http_server__max_connections_per_address="4")["applied"]
    with attacked(process, 3, b""):
        assert process.api(req=2).status == 200


def test_line_before_the_door_is_bounded(start_broker: StartBroker) -> None:
    process = start_broker(http_server__max_connections_per_address="1")
    with attacked(process, 1, ASK[:-5]) as place, contextlib.ExitStack() as closing:
        began = time.monotonic()  # a right login holds its place for 10 s
        line = [closing.enter_context(sock) for sock in connections(process, 33)]
        assert is_closed(line[32], 20)
        assert not is_closed(line[31], 0.1)
        assert is_closed(line[31], 20)
        assert is_closed(line[0], 20)
        assert time.monotonic() - began > 4  # 5 s, looked at once a second
        (late,) = connections(process, 1)
        with late:
            late.sendall(ASK)
            place[0].close()
            assert answer_of(late).startswith(b"HTTP/1.1 200")
    assert answer_when_free(process) == 200


def test_line_has_a_place_for_an_address_beside_those_that_fill_it(
    start_broker: StartBroker,
) -> None:
    process = start_broker(http_server__max_connections="1")
    with attacked(process, 1, ASK[:-5]) as place, contextlib.ExitStack() as closing:
        crowds = [connections(process, 32, f"127.0.0.{number}") for number in (2, 3)]
        for sock in [*crowds[0], *crowds[1]]:
            closing.enter_context(sock)
        (mine,) = connections(process, 1, "127.0.0.4")
        with mine:
            mine.sendall(ASK)
            eventually(lambda: any(is_closed(crowd[-1], 0.05) for crowd in crowds))
            for crowd in crowds:  # who is before it leaves
                for sock in crowd:
                    sock.close()
            place[0].close()
            assert answer_of(mine).startswith(b"HTTP/1.1 200")
        assert answer_when_free(process) == 200


BUSY = {
    "silent": b"",
    "half a header": HALF,
    "half a body": ASK[:-5],
    "half a body of a stranger": ASK.replace(b"YWRtaW4", b"YWRtaW5")[:-5],
    "answered": ASK,
}


def test_port_moves_while_every_place_is_taken_and_nothing_is_left(
    start_broker: StartBroker,
) -> None:
    process = start_broker()
    assert process.api(req=2).status == 200
    idle = process.descriptors()
    port = process.http_port
    for first in BUSY.values():
        with attacked(process, 40, first) as crowd:
            new = free_port()
            process.set_keys(http_server__port=str(new))
            assert process.nanomq("reload", "--conf", str(process.conf)).returncode == 0
            assert process.api(port=new, req=2).status == 200
            with pytest.raises(urllib.error.URLError, match="refused"):
                process.api(port=port, req=2)
            for sock in crowd:
                assert is_closed(sock, 20)
            until = time.monotonic() + 20
            while process.descriptors() > idle:
                assert time.monotonic() < until, process.descriptors()
                time.sleep(0.05)
        process.http_port = port = new
    assert "Traceback" not in "".join(process.lines)


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running_broker(
        tmp_path_factory.mktemp("http"), auth__1__login="u", auth__1__password="p"
    ) as made:
        yield made
        assert answer_when_free(made) == 200  # it is as before
