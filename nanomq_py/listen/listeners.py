"""The listeners of one broker that are open, and how one set of them becomes another.

A change is prepared, which may fail and be undone, and then put in force: new listeners are
bound and listen, but let nobody in until then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from nanomq_py.config import Config, ConfigError
from nanomq_py.core import binding
from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.records import ListenerOptions, ListenerStats, TlsOptions
from nanomq_py.core.tls import Tls
from nanomq_py.listen.inherited import Inherited
from nanomq_py.listen.places import (
    Place,
    options_of,
    places_of,
)
from nanomq_py.listen.sockets import (
    bind,
    duplicate,
    serves,
    unlink_ipc,
)
from nanomq_py.listen.tls import load_tls, name_of

log = logging.getLogger("nanomq")

MOST_NAMES = 1000

_FAULTS = {
    binding.EADDRINUSE: "the port is taken by another program",
    binding.EADDR: "the address cannot be used on this machine",
    binding.EACCESS: "the system does not let this user listen there",
    binding.ECRYPTO: "nng's TLS cannot use this certificate and key",
}
# Whether clients of a listener must be asked who they are; given its allow_anonymous.
MustAsk = Callable[[bool], bool]


def _error(place: Place, fault: binding.CoreError | OSError) -> ConfigError:
    if isinstance(fault, OSError):
        why = fault.strerror or str(fault)
    else:
        why = _FAULTS.get(fault.status, str(fault))
    return place.error(f"cannot listen: {why}")


@dataclass(frozen=True)
class Listening:
    """One listener as it shall be, or is."""

    place: Place
    options: ListenerOptions
    allow_anonymous: bool
    tls_options: TlsOptions | None = field(default=None, repr=False)
    tls: Tls | None = None
    number: int = 0  # the core's name for it
    port: int = 0  # in use
    sock: socket.socket | None = None  # our hold on it, to hand over; None: nng's own
    foreign: bool = False  # the socket is systemd's: its file stays
    inherited: bool = False  # it was there before us: what fails leaves its file


def _want(config: Config, place: Place, must_ask: MustAsk) -> Listening:
    """Return one listener of a configuration. Raises ConfigError. Blocks."""
    anonymous = place.allows_anonymous(config)
    options = options_of(place, config, ask_auth=must_ask(anonymous))
    if not place.has_tls:
        return Listening(place, options, anonymous)
    tls_options = load_tls(config, place.settings)
    try:
        tls = Tls(tls_options)
    except binding.CoreError as fault:
        raise _error(place, fault) from None
    return Listening(place, options, anonymous, tls_options, tls)


@contextlib.contextmanager
def _or_without(inherited: Inherited) -> Iterator[None]:
    """Go on without a listener that cannot be had, where that is better than not to start."""
    try:
        yield
    except ConfigError as fault:
        if not inherited.is_last_resort:
            raise
        log.error("%s; the broker goes on without it", fault)


def _wanted(config: Config, must_ask: MustAsk, inherited: Inherited) -> list[Listening]:
    """Return the listeners of a configuration. Raises ConfigError. Blocks."""
    wanted = []
    for place in places_of(config):
        with _or_without(inherited):
            wanted.append(_want(config, place, must_ask))
    return wanted


def _listen(
    running: binding.Core, wanted: Listening, sock: socket.socket | None
) -> Listening:
    """Have the core listen. It takes a descriptor of its own; ours is for a successor.

    Raises   ConfigError; the socket is closed then
    """
    fd = -1
    try:
        fd = -1 if sock is None else os.dup(sock.fileno())
        number, port = running.listen(wanted.options, fd=fd, tls=wanted.tls)
    except (binding.CoreError, OSError) as fault:
        if fd >= 0:
            os.close(fd)
        if sock is not None:
            sock.close()
        raise _error(wanted.place, fault) from None
    return replace(wanted, number=number, port=port, sock=sock)


class Change:
    """Listeners on their way from one configuration to another."""

    def __init__(self, owner: Listeners, inherited: Inherited) -> None:
        self._owner = owner
        self._core = owner.core
        self._inherited = inherited
        self._kept: list[tuple[Listening, Listening]] = []  # as it was, as it will be
        self._opened: list[Listening] = []
        self._closing: list[Listening] = []
        self._closed_early: list[Listening] = []
        self._under_way: list[tuple[Listening, Listening]] = []  # of _kept, begun

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
            )
            if new.tls_options is not None
            and getattr(old.tls_options, content) != getattr(new.tls_options, content)
        ]

    @property
    def remounted(self) -> list[int]:
        """Numbers of the listeners that may have another mount point now."""
        kept = [new for old, new in self._kept if old.options.mount != new.options.mount]
        return [listening.number for listening in [*kept, *self._opened]]

    async def prepare(self, wanted: Iterable[Listening]) -> None:
        """Open what is new. Raises ConfigError; call :meth:`undo` then."""
        missing = dict(self._owner.by_name)
        new = []
        for listening in wanted:
            old = missing.get(listening.place.name)
            if old is not None and old.place.url == listening.place.url:
                del missing[listening.place.name]
                same = replace(listening, number=old.number, port=old.port, sock=old.sock)
                self._kept.append((old, replace(same, foreign=old.foreign)))
            else:
                new.append(listening)
        self._closing = list(missing.values())
        for listening in new:
            with _or_without(self._inherited):
                self._opened.append(await self._open(listening))

    async def _open(self, wanted: Listening) -> Listening:
        try:
            return await self._try_to_open(wanted)
        except ConfigError:
            if not self._make_room(wanted.place):
                raise
        return await self._try_to_open(wanted)

    async def _try_to_open(self, wanted: Listening) -> Listening:
        place = wanted.place
        if place.has_tls:
            return _listen(self._core, wanted, None)
        given = self._inherited.take(place)
        if given is not None:
            foreign = place.name not in self._inherited.ours
            listening = _listen(self._core, wanted, given)
            return replace(listening, foreign=foreign, inherited=True)
        leaving = self._inherited.leaving()
        for old in self._closing:
            if old.sock is not None and serves(old.sock, place):
                same = _listen(self._core, wanted, duplicate(old.sock, place))
                return replace(same, foreign=old.foreign)
            leaving += [] if old.sock is None else [old.sock]
        sock = await bind(place, leaving)
        try:
            return _listen(self._core, wanted, sock)
        except ConfigError:
            unlink_ipc(place)
            raise

    def _make_room(self, place: Place) -> bool:
        """Close listeners that go away and have that port; return whether any did.

        nng's sockets share a port with no other, not for a moment.
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
        """Put it in force. Raises CoreError only before anybody could notice; then undo."""
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

    def _clear(self, old: Listening) -> None:
        """Remove what is left of a listener that does not accept any more.

        Its clients leave with it, unless its name or its address lives on.
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

    def _follow(self, old: Listening, new: Listening) -> None:
        if old.options != new.options:
            self._core.set_listener(new.number, new.options)
        if old.tls_options != new.tls_options and new.tls is not None:
            self._core.set_tls(new.number, new.tls)

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

    async def _open_again(self, old: Listening) -> None:
        try:
            sock = None if old.place.has_tls else await bind(old.place)
            again = _listen(self._core, old, sock)
        except ConfigError as fault:
            log.error("%s", fault)
            return
        self._core.accept(again.number)
        kept = [o for o in self._owner.by_name.values() if o.place != old.place]
        self._owner.use([*kept, again])


class Listeners:
    """What is open now, by name."""

    def __init__(self, running: binding.Core) -> None:
        self.core = running
        self.by_name: dict[str, Listening] = {}
        self._names: dict[
            int, str
        ] = {}  # of those before too: who came through may ask yet

    def use(self, now: Iterable[Listening]) -> None:
        """Take these as the ones that are open."""
        self.by_name = {listening.place.name: listening for listening in now}
        self._names |= {open_.number: name for name, open_ in self.by_name.items()}
        for number in list(self._names)[:-MOST_NAMES]:
            del self._names[number]

    def follow(self, old: Listening, heir: Listening) -> None:
        """Have the connections that came through ``old`` follow its heir."""
        for number, name in self._names.items():
            if name == old.place.name:
                self._names[number] = heir.place.name

    def anonymous(self) -> set[int]:
        """Return the numbers of listeners, of before too, that let anybody in now."""
        return {number for number in self._names if self.allow_anonymous(number)}

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

        A connection of before a change follows the listener that has its name now.
        """
        open_ = self.by_name.get(self._names.get(number, ""))
        return open_ is not None and open_.allow_anonymous

    def stats(self) -> dict[str, ListenerStats]:
        """Return what each has done so far."""
        return {
            name: self.core.listener_stats(open_.number)
            for name, open_ in self.by_name.items()
        }

    async def prepare(
        self, config: Config, must_ask: MustAsk, inherited: Inherited | None = None
    ) -> Change:
        """Return the way to the listeners of that configuration, prepared.

        Raises   ConfigError, and nothing has changed
        """
        inherited = inherited or Inherited()
        wanted = await asyncio.to_thread(_wanted, config, must_ask, inherited)
        change = Change(self, inherited)
        try:
            await change.prepare(wanted)
        except BaseException:
            await change.undo()
            raise
        return change

    def give_sockets(self) -> list[tuple[str, socket.socket, bool]]:
        """Return name, socket and whether it is systemd's; they are the caller's then."""
        given = []
        for name, open_ in self.by_name.items():
            if open_.sock is not None:
                given.append((name, open_.sock, open_.foreign))
                self.by_name[name] = replace(open_, sock=None, foreign=True)
        return given

    def close(self) -> None:
        """Close our hold on the sockets, after the core has stopped."""
        for open_ in self.by_name.values():
            if open_.sock is not None:
                open_.sock.close()
            if not open_.foreign:
                unlink_ipc(open_.place)
        self.by_name.clear()
