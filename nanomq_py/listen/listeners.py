"""The listeners of one broker that are open, and how one set of them becomes another.

A change is prepared, which may fail and be undone, and then put in force: new listeners are
bound and listen, but let nobody in until then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from time import gmtime, strftime
from time import time as wall_s

from nanomq_py.config import Config, ConfigError
from nanomq_py.core import binding
from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.records import ListenerStats
from nanomq_py.core.settling import Settling
from nanomq_py.kernel.part import Change, Part, Trouble
from nanomq_py.listen.inherited import Inherited
from nanomq_py.listen.listener import Listening, OpenListener, opened, wanted
from nanomq_py.listen.places import Place, places_of
from nanomq_py.listen.sockets import bind, duplicate, serves, unlink_ipc
from nanomq_py.listen.tls import name_of

log = logging.getLogger("nanomq")

MOST_NAMES = 1000
SOON_S = 30 * 86_400.0  # before a certificate expires, somebody is told
# Whether clients must be asked who they are, given allow_anonymous of their listener.
MustAsk = Callable[[Config, bool], bool]


@contextlib.contextmanager
def _or_without(inherited: Inherited) -> Iterator[None]:
    """Go on without a listener that cannot be had, if the broker must start in any case."""
    try:
        yield
    except ConfigError as fault:
        if not inherited.is_last_resort:
            raise
        log.error("%s; the broker goes on without it", fault)


class ListenersChange(Change):
    """Listeners on their way from one configuration to another."""

    def __init__(self, owner: Listeners, inherited: Inherited) -> None:
        self._owner = owner
        self._core = owner.core
        self._inherited = inherited
        self._kept: list[tuple[OpenListener, OpenListener]] = []  # as it was, as it will be
        self._opened: list[OpenListener] = []
        self._closing: list[OpenListener] = []
        self._closed_early: list[OpenListener] = []
        self._under_way: list[tuple[OpenListener, OpenListener]] = []  # of _kept, begun

    @property
    def renewed(self) -> list[str]:
        """Keys whose file has another content now."""
        return [
            name_of(new.place.settings, key)
            for old, new in self._kept
            for key, content in (
                ("certfile", "cert"),
                ("keyfile", "key"),
                ("cacertfile", "ca"),
                ("crlfile", "crl"),
                ("psk_file", "psks"),
            )
            if new.tls_options is not None
            and getattr(new.tls_options, content)
            and getattr(old.tls_options, content) != getattr(new.tls_options, content)
        ]

    @property
    def _moved(self) -> list[OpenListener]:
        """The listeners that may have another mount point now."""
        kept = [new for old, new in self._kept if old.options.mount != new.options.mount]
        return [*kept, *self._opened]

    def remount(self) -> None:
        """Have sessions follow their listener to its mount point. Blocks."""
        for listener in self._moved:
            self._core.remount(listener.number)

    async def open(self, wanted: Iterable[OpenListener]) -> None:
        """Open what is new. Raises ConfigError; call :meth:`undo` then."""
        missing = dict(self._owner.by_name)
        new = []
        for listener in wanted:
            old = missing.get(listener.place.name)
            if old is not None and old.place.url == listener.place.url:
                del missing[listener.place.name]
                same = replace(listener, number=old.number, port=old.port, sock=old.sock)
                self._kept.append((old, replace(same, foreign=old.foreign)))
            else:
                new.append(listener)
        self._closing = list(missing.values())
        for listener in new:
            with _or_without(self._inherited):
                self._opened.append(await self._open(listener))

    async def _open(self, want: OpenListener) -> OpenListener:
        try:
            return await self._try_to_open(want)
        except ConfigError:
            if not self._make_room(want.place):
                raise
        return await self._try_to_open(want)

    async def _try_to_open(self, want: OpenListener) -> OpenListener:
        place = want.place
        if place.has_tls:
            return opened(self._core, want, None)
        given = self._inherited.take(place)
        if given is not None:
            foreign = place.name not in self._inherited.ours
            listener = opened(self._core, want, given)
            return replace(listener, foreign=foreign, inherited=True)
        leaving = self._inherited.leaving()
        for old in self._closing:
            if old.sock is not None and serves(old.sock, place):
                same = opened(self._core, want, duplicate(old.sock, place))
                return replace(same, foreign=old.foreign)
            leaving += [] if old.sock is None else [old.sock]
        sock = await bind(place, leaving)
        try:
            return opened(self._core, want, sock)
        except ConfigError:
            unlink_ipc(place)
            raise

    def _make_room(self, place: Place) -> bool:
        """Close listeners that go away and have that port; return whether any did.

        A socket of nng cannot share a port with another, not even for a moment.
        """
        early = [
            old
            for old in self._closing
            if old.port == place.port != 0
            and (place.has_tls or old.place.has_tls)
            and old not in self._closed_early
        ]
        for old in early:
            self._core.unlisten(old.number)
            if old.sock is not None:
                old.sock.close()
        self._closed_early += early
        return bool(early)

    def commit(self) -> None:
        """Put it in force. Raises CoreError only while nothing shows outside; then undo it."""
        for old, new in self._kept:
            self._under_way.append((old, new))
            self._follow(old, new)
        for new in self._opened:
            self._core.accept(new.number)
        for old in self._closing:
            if old not in self._closed_early:
                self._core.unlisten(old.number)
        self._owner.use([*(new for _, new in self._kept), *self._opened])
        for old in self._closing:
            self._clear(old)

    def _clear(self, old: OpenListener) -> None:
        """Remove what is left of a listener that does not accept any more.

        Its clients are disconnected, unless a listener has its name or its address now.
        """
        now = self._owner.by_name
        if old.sock is not None:
            old.sock.close()
        heirs = [new for new in now.values() if old.place.url == new.place.url]
        gone = not heirs
        if gone and not old.foreign:
            unlink_ipc(old.place)
        if heirs and old.place.name not in now:
            self._owner.follow(old, heirs[0])
        if gone and old.place.name not in now:
            self._core.disconnect(old.number, ReasonCode.ADMINISTRATIVE_ACTION)

    def _follow(self, old: OpenListener, new: OpenListener) -> None:
        if old.options != new.options:
            self._core.set_listener(new.number, new.options)
        if old.tls_options != new.tls_options and new.tls is not None:
            self._core.set_tls(new.number, new.tls)

    async def settle(self) -> None:
        if self._moved:
            await self._owner.settling.run(self.remount)

    async def undo(self) -> None:
        """Close what was opened; the listeners that were there stay as they were."""
        for old, new in self._under_way:
            self._follow(new, old)
        for new in self._opened:
            self._core.unlisten(new.number)
            if new.sock is not None:
                new.sock.close()
                old_urls = [old.place.url for old in self._closing]
                if not new.inherited and new.place.url not in old_urls:
                    unlink_ipc(new.place)
        for old in self._closed_early:
            await self._open_again(old)

    async def _open_again(self, old: OpenListener) -> None:
        try:
            sock = None if old.place.has_tls else await bind(old.place)
            again = opened(self._core, old, sock)
        except ConfigError as fault:
            log.error("%s", fault)
            return
        self._core.accept(again.number)
        kept = [o for o in self._owner.by_name.values() if o.place != old.place]
        self._owner.use([*kept, again])


def _all_wanted(
    config: Config, must_ask: MustAsk, inherited: Inherited
) -> list[OpenListener]:
    """Return the listeners of a configuration. Raises ConfigError. Blocks."""
    found = []
    for place in places_of(config):
        with _or_without(inherited):
            ask_auth = must_ask(config, place.allows_anonymous(config))
            found.append(wanted(config, place, ask_auth=ask_auth))
    return found


class Listeners(Part):
    """What is open now, by name."""

    name = "listeners"

    def __init__(
        self,
        core: binding.Core,
        settling: Settling,
        must_ask: MustAsk,
        inherited: Inherited | None = None,
    ) -> None:
        """Make it with no listener. ``inherited`` are for the first that are opened."""
        self.core = core
        self.settling = settling
        self.by_name: dict[str, OpenListener] = {}
        self._by_key: dict[int, str] = {}
        self._must_ask = must_ask
        self._inherited = inherited
        self._is_first = True  # its first change is not in force
        # Names by number, also of closed listeners: their clients may still ask to come in.
        self._names: dict[int, str] = {}

    def use(self, now: Iterable[OpenListener]) -> None:
        """Take these as the ones that are open."""
        self._is_first = False
        self.by_name = {listener.place.name: listener for listener in now}
        self._by_key = {open_.options.key: name for name, open_ in self.by_name.items()}
        self._names |= {open_.number: name for name, open_ in self.by_name.items()}
        for number in list(self._names)[:-MOST_NAMES]:
            del self._names[number]

    def follow(self, old: OpenListener, heir: OpenListener) -> None:
        """Have the connections that came through ``old`` follow its heir."""
        for number, name in self._names.items():
            if name == old.place.name:
                self._names[number] = heir.place.name

    def anonymous(self) -> set[int]:
        """Return the numbers of listeners, also closed ones, that let anybody in now."""
        return {number for number in self._names if self.allow_anonymous(number)}

    def name_of(self, key: int) -> str:
        """Return the name of a listener by its key in the core; empty: there is none."""
        return self._by_key.get(key, "")

    @property
    def ports(self) -> dict[str, int]:
        """Return the ports in use, by the key that says where."""
        return {open_.place.key: open_.port for open_ in self.by_name.values()}

    @property
    def places(self) -> dict[str, tuple[int, str]]:
        """Return ports and URLs, by the key that says where."""
        opened = self.by_name.values()
        return {open_.place.key: (open_.port, open_.place.url) for open_ in opened}

    def allow_anonymous(self, number: int) -> bool:
        """Return whether that listener, by the core's number, lets anybody in.

        A connection older than a change follows the listener that has its name now.
        """
        open_ = self.by_name.get(self._names.get(number, ""))
        return open_ is not None and open_.allow_anonymous

    def stats(self) -> dict[str, ListenerStats]:
        """Return what each has done so far."""
        return {
            name: self.core.listener_stats(open_.number)
            for name, open_ in self.by_name.items()
        }

    def troubles(self) -> Iterator[Trouble]:
        for name, open_ in self.by_name.items():
            if open_.good_until is None or open_.good_until - wall_s() > SOON_S:
                continue
            day = strftime("%Y-%m-%d %H:%M:%S UTC", gmtime(open_.good_until))
            has = "has expired" if open_.good_until <= wall_s() else "expires"
            called = name or open_.place.key
            yield Trouble(
                f"certificate_expires/{called}",
                f"the certificate of listener {called} {has}: it is good until {day}",
                {"listener": called, "not_after": open_.good_until},
            )

    def listening(self) -> dict[str, Listening]:
        """Return where each listens, and what it has done so far."""
        return {
            name: Listening(
                open_.place.url, open_.port, open_.options.connections_max, stats
            )
            for (name, open_), stats in zip(
                self.by_name.items(), self.stats().values(), strict=True
            )
        }

    def restart(self, name: str) -> None:
        """Disconnect the clients of that listener. Raises KeyError where there is none.

        Its socket stays: to close and open it would only turn clients away for a moment.
        """
        self.by_name[name]  # raises
        for number, its_name in self._names.items():
            if its_name == name:
                self.core.disconnect(number, ReasonCode.ADMINISTRATIVE_ACTION)

    async def prepare(self, config: Config) -> ListenersChange:
        inherited, self._inherited = self._inherited, None
        inherited = inherited or Inherited()
        found = await asyncio.to_thread(_all_wanted, config, self._must_ask, inherited)
        change = ListenersChange(self, inherited)
        try:
            await change.open(found)
            if self._is_first:
                await asyncio.to_thread(self._take_in, change)
        except BaseException:
            await change.undo()
            raise
        return change

    @staticmethod
    def _take_in(change: ListenersChange) -> None:
        """Move restored sessions to their listeners' mount points, before clients come back."""
        try:
            change.remount()
        except binding.CoreError as fault:  # then they move when their clients come
            log.error("sessions do not follow their mount points yet: %s", fault)

    def give_sockets(self) -> list[tuple[str, socket.socket, bool]]:
        """Give the caller each name and socket, and whether the socket is systemd's."""
        given = []
        for name, open_ in self.by_name.items():
            if open_.sock is not None:
                given.append((name, open_.sock, open_.foreign))
                self.by_name[name] = replace(open_, sock=None, foreign=True)
        return given

    async def stop(self) -> None:
        """Close our hold on the sockets, after the core has stopped."""
        for open_ in self.by_name.values():
            if open_.sock is not None:
                open_.sock.close()
            if not open_.foreign:
                unlink_ipc(open_.place)
        self.by_name.clear()
