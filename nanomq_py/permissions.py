"""What a client of a running broker may do, and what says so: asked by a program.

::

    superuser? ──> its own rules ──> access rules ──> auth.http ──> acl_nomatch
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address

from nanomq_py.core.binding import EACCESS, CoreError
from nanomq_py.core.client_calls import Decider, Ruling
from nanomq_py.core.records import AccessNote, Trial
from nanomq_py.core.rules import Access
from nanomq_py.running import Running


@dataclass(frozen=True)
class Permission:
    """Whether a client may do something, and which rule or key decides."""

    is_allowed: bool
    decided_by: str
    is_exempt: bool = False  # no access rule for all counted


async def permission(
    running: Running, superusers: Collection[str], trial: Trial, *, mounted: bool = False
) -> Permission:
    """Say what decides; where ``auth.http`` is asked, as a client would ask.

    A client of that identifier with a session, connected or away, counts as it is, unless the
    trial says a user name or an address.

    superusers  whose clients, where the trial names the user, are asked nothing
    mounted     the topic is as the broker knows it, and a client below a mount point does not
    Raises      ValueError where the topic is none
    """
    if trial.publish and trial.topic.split("/")[0] == "$SYS":
        return Permission(is_allowed=False, decided_by="$SYS topics are the broker's")
    if trial.user_name is not None and trial.user_name in superusers:
        return Permission(is_allowed=True, decided_by="auth.superusers", is_exempt=True)
    try:
        ruling = running.core.may(trial, mounted=mounted)
    except CoreError as fault:
        if fault.status == EACCESS:
            return Permission(is_allowed=False, decided_by="the client's mount point")
        raise ValueError(f"{trial.topic!r}: {fault}") from None
    if ruling.access is None:
        return await _opinion(running, trial, ruling)
    return Permission(
        ruling.access is Access.ALLOW,
        await _decider(running, ruling),
        ruling.by in (Decider.SUPERUSER, Decider.OWN),
    )


async def _decider(running: Running, ruling: Ruling) -> str:
    if ruling.rule is not None:
        return await running.access.name_of(ruling.rule)
    if ruling.by is Decider.NONE:
        return running.access.otherwise
    return "it is a superuser" if ruling.by is Decider.SUPERUSER else "rules of its token"


async def _opinion(running: Running, trial: Trial, ruling: Ruling) -> Permission:
    """Ask ``auth.http`` about what no rule decides."""
    address = "" if trial.address is None else str(trial.address)
    user_name = trial.user_name
    client = running.core.client(trial.client_id)
    if client is not None and user_name is None and trial.address is None:
        user_name, address = client.user_name, _host(client.peer)
    note = AccessNote(
        number=0,
        question=0,
        publish=trial.publish,
        listener=0,
        address=address,
        client_id=trial.client_id,
        user_name=user_name,
        topics=(_filter_of(ruling.topic),),
    )
    (said,) = await running.http.opinion(note)
    if said is Access.PASS:
        return Permission(ruling.otherwise, running.access.otherwise)
    return Permission(said is Access.ALLOW, "auth.http.acl_req")


def _filter_of(topic: str) -> str:
    """Return a Topic Filter without its ``$share``."""
    return topic.split("/", 2)[2] if topic.startswith("$share/") else topic


def _host(peer: str) -> str:
    """Return the address of ``HOST:PORT``; empty: on this machine (IPC)."""
    host = peer.rpartition(":")[0].strip("[]")
    try:
        return str(ip_address(host))
    except ValueError:
        return ""
