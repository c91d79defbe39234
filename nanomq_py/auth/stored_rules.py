"""The access rules of the store, in the core's form, and what changes them.

::

    put, delete ──> the store ──> the rules of whom they are for ──> Access, which joins all

What was made of the rules of one client is kept, so a change makes those of its own client
anew; all are copied to one array, and the core makes its index of that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path

from nanomq_py.auth.named_rule import NamedRule
from nanomq_py.config.values.texts import in_words, shown
from nanomq_py.core.records import Rule, RuleTopic
from nanomq_py.core.rules import Packed
from nanomq_py.core.settling import Settling
from nanomq_py.store.backup import rules_of
from nanomq_py.store.paging import Rows
from nanomq_py.store.rules import AccessRule, Action, RuleFilter, RuleKind, RuleTable
from nanomq_py.store.store import Store

log = logging.getLogger("nanomq")
audit = logging.getLogger("nanomq.audit")

_ACTIONS = {Action.PUBLISH: "pub", Action.SUBSCRIBE: "sub", Action.PUBSUB: "pubsub"}
_Key = tuple[RuleKind, str]
LINES_AT_ONCE = 64  # of the audit log, before others get the loop


def rule_of(stored: AccessRule) -> Rule:
    """Return it as the core has it."""
    return Rule(
        allow=stored.allow,
        publish=bool(stored.action & Action.PUBLISH),
        subscribe=bool(stored.action & Action.SUBSCRIBE),
        client_id=stored.client_id,
        user_name=stored.user_name,
        topics=(RuleTopic(stored.topic),),
    )


def text_of(rule: AccessRule) -> str:
    """Return it for people, such as ``client id 'c': deny pub a/#``."""
    whom = "everybody"
    if rule.kind is not RuleKind.ALL:
        whom = f"{in_words(rule.kind)} '{shown(rule.who[:100])}'"
    access = "allow" if rule.allow else "deny"
    return f"{whom}: {access} {_ACTIONS[rule.action]} {shown(rule.topic[:200])}"


class _Group(Packed):
    """The rules of one client, of one user, or for everybody."""

    __slots__ = ("_safe",)

    def __init__(self, rules: Sequence[AccessRule]) -> None:
        super().__init__(list(map(rule_of, rules)))
        without = [rule for rule in rules if not rule.names_users]
        same = len(without) == len(rules)
        self._safe = None if same else Packed(list(map(rule_of, without)))

    @property
    def safe(self) -> Packed:
        """Those of them that do not depend on a user name."""
        return self if self._safe is None else self._safe


# Groups by kind, and by whom they are for.
_Groups = tuple[dict[str, _Group], ...]


def _grouped(rules: Sequence[AccessRule]) -> _Groups:
    """Return the groups of rules, of which those for one stand together."""
    made: _Groups = ({}, {}, {})
    for (kind, who), its in groupby(rules, lambda rule: (rule.kind, rule.who)):
        made[kind][who] = _Group(list(its))
    return made


class StoredRules:
    """The access rules of the store.

    Threads  belongs to the event loop; :meth:`pieces` may be called in any thread
    Errors   StoreError; then nothing has changed
    """

    def __init__(
        self, store: Store, settling: Settling, renew: Callable[[], Awaitable[None]]
    ) -> None:
        """Make it without rules. ``renew`` puts those in force that :meth:`pieces` gives."""
        self._table = RuleTable(store)
        self._settling = settling
        self._renew = renew
        self._turn = asyncio.Lock()  # the store and what is kept here change in one order
        self._groups: _Groups = _grouped([])
        self.changes = 0  # so far
        self._in_force = 0  # of them
        self._renewing = asyncio.Lock()

    async def load(self) -> None:
        """Take what the store has."""
        rules = await self._table.all()
        self._groups = await asyncio.to_thread(_grouped, rules)
        if rules:
            self.changes += 1
            log.info("%d access rules of the store are in force", len(rules))

    def pieces(self, *, names_count: bool) -> list[Packed]:
        """Return the rules, in the order in which the first that applies decides.

        names_count  a user name has to be proved; else rules about users are left out
        """
        groups = [group for by_name in self._groups for group in list(by_name.values())]
        made = [group if names_count else group.safe for group in groups]
        return [piece for piece in made if piece.count]

    def name_of(self, number: int, *, names_count: bool) -> str:
        """Return for whom the rule is that has that number among all :meth:`pieces`."""
        for kind, by_name in zip(RuleKind, self._groups, strict=True):
            for who, group in by_name.items():
                number -= (group if names_count else group.safe).count
                if number < 0:
                    return f"store, {in_words(kind)}" + (
                        f" '{shown(who[:100])}'" if who else ""
                    )
        return "store"

    # --- what can be done

    async def put(self, rules: Iterable[AccessRule], made_by: str) -> list[AccessRule]:
        """Keep them, all or none, each in place of one of the same; in force on return."""
        return await self._settling.whole(self._put(rules, made_by))

    async def _put(self, rules: Iterable[AccessRule], made_by: str) -> list[AccessRule]:
        async with self._turn:
            kept, now = await self._table.put(rules)
            await self._follow({(rule.kind, rule.who) for rule in kept}, now)
        try:
            await self._put_in_force()
        finally:  # they are kept, whatever becomes of that
            for at, rule in enumerate(kept, 1):
                audit.info(
                    "access rule by %s: %s", shown(made_by) or "(unknown)", text_of(rule)
                )
                if at % LINES_AT_ONCE == 0:
                    await asyncio.sleep(0)
        return kept

    async def delete(self, kind: RuleKind, who: str, topic: str, made_by: str) -> int:
        """Forget those about that topic; return how many there were."""
        return await self._settling.whole(self._delete(kind, who, topic, made_by))

    async def _delete(self, kind: RuleKind, who: str, topic: str, made_by: str) -> int:
        async with self._turn:
            count, now = await self._table.delete(kind, who, topic)
            if count:
                await self._follow({(kind, who)}, now)
        if count:
            audit.info(
                "access rule deleted by %s: %s '%s': %s",
                shown(made_by) or "(unknown)",
                in_words(kind),
                shown(who[:100]),
                shown(topic[:200]),
            )
            await self._put_in_force()
        return count

    async def page(
        self,
        kind: RuleKind,
        who: str | None,
        *,
        offset: int,
        limit: int,
        only: RuleFilter | None = None,
    ) -> Rows[AccessRule]:
        """Return rules of one kind, of all whom it names or of one, in their order."""
        return await self._table.page(kind, who, offset=offset, limit=limit, only=only)

    async def _follow(self, keys: set[_Key], now: Sequence[AccessRule]) -> None:
        """Make the groups of these anew, of all rules that they have now."""
        made = await asyncio.to_thread(_grouped, now)
        for kind, who in keys:
            self._groups[kind].pop(who, None)
        for mine, its in zip(self._groups, made, strict=True):
            mine.update(its)
        self.changes += 1

    async def _put_in_force(self) -> None:
        """Return when what has changed is in force: one time for all who wait."""
        wanted = self.changes
        async with self._renewing:
            if self._in_force < wanted:
                now = self.changes
                await self._renew()
                self._in_force = now


def rules_of_store(path: Path, *, names_count: bool) -> list[NamedRule]:
    """Return the rules of a file, whether a broker uses it or not. Raises StoreError.

    names_count  as for :meth:`StoredRules.pieces`
    """
    return [
        NamedRule(rule_of(rule), f"store: {text_of(rule)}")
        for rule in rules_of(path)
        if names_count or not rule.names_users
    ]
