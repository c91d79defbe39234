"""What a configuration says about who may come in, in the form that the logins need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nanomq_py.auth.acl import for_whom
from nanomq_py.auth.anonymous import Anonymous, Listens
from nanomq_py.auth.chain import Chain
from nanomq_py.auth.enhanced import Method
from nanomq_py.auth.password import Users
from nanomq_py.config import Config
from nanomq_py.config.keys.access import User
from nanomq_py.core.binding import Core
from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.records import Kick
from nanomq_py.listen.places import places_of


def methods_for(users: tuple[User, ...]) -> list[Method]:
    """Return the methods of enhanced authentication that these users can use."""
    if not users:
        return []
    # A broker without users does not import its library.
    from nanomq_py.auth.scram import Scram

    return [Scram(users)]


def chain_of(config: Config, listeners: Listens) -> Chain:
    """Return who decides about logins, in their order."""
    known = [Users(config.users)] if config.users else []
    return Chain([*known, Anonymous(listeners, names_count=names_count(config))])


def names_count(config: Config) -> bool:
    """Return whether a user name gives rights: then it counts only when it is proved."""
    return bool(config.users) or any(map(for_whom, config.acl_rules))


def must_ask(config: Config, allow_anonymous: bool) -> bool:
    """Return whether any client of such a listener could be refused."""
    return names_count(config) or not allow_anonymous


def kicks_of(old: Config, new: Config, shut: set[int]) -> list[Kick]:
    """Return whose connections end because they may not come in any more.

    shut  numbers of the listeners that no longer let clients in without a user name
    """
    before = {user.login: user.password for user in old.users}
    after = {user.login: user.password for user in new.users}
    gone = Kick(
        user_names=tuple(before.keys() - after.keys()),
        # names that nobody had to prove
        every_user=names_count(new) and not names_count(old),
        listeners=tuple(shut),
        with_names=not after,
        reason_code=ReasonCode.NOT_AUTHORIZED,
    )
    changed = Kick(
        user_names=tuple(n for n in before.keys() & after.keys() if before[n] != after[n]),
        wills=True,  # they may come back
        reason_code=ReasonCode.NOT_AUTHORIZED,
    )
    return [kick for kick in (gone, changed) if kick != replace(kick, **_NOBODY)]


def judge_those_before(core: Core, config: Config) -> None:
    """End what the configuration does not allow in restored sessions. Blocks.

    Raises   CoreError; a session that is left is judged when its client comes back
    """
    core.judge()
    kick = kick_of_before(config)
    if kick.others:
        core.kick_users(kick)


def kick_of_before(config: Config) -> Kick:
    """Return which clients of restored sessions may not come in any more."""
    nowhere = not any(place.allows_anonymous(config) for place in places_of(config))
    return Kick(
        user_names=tuple(user.login for user in config.users),
        others=names_count(config) or nowhere,
        listeners=(0,) if nowhere else (),
        reason_code=ReasonCode.NOT_AUTHORIZED,
    )


_NOBODY: dict[str, Any] = {"user_names": (), "every_user": False, "listeners": ()}
