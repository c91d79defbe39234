"""The key ``user``: a process that root started becomes that user, for good.

::

    root: reads the configuration ── binds and opens what the user could not ── drop() ── serves

It happens before there is a log, a pid file or a store, so these are that user's. Of root's
rights one may stay: to listen below port 1024, where the configuration does so. Without it
neither a reload nor nng, which binds TLS listeners itself, could. No program that the process
starts gets more rights (no_new_privs).

Threads  the main one, before there are others: rights are each thread's own

Source  capabilities(7), prctl(2)
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import socket
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from nanomq_py import kept
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.file import ConfFile
from nanomq_py.config.settings import settings_of
from nanomq_py.config.values.urls import ipc_path
from nanomq_py.listen.places import Place, places_of
from nanomq_py.listen.sockets import BACKLOG, bind_ipc
from nanomq_py.store.place import make_home_for, place_of

_WRITTEN = ("pid_file", "log.file")  # files that are not read
_PORTS = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_NET_BIND_SERVICE = 10
_SET_DUMPABLE, _SET_KEEPCAPS, _NO_NEW_PRIVS, _AMBIENT, _RAISE = 4, 8, 38, 47, 2
_VERSION_3 = 0x20080522  # of capset's header


def named_user(config: Config) -> pwd.struct_passwd | None:
    """Return the user that the configuration names. Raises ConfigError without such a one."""
    if config.user is None:
        return None
    try:
        return pwd.getpwnam(config.user)
    except KeyError:
        raise ConfigError(f"user={config.user}: expected a user of this machine") from None


def check_user(config: Config) -> pwd.struct_passwd | None:
    """Return whom this process is to become; None: nobody else than it is.

    Raises   ConfigError where there is no such user, or only root could become it
    """
    user = named_user(config)
    if user is None or user.pw_uid == os.geteuid():
        return None
    if os.geteuid() != 0:
        raise ConfigError(
            f"user={config.user}: expected the user that the broker runs as, or a start by"
            " root: nobody else can become another user"
        )
    return user


@contextlib.contextmanager
def acting_as(user: pwd.struct_passwd) -> Iterator[None]:
    """Have that user's rights to files for a moment. Only root can, without threads."""
    gid, groups = os.getegid(), os.getgroups()
    os.initgroups(user.pw_name, user.pw_gid)
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(gid)
        os.setgroups(groups)


def _may(path: str, mode: int) -> bool:
    return os.access(path, mode, effective_ids=True)


def hidden_files(
    config: Config, user: pwd.struct_passwd, others: Iterable[str]
) -> dict[str, str]:
    """Return the files that root can read and that user cannot: path, and key or path.

    others  files besides those that keys name
    """
    named = {
        setting.text: name
        for name, setting in settings_of(config).items()
        if name.endswith("file") and name not in _WRITTEN and setting.text
    }
    named |= {path: path for path in others}
    with acting_as(user):
        closed = {path: key for path, key in named.items() if not _may(path, os.R_OK)}
    return {path: key for path, key in closed.items() if os.path.isfile(path)}


def _check_program(user: pwd.struct_passwd) -> None:
    """Raise ConfigError where the user cannot read the broker: imports, restarts need it."""
    needed = {sys.executable: os.X_OK, os.__file__: os.R_OK, kept.__file__: os.R_OK}
    with acting_as(user):
        for path, mode in needed.items():
            if not _may(path, mode):
                raise ConfigError(
                    f"user={user.pw_name}: cannot read {path}: Python and nanomq-py must be"
                    " where that user can read them"
                )


def _low_ports(config: Config) -> bool:
    """Return whether the configuration listens where only root may."""
    try:
        first = int(_PORTS.read_text(encoding="ascii"))
    except (OSError, ValueError):
        first = 1024
    ports = [place.port for place in places_of(config)]
    if config.http_server.enable:
        ports.append(config.http_server.port)
    return any(0 < port < first for port in ports)


def _bound(config: Config, user: pwd.struct_passwd) -> Iterator[tuple[str, socket.socket]]:
    """Bind Unix sockets in folders where the user may not write; they are the user's then."""

    def is_closed(place: Place) -> bool:
        return not _may(os.path.dirname(ipc_path(place.url)) or ".", os.W_OK | os.X_OK)

    places = [place for place in places_of(config) if place.is_ipc]
    with acting_as(user):
        closed = list(filter(is_closed, places))
    for place in closed:
        path = ipc_path(place.url)
        try:
            sock = bind_ipc(path)
            os.chown(path, user.pw_uid, user.pw_gid)
        except OSError as fault:
            raise place.error(f"cannot listen: {fault.strerror}") from None
        sock.listen(BACKLOG)
        yield place.name, sock


def _make_run_folder(user: pwd.struct_passwd) -> None:
    """Make a folder for the pid file, where root's commands look for it too."""
    folder = f"/run/nanomq-{user.pw_uid}"
    with contextlib.suppress(OSError):  # the pid file has other places
        os.mkdir(folder, 0o700)
        os.chown(folder, user.pw_uid, user.pw_gid)


def _check_store(path: Path | None, user: pwd.struct_passwd) -> None:
    """Raise ConfigError for a store that the user cannot go on with: its bans must not end."""
    if path is None or not path.exists():
        return
    with acting_as(user):
        good = _may(str(path), os.R_OK | os.W_OK) and _may(
            str(path.parent), os.W_OK | os.X_OK
        )
    if not good:
        raise ConfigError(
            f"user={user.pw_name}: cannot write the store {path}, or in its folder: give them"
            " to that user, or name another place by store.path"
        )


def drop(file: ConfFile, others: Iterable[str]) -> list[tuple[str, socket.socket]]:
    """Become the user that the configuration names; return sockets bound before, by name.

    Without such a key, or as that user, nothing happens.

    others   files besides those that keys name, which will be read again
    Raises   ConfigError, and nothing has changed
    """
    config = file.reading.config
    user = check_user(config)
    if user is None:
        return []
    _check_program(user)
    store = place_of(config.store.path, file.path)
    _check_store(store, user)
    hidden = hidden_files(config, user, others)
    sockets = list(_bound(config, user))
    try:
        for path in hidden:
            kept.keep(path)
    except OSError as fault:
        raise ConfigError(f"{fault.filename}: cannot be read: {fault.strerror}") from None
    _make_run_folder(user)
    if store is not None:
        with contextlib.suppress(OSError):  # whoever needs it says why it is not there
            make_home_for(store, user)
    _become(user, low_ports=_low_ports(config), dumpable=config.core_dumps)
    os.environ.update(HOME=user.pw_dir, USER=user.pw_name, LOGNAME=user.pw_name)
    os.environ.pop("XDG_RUNTIME_DIR", None)  # root's
    return sockets


def _become(user: pwd.struct_passwd, *, low_ports: bool, dumpable: bool) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    libc.prctl(_SET_KEEPCAPS, low_ports, 0, 0, 0)
    os.initgroups(user.pw_name, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    bits = 1 << _NET_BIND_SERVICE if low_ports else 0
    if not _set_capabilities(libc, bits) and not _set_capabilities(libc, 0):
        raise OSError(ctypes.get_errno(), "capset")
    if bits:  # for the process after a restart
        libc.prctl(_AMBIENT, _RAISE, _NET_BIND_SERVICE, 0, 0)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_SET_DUMPABLE, dumpable, 0, 0, 0)
    with contextlib.suppress(PermissionError):
        os.setresuid(0, 0, 0)
        raise RuntimeError(f"user={user.pw_name}: the process could become root again")


def _set_capabilities(libc: ctypes.CDLL, bits: int) -> bool:
    """Have these, and leave them to programs; return whether that was granted."""
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(bits, bits, bits)  # effective, permitted, inheritable
    return bool(libc.capset(header, sets) == 0)
