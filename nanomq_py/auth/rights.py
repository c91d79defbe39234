"""Whose rights end when a configuration follows another one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nanomq_py.auth.enhanced import Method
from nanomq_py.auth.roster import accounts_before, in_use, names_count
from nanomq_py.config import Config
from nanomq_py.config.keys.access import User
from nanomq_py.core.binding import Core
from nanomq_py.core.declared import ReasonCode
from nanomq_py.core.records import Kick
from nanomq_py.listen.places import places_of


def scram_users(config: Config) -> tuple[User, ...]:
    """Return the users that can use SCRAM: those whose password the broker knows."""
    return config.users if "users" in in_use(config) else ()


def methods_for(users: tuple[User, ...]) -> list[Method]:
    """Return the methods of enhanced authentication that these users can use."""
    if not users:
        return []
    # A broker without users does not import its library.
    from nanomq_py.auth.scram import Scram

    return [Scram(users)]


@dataclass(frozen=True)
class Rights:
    """What a configuration says of users.

    accounts     those that are listed, by name, with what makes them log in again
    superusers   for whom no access rule counts
    names_count  a user name gives rights
    foreign      members of the chain that know clients without those accounts
    """

    accounts: Mapping[str, str] = field(default_factory=dict, repr=False)
    superusers: frozenset[str] = frozenset()
    names_count: bool = False
    foreign: frozenset[str] = frozenset()


def kicks_of(old: Rights, new: Rights, shut: Iterable[int]) -> list[Kick]:
    """Return whose connections end because they may not come in any more, or as they did.

    shut  numbers of the listeners that no longer let clients in without a user name
    """
    before, after = old.accounts, new.accounts
    gone = Kick(
        user_names=tuple(before.keys() - after.keys()),
        # names that nobody had to prove
        every_user=new.names_count and not old.names_count,
        listeners=tuple(shut),
        with_names=not after,
        reason_code=ReasonCode.NOT_AUTHORIZED,
    )
    changed = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    again = Kick(
        user_names=tuple(changed),
        wills=True,  # they may come back
        reason_code=ReasonCode.NOT_AUTHORIZED,
    )
    # Whoever has proved the name: a superuser may be one by its token.
    demoted = Kick(
        user_names=tuple(old.superusers - new.superusers),
        foreign=True,
        every_foreign=bool(old.foreign - new.foreign),
        wills=True,
        reason_code=ReasonCode.NOT_AUTHORIZED,
    )
    kicks = (gone, again, demoted)
    return [kick for kick in kicks if kick != replace(kick, **_NOBODY)]


def judge_those_before(core: Core, config: Config) -> None:
    """End what the configuration does not allow in restored sessions. Blocks.

    Raises   CoreError; a session that is left is judged when its client comes back.
             ConfigError, and then it cannot be started with
    """
    core.judge()
    kick = kick_of_before(config)
    if kick.other_names:
        core.kick_users(kick)


def kick_of_before(config: Config) -> Kick:
    """Return which clients of restored sessions may not come in any more.

    Raises   ConfigError
    """
    names = in_use(config)
    nowhere = "anonymous" not in names or not any(
        place.allows_anonymous(config) for place in places_of(config)
    )
    return Kick(
        user_names=tuple(accounts_before(config)),
        # a token may name anybody
        other_names=(names_count(config) or nowhere) and "jwt" not in names,
        listeners=(0,) if nowhere else (),
        reason_code=ReasonCode.NOT_AUTHORIZED,
    )


_NOBODY: dict[str, Any] = {
    "user_names": (),
    "every_user": False,
    "listeners": (),
    "every_foreign": False,
}
