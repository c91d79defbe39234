"""What the store has, in the form of EMQX 4's export, and what such an export says.

::

    blacklist    bans                         apps         apps of the HTTP API
    users        users of the HTTP API        auth_mnesia  users of MQTT
    acl_mnesia   access rules

A password is Base64 of its hash as this broker keeps it; the secret of an app is its hash.
EMQX's own hashes cannot be used here; its apps' secrets, which are no hashes, can.

Source  EMQX 4.4, emqx_mgmt_data_backup
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from nanomq_py.auth.hashing import read_hash
from nanomq_py.http.emqx.times import local_time
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.rest.parameters import converted
from nanomq_py.store.apps import checked_end
from nanomq_py.store.banned import Ban, BanKind, made_ban
from nanomq_py.store.limits import checked_hash, checked_login, checked_name, checked_note
from nanomq_py.store.moment import wall_s
from nanomq_py.store.paging import Rows
from nanomq_py.store.roles import Role
from nanomq_py.store.rules import AccessRule, Action, RuleKind, checked_rule
from nanomq_py.store.users import UserKind

if TYPE_CHECKING:
    from nanomq_py.broker import Broker

VERSION = "4.4"
MOST_ROWS = 10_000  # of each list
_PAGE = 1000

T = TypeVar("T")


class Banned(msgspec.Struct, frozen=True, kw_only=True):
    """``who`` is ``{"clientid": C}``, ``{"username": U}`` or ``{"peerhost": ADDRESS}``."""

    who: dict[Literal["clientid", "username", "peerhost"], str]
    by: str = ""
    reason: str = ""
    at: int
    until: int | Literal["infinity"] | None


class AppRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    secret: str
    name: str = ""
    desc: str = ""
    status: bool = True
    expired: int | str | None = None  # a text: EMQX's "undefined"


class UserRow(msgspec.Struct, frozen=True, kw_only=True):
    username: str
    password: str
    tags: Literal["administrator", "viewer"]


class AuthRow(msgspec.Struct, frozen=True, kw_only=True):
    """``is_superuser`` is this broker's."""

    login: str
    type: Literal["clientid", "username"]
    password: str
    created_at: int = 0
    is_superuser: bool = False


class AclRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Without ``type_value`` it is for everybody."""

    type: str
    type_value: str | None = None
    topic: str
    action: Literal["pub", "sub", "pubsub"]
    access: Literal["allow", "deny"]
    created_at: int = 0


class Export(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    rules: list[Any] = []
    resources: list[Any] = []
    blacklist: list[Banned] = []
    apps: list[AppRow] = []
    users: list[UserRow] = []
    auth_mnesia: list[AuthRow] = []
    acl_mnesia: list[AclRow] = []
    date: str = ""


LISTS = ("blacklist", "apps", "users", "auth_mnesia", "acl_mnesia")
_WHO = {
    BanKind.CLIENT_ID: "clientid",
    BanKind.USER_NAME: "username",
    BanKind.ADDRESS: "peerhost",
}
_BAN_KINDS = {name: kind for kind, name in _WHO.items()}
_ACTIONS = {"pub": Action.PUBLISH, "sub": Action.SUBSCRIBE, "pubsub": Action.PUBSUB}
_ACTION_NAMES = {action: name for name, action in _ACTIONS.items()}


# --- export


async def _all(what: str, ask: Callable[[int], Awaitable[Rows[T]]]) -> AsyncIterator[T]:
    """Yield the rows of what ``ask`` returns for an offset. Raises BadParameter: too many."""
    offset = 0
    while True:
        rows = await ask(offset)
        if rows.total > MOST_ROWS:
            raise BadParameter(
                f"{rows.total} {what}: {MOST_ROWS} can be exported: nanomq store backup"
                " takes all"
            )
        for row in rows.rows:
            yield row
        offset += len(rows.rows)
        if not rows.rows or offset >= rows.total:
            return


def _ban_row(ban: Ban) -> Banned:
    who = ban.who.removesuffix("/32" if "." in ban.who else "/128")
    return Banned(
        who={_WHO[ban.kind]: who},  # type: ignore[dict-item] # they are the three
        by=ban.made_by,
        reason=ban.reason,
        at=int(ban.since),
        until="infinity" if ban.until is None else int(ban.until),
    )


def _acl_row(rule: AccessRule) -> AclRow:
    names = {RuleKind.CLIENT_ID: "clientid", RuleKind.USER_NAME: "username"}
    return AclRow(
        type=names.get(rule.kind, "all"),
        type_value=rule.who or None,
        topic=rule.topic,
        action=_ACTION_NAMES[rule.action],  # type: ignore[arg-type] # of the three
        access="allow" if rule.allow else "deny",
        created_at=int(rule.made_at * 1000),
    )


async def exported(broker: Broker) -> Export:
    """Return what the store has. Raises BadParameter for too much, StoreError."""
    bans = _all("bans", lambda at: broker.ban_rows(offset=at, limit=_PAGE))
    auth = []
    for by_client_id in (False, True):

        def ask(at: int, by_client_id: bool = by_client_id) -> Awaitable[Rows[Any]]:
            return broker.user_rows(by_client_id=by_client_id, offset=at, limit=_PAGE)

        async for user in _all("users", ask):
            auth.append(
                AuthRow(
                    login=user.name,
                    type="clientid" if by_client_id else "username",
                    password=base64.b64encode(user.hash.encode()).decode(),
                    created_at=int(user.created_at * 1000),
                    is_superuser=user.is_superuser,
                )
            )
    acl: list[AclRow] = []
    for kind in RuleKind:

        def rules(at: int, kind: RuleKind = kind) -> Awaitable[Rows[AccessRule]]:
            return broker.rules(kind, offset=at, limit=_PAGE)

        acl += [_acl_row(rule) async for rule in _all("access rules", rules)]
    return Export(
        version=VERSION,
        blacklist=[_ban_row(ban) async for ban in bans],
        apps=[
            AppRow(
                id=app.app_id,
                secret=app.hash,
                name=app.name,
                desc=app.description,
                status=app.enabled,
                expired=None if app.expires_at is None else int(app.expires_at),
            )
            for app in await broker.api_accounts.apps(limit=MOST_ROWS)
        ],
        users=[
            UserRow(
                username=user.name,
                password=base64.b64encode(user.hash.encode()).decode(),
                tags=user.role.value,
            )
            for user in await broker.api_accounts.users(limit=MOST_ROWS)
        ],
        auth_mnesia=auth,
        acl_mnesia=acl,
        date=local_time(),
    )


# --- import


@dataclass(frozen=True)
class NewApp:
    """An app to keep; ``is_hash``: the secret is the hash of it."""

    row: AppRow
    is_hash: bool
    expires_at: float | None


@dataclass(frozen=True)
class NewUser:
    name: str
    hash: str
    role: Role


@dataclass(frozen=True)
class NewLogin:
    kind: UserKind
    name: str
    hash: str
    is_superuser: bool


@dataclass(frozen=True)
class Import:
    """What an export says, checked: all of it can be kept.

    left_out   names of what it has besides, which this broker has no place for
    """

    bans: Sequence[Ban]
    apps: Sequence[NewApp]
    users: Sequence[NewUser]
    logins: Sequence[NewLogin]
    rules: Sequence[AccessRule]
    left_out: Sequence[str]


@contextmanager
def _at(name: str, number: int) -> Iterator[None]:
    """Name the row of a ValueError."""
    try:
        yield
    except ValueError as fault:
        raise BadParameter(f"{name}[{number}]: {fault}") from None


def _hash(password: str) -> str:
    """Return the hash in a password of an export. Raises ValueError."""
    try:
        text = base64.b64decode(password, validate=True).decode("ascii")
        read_hash(checked_hash(text))
    except ValueError:
        raise ValueError(
            "password: expected Base64 of a hash that this broker keeps, such as"
            " $scrypt$...: EMQX's own hashes cannot be used here"
        ) from None
    return text


def _new_ban(row: Banned) -> Ban | None:
    """Return it; None: its time is over."""
    if len(row.who) != 1:
        raise ValueError("who: expected one of clientid, username and peerhost")
    ((kind, who),) = row.who.items()
    until = None if row.until in (None, "infinity") else float(row.until)
    if until is not None and until <= wall_s():
        return None
    return made_ban(_BAN_KINDS[kind], who, until, row.by, row.reason, since=float(row.at))


def _new_app(row: AppRow) -> NewApp:
    checked_login("id", row.id)
    checked_note("name", row.name)
    checked_note("desc", row.desc)
    is_hash = row.secret.startswith("$")
    if is_hash:
        read_hash(checked_hash(row.secret))
    elif not 0 < len(row.secret.encode()) <= 1024:
        raise ValueError("secret: expected 1 to 1024 bytes")
    expired = None if isinstance(row.expired, str) else row.expired
    return NewApp(row, is_hash, checked_end(expired))


def _new_user(row: UserRow) -> NewUser:
    return NewUser(
        checked_login("username", row.username), _hash(row.password), Role(row.tags)
    )


def _new_login(row: AuthRow) -> NewLogin:
    kind = UserKind.CLIENT_ID if row.type == "clientid" else UserKind.USER_NAME
    return NewLogin(
        kind, checked_name("login", row.login), _hash(row.password), row.is_superuser
    )


def _new_rule(row: AclRow) -> AccessRule:
    if row.type_value is not None and row.type not in ("clientid", "username"):
        raise ValueError("type: expected clientid or username")
    return checked_rule(
        AccessRule(
            topic=row.topic,
            action=_ACTIONS[row.action],
            allow=row.access == "allow",
            client_id=row.type_value if row.type == "clientid" else None,
            user_name=row.type_value if row.type == "username" else None,
        )
    )


def _checked(name: str, rows: Sequence[T], make: Callable[[T], Any]) -> list[Any]:
    if len(rows) > MOST_ROWS:
        raise BadParameter(f"{name}: {len(rows)} rows: expected {MOST_ROWS} at most")
    made = []
    for number, row in enumerate(rows):
        with _at(name, number):
            made.append(make(row))
    return [each for each in made if each is not None]


def understood(said: dict[str, Any]) -> Import:
    """Return what an export says. Takes its time. Raises BadParameter, MissingParameter."""
    export = converted(said, Export)
    if not export.version.startswith("4."):
        raise BadParameter(
            f"version: {export.version[:64]!r}: expected an export of EMQX 4"
        )
    known = {*LISTS, "version", "date"}
    return Import(
        bans=_checked("blacklist", export.blacklist, _new_ban),
        apps=_checked("apps", export.apps, _new_app),
        users=_checked("users", export.users, _new_user),
        logins=_checked("auth_mnesia", export.auth_mnesia, _new_login),
        # The newest stand first in an export, and are kept last.
        rules=_checked("acl_mnesia", export.acl_mnesia, _new_rule)[::-1],
        left_out=[name for name, value in said.items() if value and name not in known],
    )
