"""``nanomq user``: the users of the HTTP API, in the store of a broker that runs or not.

A broker that runs reads a user again when what it knows is half a second old: the change counts
for its next request.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nanomq_py.cli.common import conf_file, say
from nanomq_py.cli.passwords import add_password_options, is_given, password_of
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.keys.http_server import DEFAULT_HTTP_PASSWORD
from nanomq_py.store.faults import StoreError
from nanomq_py.store.place import make_home_for, place_of
from nanomq_py.store.roles import Role

if TYPE_CHECKING:
    from nanomq_py.store.api_users import ApiUserTable

NO_SUCH = "{}: there is no such user"

# Takes its arguments, and what it asked for before the store is opened.
Act = Callable[["ApiUserTable", argparse.Namespace, str | None], Awaitable[None]]


def add_user_commands(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments, and what acts on them."""
    commands = parser.add_subparsers(dest="user_command", required=True)
    acts: tuple[tuple[str, Act, str], ...] = (
        ("add", _add, "add a user, and make the store if there is none"),
        ("change", _change, "give a user what is named, or else another password"),
        ("delete", _delete, "take a user out"),
        ("list", _list, "print name, role, email and description of each user"),
    )
    roles = [role.value for role in Role]
    for name, act, does in acts:
        command = commands.add_parser(name, help=does)
        if name != "list":
            command.add_argument("name")
        if name in ("add", "change"):
            default = Role.ADMINISTRATOR.value if name == "add" else None
            command.add_argument("--role", choices=roles, default=default)
            command.add_argument("--email")
            command.add_argument("--description")
            add_password_options(command)
        command.add_argument("--conf", type=Path, help="the nanomq.conf of the broker")
        command.set_defaults(act=lambda args, act=act: _run(act, args))


def _default_counts(config: Config) -> bool:
    """Return whether the default password counts where there is no administrator."""
    http = config.http_server
    is_default = http.password == DEFAULT_HTTP_PASSWORD
    return http.enable and http.auth_type == "basic" and is_default


def _needs_password(args: argparse.Namespace) -> bool:
    if args.user_command == "add":
        return True
    if args.user_command != "change":
        return False
    others = (args.role, args.email, args.description)
    return is_given(args) or all(each is None for each in others)


def _hash(args: argparse.Namespace) -> str | None:
    """Return the hash of the password that is asked for; None: the command needs none."""
    if not _needs_password(args):
        return None
    from nanomq_py.auth.api_accounts import MOST_API_PASSWORD_BYTES
    from nanomq_py.auth.hashing import hashed  # few runs need it

    return hashed(password_of(args, twice=True, most=MOST_API_PASSWORD_BYTES))


def _run(act: Act, args: argparse.Namespace) -> int:
    """Return the exit code: 1 where the store cannot be used. Raises ConfigError."""
    from nanomq_py.run.privileges import acting_as, check_user  # with ctypes

    file = conf_file(args.conf, args.brought)
    config = file.reading.config
    path = place_of(config.store.path, file.path)
    if path is None:
        raise ConfigError("expected --conf, or the key store.path")
    user = check_user(config)  # the file is to be the broker's
    args.keep_one = _default_counts(config)
    hash = _hash(args)
    try:
        if act is _add and user is not None:
            with contextlib.suppress(OSError):  # the store says why it is not there
                make_home_for(path, user)  # root can
        with acting_as(user) if user is not None else contextlib.nullcontext():
            if act is _add or path.exists():
                asyncio.run(_acted(act, path, args, hash))
            elif act is not _list:
                raise ConfigError(NO_SUCH.format(args.name))
    except StoreError as fault:
        say(f"nanomq: {fault}", to=sys.stderr)
        return 1
    except ValueError as fault:
        raise ConfigError(str(fault)) from None
    return 0


async def _acted(act: Act, path: Path, args: argparse.Namespace, hash: str | None) -> None:
    from nanomq_py.store.api_users import ApiUserTable  # other commands do not need SQLite
    from nanomq_py.store.store import Store

    store = Store(path, beside=True)
    try:
        await act(ApiUserTable(store), args, hash)
    finally:
        await store.close()


async def _add(table: ApiUserTable, args: argparse.Namespace, hash: str | None) -> None:
    assert hash is not None
    is_first = not await table.has_administrator()
    role = Role(args.role)
    await table.create(
        args.name,
        hash,
        role,
        email=args.email or "",
        description=args.description or "",
    )
    if is_first and role is Role.ADMINISTRATOR and args.keep_one:
        say(
            "http_server.password is the default one, and counts no more; the HTTP API goes on"
            " listening on 127.0.0.1 unless http_server.host says where"
        )


async def _change(table: ApiUserTable, args: argparse.Namespace, hash: str | None) -> None:
    done = await table.update(
        args.name,
        hash=hash,
        role=None if args.role is None else Role(args.role),
        email=args.email,
        description=args.description,
        keep_one=args.keep_one,
    )
    if not done:
        raise ConfigError(NO_SUCH.format(args.name))


async def _delete(table: ApiUserTable, args: argparse.Namespace, hash: str | None) -> None:
    if not await table.delete(args.name, keep_one=args.keep_one):
        raise ConfigError(NO_SUCH.format(args.name))


async def _list(table: ApiUserTable, args: argparse.Namespace, hash: str | None) -> None:
    users = await table.page(limit=10_000)
    for user in users:
        say(f"{user.name} {user.role.value} {user.email} {user.description}".rstrip())
