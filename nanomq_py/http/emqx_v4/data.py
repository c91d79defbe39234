"""Export and import of what the store has, by EMQX's ``data`` paths.

Exports are files in a folder beside the store, for the broker's user alone: hashes of passwords
are in them.

Source  EMQX 4.4, emqx_mgmt_api_data
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from nanomq_py.config.file import write_new
from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.times import local_time
from nanomq_py.http.emqx_v4.stored import store_faults
from nanomq_py.http.emqx_v4.words import Refused
from nanomq_py.http.errors import BadParameter, NotJson
from nanomq_py.http.rest.endpoint import Call, Endpoint, Plain, Whole
from nanomq_py.http.rest.parameters import Nothing
from nanomq_py.store.limits import MOST_LOGINS
from nanomq_py.store.place import place_of
from nanomq_py.store.roles import Role
from nanomq_py.store.users import UserKind

if TYPE_CHECKING:
    from nanomq_py.http.emqx_v4.backup import Import

MOST_FILES = 100
MOST_BYTES = 64 << 20  # of a file that is imported
AT_ONCE = 64  # rows before others get the loop
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}\.json")


class File(msgspec.Struct, frozen=True):
    filename: str
    size: int
    created_at: str
    node: str


class Content(Whole, frozen=True):
    filename: str
    file: str
    code: int


class Upload(msgspec.Struct, frozen=True):
    """``file`` is the text of an export; without a name it gets one."""

    file: str
    filename: str | None = None


class Where(msgspec.Struct, frozen=True):
    node: str


class Imported(msgspec.Struct, frozen=True):
    """How much was imported of each list, and the lists that this broker has no place for."""

    imported: dict[str, int]
    left_out: list[str]


@contextmanager
def _faults() -> Iterator[None]:
    """Raise what the store and the system say as errors of v4."""
    try:
        with store_faults():
            yield
    except OSError as fault:
        message = f"the folder of exports: {fault.strerror}"
        raise Refused(Code.UNKNOWN_MISTAKE, message, 500) from None


def _folder(api: Api) -> Path:
    """Return where exports are. Raises Refused where the store has no place either."""
    configurator = api.configurator
    place = place_of(configurator.config.store.path, configurator.path)
    if place is None:
        message = "the store is in memory: there is no folder for exports"
        raise Refused(Code.UNKNOWN_MISTAKE, message, 501)
    return place.with_name(f"{place.stem}-exports")


def _path(api: Api, name: str) -> Path:
    """Return the file of that name. Raises BadParameter."""
    if _NAME.fullmatch(name) is None:
        raise BadParameter(
            f"filename: {name[:64]!r}: expected letters, digits, '.', '_' and '-', and .json"
        )
    return _folder(api) / name


def _new_name() -> str:
    return time.strftime("emqx-export-%Y-%m-%d-%H-%M-%S.json")


def _write(path: Path, data: bytes) -> None:
    """Write a file, in place of one of that name. Raises OSError, BadParameter."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    others = [each for each in path.parent.glob("*.json") if each != path]
    if len(others) >= MOST_FILES:
        raise BadParameter(f"{MOST_FILES} exports are there: delete some")
    write_new(path, data, 0o600)


def _told(api: Api, path: Path) -> File:
    about = path.stat()
    at = local_time(round(about.st_mtime * 1000))
    return File(path.name, about.st_size, at, api.node)


async def export(api: Api, call: Plain) -> File:
    from nanomq_py.http.emqx_v4.backup import exported  # loaded by the first one

    path = _path(api, _new_name())
    with _faults():
        made = await exported(api.broker)
        data = await asyncio.to_thread(msgspec.json.encode, made)
        await asyncio.to_thread(_write, path, data)
        return await asyncio.to_thread(_told, api, path)


async def list_exported(api: Api, call: Plain) -> list[File]:
    def files() -> list[File]:
        found = sorted(_folder(api).glob("*.json"), key=lambda each: each.stat().st_mtime)
        return [_told(api, each) for each in found[: 2 * MOST_FILES]]

    with _faults():
        return await asyncio.to_thread(files)


def _read(path: Path) -> bytes:
    """Return a file. Raises Refused where there is none, and for one that is too large."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        message = f"there is no file {path.name!r}"
        raise Refused(Code.REQ_PARAM_ERROR, message, 404) from None
    if len(data) > MOST_BYTES:
        raise BadParameter(f"{path.name}: larger than {MOST_BYTES >> 20} MiB")
    return data


async def download(api: Api, call: Plain) -> Content:
    path = _path(api, call.path["filename"])
    with _faults():
        data = await asyncio.to_thread(_read, path)
    return Content(path.name, data.decode(errors="replace"), 0)


async def upload(api: Api, call: Call[Nothing, Upload]) -> Where:
    path = _path(api, call.body.filename or _new_name())
    with _faults():
        await asyncio.to_thread(_write, path, call.body.file.encode())
    return Where(api.node)


async def delete(api: Api, call: Plain) -> None:
    path = _path(api, call.path["filename"])
    with _faults():
        try:
            await asyncio.to_thread(path.unlink)
        except FileNotFoundError:
            message = f"there is no file {path.name!r}"
            raise Refused(Code.REQ_PARAM_ERROR, message, 404) from None


# --- import


def _understood(said: dict[str, Any]) -> Import:
    from nanomq_py.http.emqx_v4.backup import understood  # loaded by the first one

    return understood(said)


def _from_file(path: Path) -> Import:
    try:
        said = msgspec.json.decode(_read(path))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
        raise NotJson(f"{path.name}: expected JSON: {fault}") from None
    if not isinstance(said, dict):
        raise BadParameter(f"{path.name}: expected an object")
    return _understood(said)


async def _check_names(api: Api, new: Import) -> None:
    """Raise BadParameter for what the HTTP API's logins that there are do not allow."""
    accounts = api.broker.api_accounts
    users = {user.name: user.role for user in await accounts.users()}
    apps = {app.app_id for app in await accounts.apps()}
    users |= {user.name: user.role for user in new.users}
    apps |= {app.row.id for app in new.apps}
    if max(len(users), len(apps)) > MOST_LOGINS:
        raise BadParameter(f"more than {MOST_LOGINS} users, or apps: delete some")
    for name in sorted(users.keys() & apps):
        raise BadParameter(f"{name!r}: a user and an app cannot have one name")
    if users and Role.ADMINISTRATOR not in users.values() and accounts.needs_administrator:
        raise BadParameter("users: no administrator would be left")


async def _keep(api: Api, new: Import, who: str) -> None:
    """Keep all of it, one after the other."""
    broker, accounts = api.broker, api.broker.api_accounts
    await broker.put_rules(*new.rules, made_by=who)
    # Administrators come first: there is one at any moment.
    for user in sorted(new.users, key=lambda each: each.role is not Role.ADMINISTRATOR):
        await accounts.keep_user(user.name, user.hash, user.role, who=who)
    for app in new.apps:
        await accounts.keep_app(
            app.row.id,
            app.row.secret,
            who=who,
            name=app.row.name,
            description=app.row.desc,
            enabled=app.row.status,
            expires_at=app.expires_at,
            is_hash=app.is_hash,
        )
    for number, login in enumerate(new.logins):
        by_client_id = login.kind is UserKind.CLIENT_ID
        await broker.put_user(
            login.name,
            hash=login.hash,
            by_client_id=by_client_id,
            is_superuser=login.is_superuser,
            made_by=who,
        )
        if number % AT_ONCE == 0:
            await asyncio.sleep(0)
    for ban in new.bans:
        name = {0: "client_id", 1: "user_name", 2: "address"}[int(ban.kind)]
        await broker.ban(
            **{name: ban.who},
            until=ban.until,
            since=ban.since,
            made_by=ban.made_by,
            reason=ban.reason,
        )


async def import_data(api: Api, call: Call[Nothing, dict[str, Any]]) -> Imported:
    """Import a file of that name, or what the body has; nothing, if a part cannot be kept."""
    said = call.body
    if "filename" in said:
        name, node = said["filename"], said.get("node")
        if not isinstance(name, str):
            raise BadParameter("filename: expected a text")
        if node is not None:
            api.check_node(str(node))
        path = _path(api, name)
        with _faults():
            new = await asyncio.to_thread(_from_file, path)
    else:
        new = await asyncio.to_thread(_understood, said)
    with _faults():
        await _check_names(api, new)
        await _keep(api, new, call.who)
    counts = {
        "blacklist": len(new.bans),
        "apps": len(new.apps),
        "users": len(new.users),
        "auth_mnesia": len(new.logins),
        "acl_mnesia": len(new.rules),
    }
    return Imported(counts, list(new.left_out))


ENDPOINTS = [
    Endpoint(method="POST", path="/data/export", act=export, summary="Export the store."),
    Endpoint(
        method="GET", path="/data/export", act=list_exported, summary="All exported files."
    ),
    Endpoint(
        method="POST",
        path="/data/import",
        act=import_data,
        summary="Import a file, or the export in the body: all of it, or nothing.",
    ),
    Endpoint(
        method="GET",
        path="/data/file/{filename}",
        act=download,
        summary="The text of an exported file. Hashes are in it: viewers do not get it.",
        changes=True,
    ),
    Endpoint(method="POST", path="/data/file", act=upload, summary="Add a file to import."),
    Endpoint(
        method="DELETE",
        path="/data/file/{filename}",
        act=delete,
        summary="Delete an exported file.",
    ),
]
