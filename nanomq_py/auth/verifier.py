"""Passwords against stored hashes, beside everything else that the broker does.

::

    judge ──known to be right──> Decision at once
      └──> queue, one for each address ──in turn──> threads ──> Decision

Hashing takes tens of milliseconds on purpose (``hashing.py``). It runs in a few threads of its
own, of low priority, which begin with the first hash; addresses get their turn one after the
other, so that one that floods the broker with logins waits for itself. What was right is
remembered as a keyed digest of user name, stored hash and password, so that a client that comes
back costs no hash; a stored hash that changes makes another digest.

A wrong user name takes the time of a wrong password: :meth:`Verifier.refuse` hashes too,
against the stored hash of some other user, which is the same one each time.

Threads  belongs to the event loop; it never blocks
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import signal
import threading
from collections import OrderedDict, deque
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from nanomq_py.auth.chain import Decision, Login
from nanomq_py.auth.hashing import DECOY, matches
from nanomq_py.auth.throttle import network_of
from nanomq_py.core.declared import ReasonCode

MOST_WAITING = 1024  # hashes
MOST_WAITING_ALIKE = 256  # of one address, or IPv6 network
MOST_RIGHT = 16_384  # remembered, the latest used ones
MOST_THREADS = 4
NICENESS = 10  # a tenth of the processor, where others want all of it

_WRONG = Decision(ReasonCode.BAD_USER_NAME_OR_PASSWORD)
_BUSY = Decision(ReasonCode.SERVER_BUSY)


def _begin_thread() -> None:
    """Take less of the processor than others, and no signals, which are the main thread's."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@dataclass(frozen=True)
class _Job:
    stored: str = field(repr=False)
    password: bytes = field(repr=False)
    digest: bytes
    until: float  # on the loop's clock; later nobody waits for it
    right: asyncio.Future[bool | None]  # None: it was not looked at


class Verifier:
    """Judges passwords of logins."""

    def __init__(self) -> None:
        self.patience_s = 5.0  # how long a client waits for its answer
        # Stored hashes that stand in for those of users that there are not.
        self.decoys: Sequence[Sequence[str]] = ()
        self._key = secrets.token_bytes(32)
        self._right: OrderedDict[bytes, None] = OrderedDict()  # the oldest first
        self._threads = max(1, min(MOST_THREADS, (os.cpu_count() or 2) // 2))
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: OrderedDict[str, deque[_Job]] = OrderedDict()  # by network
        self._count = 0  # of those
        self._running = 0
        self._under_way: dict[bytes, _Job] = {}  # waiting or running, by digest

    def judge(
        self, login: Login, stored: str, right: Decision
    ) -> Decision | Awaitable[Decision]:
        """Return ``right`` if the login has the password of the stored hash.

        Else it is refused with 0x86, also where the password is missing or empty, and with
        0x89 where too many logins wait.

        stored  one that :func:`hashing.read_hash` has taken
        """
        password = login.password or b""
        digest = self._digest(login.user_name or "", stored, password)
        if digest in self._right:
            self._right.move_to_end(digest)
            return right
        return self._judge(login, stored, digest, right if password else _WRONG)

    def refuse(self, login: Login) -> Awaitable[Decision]:
        """Refuse a login with 0x86, in the time of a wrong password."""
        name = login.user_name or ""
        stored = self._decoy(name)
        digest = self._digest(name, stored, login.password or b"")
        return self._judge(login, stored, digest, _WRONG)

    def _decoy(self, name: str) -> str:
        """Return the stored hash that stands in for that user's: always the same one."""
        count = sum(map(len, self.decoys))
        at = int.from_bytes(self._digest(name, "", b"")[:8], "big") % max(count, 1)
        for hashes in self.decoys:
            if at < len(hashes):
                return hashes[at]
            at -= len(hashes)
        return DECOY

    def _digest(self, *parts: str | bytes) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=32)
        for part in parts:
            raw = part.encode(errors="surrogatepass") if isinstance(part, str) else part
            digest.update(len(raw).to_bytes(8, "big") + raw)
        return digest.digest()

    async def _judge(
        self, login: Login, stored: str, digest: bytes, right: Decision
    ) -> Decision:
        job = self._under_way.get(digest) or self._put(login, stored, digest)
        if job is None:
            return _BUSY
        is_right = await asyncio.shield(job.right)
        if is_right is None:
            return _BUSY
        if not is_right or right is _WRONG:
            return _WRONG
        self._remember(digest)
        return right

    def _remember(self, digest: bytes) -> None:
        self._right[digest] = None
        while len(self._right) > MOST_RIGHT:
            self._right.popitem(last=False)

    # --- the queue

    def _put(self, login: Login, stored: str, digest: bytes) -> _Job | None:
        """Have it hashed in its turn; None: too many wait."""
        network = network_of(login.address)
        alike = self._waiting.get(network, ())
        if self._count >= MOST_WAITING or len(alike) >= MOST_WAITING_ALIKE:
            return None
        loop = asyncio.get_running_loop()
        until = loop.time() + self.patience_s
        job = _Job(stored, login.password or b"", digest, until, loop.create_future())
        self._waiting.setdefault(network, deque()).append(job)
        self._count += 1
        self._under_way[digest] = job
        self._begin()
        return job

    def _take(self) -> _Job:
        """Take the oldest of the network whose turn it is."""
        network, jobs = self._waiting.popitem(last=False)
        job = jobs.popleft()
        if jobs:
            self._waiting[network] = jobs
        self._count -= 1
        return job

    def _begin(self) -> None:
        """Begin what the threads have time for."""
        loop = asyncio.get_running_loop()
        while self._waiting and self._running < self._threads:
            job = self._take()
            if loop.time() >= job.until:
                self._end(job, None)
                continue
            self._pool = self._pool or ThreadPoolExecutor(
                self._threads, "hashing", _begin_thread
            )
            self._running += 1
            done = loop.run_in_executor(self._pool, matches, job.stored, job.password)
            done.add_done_callback(partial(self._done, job))

    def _done(self, job: _Job, done: asyncio.Future[bool]) -> None:
        self._running -= 1
        self._end(job, None if done.cancelled() or done.exception() else done.result())
        self._begin()

    def _end(self, job: _Job, is_right: bool | None) -> None:
        del self._under_way[job.digest]
        if not job.right.done():
            job.right.set_result(is_right)

    def close(self) -> None:
        """Drop what waits; a hash under way is not waited for."""
        while self._waiting:
            self._end(self._take(), None)
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
