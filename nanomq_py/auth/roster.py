"""Who is asked about logins, as a configuration says: the members of the chain.

::

    configuration ──in_use──> names in order ──roster_of──> authenticators ──> Chain

A member is one line of ``MEMBERS``; a program adds more, which ``auth.chain`` calls
``plugin:NAME``.

Threads  a roster is made in a thread that may block; nobody changes it after that
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nanomq_py.auth.acl import for_whom
from nanomq_py.auth.anonymous import Anonymous, Listens
from nanomq_py.auth.chain import Authenticator, Chain
from nanomq_py.auth.password import FileUsers, Strangers, Users
from nanomq_py.auth.password_file import read_users
from nanomq_py.auth.verifier import Verifier
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.keys import access
from nanomq_py.listen.places import places_of


@dataclass(frozen=True)
class Tools:
    """What authenticators are made with.

    tokens       decides about clients with a token
    stored       makes the authenticator of the users in the store
    http         is asked where the configuration says so
    names_count  a user name gives rights
    slow         wrong logins take the time of a hash, which this makes; None: there is none
    """

    listeners: Listens
    verifier: Verifier
    tokens: Authenticator
    stored: Callable[[Verifier], Authenticator]
    http: Authenticator
    names_count: bool = False
    slow: Verifier | None = None


@dataclass(frozen=True)
class Member:
    """One member of the chain.

    is_used   whether the configuration has something for it
    needs     what is missing where it has not
    made_of   what it is made of, besides the tools: while that stays equal, so does the
              authenticator. It may block and raise ConfigError
    make      makes the authenticator of that; None: the core decides without one
    hashes    it keeps stored hashes
    """

    is_used: Callable[[Config], bool]
    needs: str
    made_of: Callable[[Config], Any] = lambda config: None
    make: Callable[[Any, Tools], Authenticator] | None = None
    hashes: bool = False


def _file_users(config: Config) -> Mapping[str, str]:
    path = config.auth.password_file
    called = config.said.called("auth.password_file")
    return {} if path is None else read_users(Path(path), called)


# Those of config.keys.access.MEMBERS, in the same order.
MEMBERS: Mapping[str, Member] = {
    "jwt": Member(
        lambda config: config.auth_jwt.enable,
        "auth.jwt.enable",
        make=lambda _, tools: tools.tokens,
    ),
    "users": Member(
        lambda config: bool(config.users) or "users" in config.auth.chain,
        "auth.N.login and auth.N.password",
        lambda config: config.users,
        lambda users, tools: Users(users, tools.slow),
    ),
    "file": Member(
        lambda config: config.auth.password_file is not None,
        "auth.password_file",
        _file_users,
        lambda users, tools: FileUsers(users, tools.verifier),
        hashes=True,
    ),
    "database": Member(
        lambda config: "database" in config.auth.chain,
        "the store",
        make=lambda _, tools: tools.stored(tools.verifier),
        hashes=True,
    ),
    "http": Member(
        lambda config: config.auth_http.asks_logins,
        "auth.http.enable and auth.http.auth_req.url",
        make=lambda _, tools: tools.http,
    ),
    "certificate": Member(
        lambda config: any(
            place.has_tls and place.settings.names_from is not None
            for place in places_of(config)
        ),
        "a TLS listener with username_from",
    ),
    "anonymous": Member(
        lambda config: True,
        "",
        make=lambda _, tools: Anonymous(tools.listeners, names_count=tools.names_count),
    ),
}


def in_use(config: Config, added: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the members of the chain, in order.

    added  names of authenticators that a program has added
    """
    *usual, last = access.MEMBERS
    order = config.auth.chain or (*usual, *(access.PLUGIN + name for name in added), last)
    return tuple(
        name
        for name in order
        if name.startswith(access.PLUGIN) or MEMBERS[name].is_used(config)
    )


def check_chain(config: Config, added: Iterable[str] | None = None) -> None:
    """Refuse a chain with a member that is not there.

    added   as for :func:`in_use`; None: it is not known yet
    Raises  ConfigError
    """
    key = config.said.called("auth.chain")
    for name in config.auth.chain:
        plugin = name.removeprefix(access.PLUGIN)
        if plugin != name:
            if added is not None and plugin not in added:
                there = ", ".join(sorted(added)) or "none"
                raise ConfigError(f"{key}: {name}: nobody has added it; there is {there}")
        elif not MEMBERS[name].is_used(config):
            raise ConfigError(f"{key}: {name}: expected {MEMBERS[name].needs}")


def proves_names(config: Config, added: Iterable[str] = ()) -> bool:
    """Return whether a client can prove a user name."""
    return in_use(config, added) not in ((), ("anonymous",))


def names_count(config: Config, added: Iterable[str] = ()) -> bool:
    """Return whether a user name gives rights: then it counts only when it is proved."""
    return (
        bool(set(in_use(config, added)) - {"anonymous", "certificate"})
        or bool(config.auth.superusers)
        or config.acl_file is not None
        or any(map(for_whom, config.acl_rules))
    )


def must_ask(config: Config, allow_anonymous: bool, added: Iterable[str] = ()) -> bool:
    """Return whether any client of such a listener could be refused."""
    return (
        names_count(config, added)
        or not allow_anonymous
        or "anonymous" not in in_use(config, added)
    )


@dataclass(frozen=True)
class Roster:
    """The members of a chain, made.

    made         of each, by name: what it is made of, its tools, and the authenticator
    slow         see Tools
    """

    made: Mapping[str, tuple[Any, Tools, Authenticator]] = field(default_factory=dict)
    slow: Verifier | None = None

    @property
    def chain(self) -> Chain:
        last = [] if self.slow is None else [Strangers(self.slow)]
        return Chain([*(made[2] for made in self.made.values()), *last])

    @property
    def file_users(self) -> Mapping[str, str]:
        """The stored hash of each user of the password file, by name."""
        users: Mapping[str, str] = self.made["file"][0] if "file" in self.made else {}
        return users

    @property
    def decoys(self) -> tuple[Sequence[str], ...]:
        """Stored hashes that stand in for those of users that there are not.

        Those of the store follow its users.
        """
        stored = self.made["database"][2] if "database" in self.made else None
        return (tuple(self.file_users.values()), getattr(stored, "decoys", ()))

    @property
    def foreign(self) -> frozenset[str]:
        """Members that know clients without the accounts."""
        return frozenset(self.made) - {"users", "file", "anonymous"}

    @property
    def accounts(self) -> dict[str, str]:
        """Listed users by name: with another text they have to log in again."""
        users = self.made["users"][0] if "users" in self.made else ()
        return accounts_of(self.file_users, users)


def accounts_of(
    file_users: Mapping[str, str], users: Iterable[access.User]
) -> dict[str, str]:
    return {**file_users, **{user.login: user.password for user in users}}


def accounts_before(config: Config) -> dict[str, str]:
    """Return the accounts of a configuration whose roster is not made yet. Blocks.

    Raises   ConfigError
    """
    names = in_use(config)
    return accounts_of(
        _file_users(config) if "file" in names else {},
        config.users if "users" in names else (),
    )


def roster_of(
    config: Config, tools: Tools, added: Mapping[str, Authenticator], before: Roster
) -> Roster:
    """Return the members of that configuration's chain. Blocks.

    added    authenticators of a program, by name
    before   those in force: what has not changed is taken from there
    Raises   ConfigError
    """
    check_chain(config, added)
    names = in_use(config, added)
    has_hashes = any(name in MEMBERS and MEMBERS[name].hashes for name in names)
    slow = tools.verifier if has_hashes else None
    tools = replace(tools, names_count=names_count(config, added), slow=slow)
    made: dict[str, tuple[Any, Tools, Authenticator]] = {}
    for name in names:
        member = MEMBERS.get(name)
        old = before.made.get(name)
        if member is None:
            made[name] = (None, tools, added[name.removeprefix(access.PLUGIN)])
        elif member.make is not None:
            of = member.made_of(config)
            same = old is not None and old[:2] == (of, tools)
            made[name] = old if same and old else (of, tools, member.make(of, tools))
    return Roster(made, slow)
