"""How a family is declared: members that have the same keys, below one prefix.

::

    auth.1.login=device                    "auth": the members have numbers
    listener.local.url=nmq-ipc:///x        "listener": the members have names
    bridge.mqtt.a.subscription.1.topic=x   "subscription": a family in each member of another
    acl.rule.1={"permit":"deny"}           "acl.rule": a member is one line of JSON
    web.hook.headers.Accept=text/plain     "headers": a member is one value

A family is declared once, as a field of the dataclass that holds its members. Reader, settings,
edit, the shipped file, the documentation and V1's JSON walk these fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar

import msgspec

from nanomq_py.config.declare.key import Key, keys_of
from nanomq_py.config.declare.section import join
from nanomq_py.config.faults import ConfigError
from nanomq_py.config.values.kind import BadValue


class BadMember(ConfigError):
    """A member cannot be used; the first argument says what was expected."""


@dataclass(frozen=True)
class Index:
    """What tells the members of a family apart.

    shown        what stands for it in the documentation
    names        a pattern of the names of members; empty: they have none
    attribute    the field of a member that holds its name
    is_numbered  the index is a number, or ends with one. Members get new numbers when they are
                 written. An entry makes a member only if it is one of its keys, because NanoMQ
                 has other names with numbers.
    """

    shown: str
    names: str = ""
    attribute: str = ""
    is_numbered: bool = False

    @property
    def pattern(self) -> str:
        number = [r"\d{1,9}"] if self.is_numbered else []
        return r"\.".join([*([self.names] if self.names else []), *number])

    def name(self, index: str) -> str:
        """Return the name of a member, given its index."""
        return index.rpartition(".")[0] if self.is_numbered else index

    def group(self, prefix: str, member: object) -> str:
        """Return the prefix of the members that are numbered together with this one."""
        return join(prefix, getattr(member, self.attribute)) if self.attribute else prefix

    def of(self, member: object, number: int) -> str:
        """Return the index that a member is written with."""
        name = getattr(member, self.attribute) if self.attribute else ""
        return join(name, str(number)) if self.is_numbered else name


NUMBER = Index("N", is_numbered=True)
NAME = Index("NAME", "[A-Za-z0-9_-]{1,64}", "name")


@dataclass(frozen=True)
class Line:
    """The kind of value of a member that is one line of JSON, with the fields of ``shape``."""

    shape: type[msgspec.Struct]
    example: str
    json: ClassVar[type] = str

    @property
    def expected(self) -> str:
        return f"JSON such as {self.example}"

    def parse(self, text: str) -> dict[str, Any]:
        try:
            # In the nested form numbers and true are texts.
            said = msgspec.json.decode(text.encode(), type=self.shape, strict=False)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as fault:
            raise BadValue(f"{self.expected} ({fault})") from None
        return msgspec.structs.asdict(said)

    def render(self, member: Any) -> str:
        said = {
            declared.encode_name: getattr(member, declared.name)
            for declared in msgspec.structs.fields(self.shape)
            if declared.required or getattr(member, declared.name) != declared.default
        }
        return msgspec.json.encode(said).decode()


@dataclass(frozen=True)
class Family:
    """Members of one shape below a prefix.

    title        for people; empty: the family is documented with the keys beside it
    help         what its members are, for people
    example      lines of the shipped file, each without the prefix
    line         how a member is written on one line; None: by the keys of ``member``
    keeps_place  a member has a field ``where``: the place in the file, for errors
    is_sparse    only values that are not the default are written
    is_list      the nested form writes the members as a list; they have keys only
    required     keys that every member has
    elsewhere    members that must not have the required key, by name: what to write instead
    unique       the key that no two members share
    people       what members are called in errors
    """

    prefix: str
    member: type[Any]
    index: Index
    title: str = ""
    help: str = ""
    example: tuple[str, ...] = ()
    line: Key | None = None
    keeps_place: bool = False
    is_sparse: bool = False
    is_list: bool = False
    required: tuple[str, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    unique: str = ""
    people: str = "members"

    @property
    def one_line(self) -> Key | None:
        """How a member is written, where that takes one line; None: it has several keys."""
        keys = [key for _, key in keys_of(self.member)]
        return keys[0] if [key.name for key in keys] == [""] else self.line

    @property
    def tail(self) -> str:
        """A pattern of what stands behind the index of a member."""
        if self.one_line is not None:
            return ""
        names = [key.name for _, key in keys_of(self.member)]
        own = "|".join(map(re.escape, names))
        return rf"\.(?:{own})" if self.index.is_numbered else r"\..+"


def family(prefix: str, member: type[Any], index: Index, **declared: Any) -> Any:
    """Declare a field that holds the members of a family, in a tuple: see Family."""
    made = Family(prefix, member, index, **declared)
    return field(default=(), metadata={"family": made})


def families_of(kind: type[Any]) -> Iterator[tuple[Field[Any], Family]]:
    """Yield the fields of a dataclass that are families."""
    for declared in fields(kind):
        if "family" in declared.metadata:
            yield declared, declared.metadata["family"]
