"""A receiver of posts for tests: in the loop of the test, quick, and as bad as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.answering import status

WITHIN_S = 20.0


@dataclass(frozen=True)
class Came:
    """One request."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


# Returns the bytes of an answer; None: the connection is reset.
Says = Callable[[Came], bytes | Awaitable[bytes | None] | None]
OK = status(204)


@dataclass
class Receiver:
    """The server. ``taken`` has what was answered with 204, ``came`` all."""

    says: Says
    came: list[Came] = field(default_factory=list)
    taken: list[Came] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    keeps: bool = True  # whether it remembers what came
    server: asyncio.Server | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def open(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return when that is so; it is looked at after each request and answer."""

        async def wait() -> None:
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

        await asyncio.wait_for(wait(), WITHIN_S)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            while (came := await _read(reader)) is not None:
                if not await self._answer(came, writer):
                    break
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, came: Came, writer: asyncio.StreamWriter) -> bool:
        if self.keeps:
            self.came.append(came)
        self._changed.set()
        said = self.says(came)
        answer = await said if isinstance(said, Awaitable) else said
        if answer == OK and self.keeps:
            self.taken.append(came)
        self._changed.set()
        if answer is None:
            return False
        writer.write(answer)
        await writer.drain()
        return answer.endswith(b"\r\n\r\n") or b"Content-Length: 0" not in answer


async def _read(reader: asyncio.StreamReader) -> Came | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    line, *rest = head.decode().split("\r\n")
    headers = {}
    for each in filter(None, rest):
        name, _, value = each.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Came(line.split()[1], headers, body)


def take(came: Came) -> bytes:
    return OK


@asynccontextmanager
async def receiving(says: Says = take) -> AsyncIterator[Receiver]:
    made = Receiver(says)
    await made.open()
    try:
        yield made
    finally:
        await made.close()
