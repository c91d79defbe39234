"""What a broker keeps in its store, loaded by the first use of it.

::

    the file is there, or a program bans somebody ──> Store, Bans
    flapping_detect.enable ──> Detector ──> Bans

A broker with neither loads no module of the store, and no thread waits for one.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from nanomq_py.config import Config, ConfigError
from nanomq_py.config.keys.flapping import FlappingDetect
from nanomq_py.core.binding import Core
from nanomq_py.core.message import ListenerName
from nanomq_py.core.settling import Settling
from nanomq_py.kernel.part import Change, Part

if TYPE_CHECKING:
    from nanomq_py.auth.bans import Bans
    from nanomq_py.auth.chain import Authenticator
    from nanomq_py.auth.database import Accounts
    from nanomq_py.auth.verifier import Verifier
    from nanomq_py.flapping import Detector
    from nanomq_py.store.store import Store
    from nanomq_py.store.users import UserTable


SOME = 1000  # stored hashes that stand in for those of users that there are not


class Keeping(Part):
    """The store, and who is banned."""

    name = "keeping"

    def __init__(self, core: Core, settling: Settling, path: Path | None) -> None:
        """Make it; path: of the store, None: it is kept in memory."""
        self._core = core
        self._settling = settling
        self._path = path
        self._store: Store | None = None
        self._bans: Bans | None = None
        self._users: UserTable | None = None
        self._decoys: list[str] = []

    @property
    def store(self) -> Store:
        if self._store is None:
            from nanomq_py.store.store import Store

            self._store = Store(self._path)
        return self._store

    @property
    def users(self) -> UserTable:
        if self._users is None:
            from nanomq_py.store.users import UserTable

            self._users = UserTable(self.store)
        return self._users

    def knows(self, verifier: Verifier) -> Authenticator:
        """Return the authenticator of the users in the store."""
        from nanomq_py.auth.database import DatabaseUsers

        return DatabaseUsers(self.users, verifier, self._decoys)

    @property
    def accounts(self) -> Accounts:
        from nanomq_py.auth.database import Accounts

        return Accounts(self._core, self._settling, self.users)

    @property
    def bans(self) -> Bans:
        """Who is banned, after the first change."""
        if self._bans is None:
            from nanomq_py.auth.bans import Bans

            self._bans = Bans(self._core, self._settling, self.store)
        return self._bans

    async def prepare(self, config: Config) -> None:
        """Put bans in force before anybody can come in, and look for users.

        Raises   ConfigError
        """
        path = self._path
        if self._bans is None and path is not None and await asyncio.to_thread(path.exists):
            await self.bans.load()
        if "database" in config.auth.chain:
            from nanomq_py.store.faults import StoreError

            try:
                await self.store.open()
                self._decoys[:] = await self.users.hashes(SOME)
            except StoreError as fault:
                raise ConfigError(str(fault)) from None

    async def stop(self) -> None:
        if self._bans is not None:
            await self._bans.stop()
        if self._store is not None:
            await self._store.close()


def _load_detector() -> type[Detector]:
    from nanomq_py.flapping import Detector

    return Detector


class _FlappingChange(Change):
    """Other numbers of flapping detection, or its begin or end."""

    def __init__(self, flapping: Flapping, new: FlappingDetect) -> None:
        self._flapping = flapping
        self._old = flapping.keys
        self._new = new

    def commit(self) -> None:
        self._flapping.use(self._new)

    async def undo(self) -> None:
        self._flapping.use(self._old)


class Flapping(Part):
    """Flapping detection, while ``flapping_detect.enable``. It comes before the listeners."""

    name = "flapping"

    def __init__(self, core: Core, listener_name: ListenerName, keeping: Keeping) -> None:
        self._core = core
        self._listener_name = listener_name
        self._keeping = keeping
        self.keys = FlappingDetect()  # in force
        self._detectors: list[Detector] = []  # the last one works; others may be ending

    async def prepare(self, config: Config) -> Change | None:
        new = config.flapping_detect
        if new == self.keys:
            return None
        if new.enable:
            await asyncio.to_thread(_load_detector)
        return _FlappingChange(self, new)

    def use(self, keys: FlappingDetect) -> None:
        """Count by these from now on. Raises CoreError; then all is as it was."""
        if keys.enable and not self.keys.enable:
            bans = self._keeping.bans
            made = _load_detector()(self._core, self._listener_name, bans, keys)
            self._detectors.append(made)
        elif not keys.enable:
            self.leave()
        self.keys = keys
        if self._detectors:
            self._detectors[-1].keys = keys

    def leave(self) -> None:
        for detector in self._detectors:
            detector.leave()

    async def stop(self) -> None:
        for detector in self._detectors:
            await detector.stop()
