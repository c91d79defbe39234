"""What groups keys: a section, whose keys share a prefix, and a family, whose members repeat.

::

    tls.enable=true                        section "tls"
    auth.1.login=device                    family "auth": members that are numbered
    listener.local.url=nmq-ipc:///x        family "listener": members with names
    bridge.mqtt.a.subscription.1.topic=x   a family in each member of another
    acl.rule.1={"permit":"deny"}           family "acl.rule": a member is one line of JSON
    web.hook.headers.Accept=text/plain     family "headers": a member is one value

Both are declared once, as a field of the dataclass that holds them, beside its keys. Reader,
settings, edit, the shipped file, the documentation and V1's JSON walk these fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, ClassVar

import msgspec
import orjson

from nanomq_py.config.declare.key import Key, keys_of
from nanomq_py.config.declare.section import join
from nanomq_py.config.faults import ConfigError
from nanomq_py.config.values.kind import BadValue


class BadMember(ConfigError):
    """A member that cannot be; its first argument says what was expected."""


@dataclass(frozen=True)
class Index:
    """What tells the members of a family apart.

    shown        in the documentation
    names        a pattern of the names that its author may give; empty: they have none
    attribute    of a member, that holds its name
    is_numbered  a number is the index, or its end. Members are numbered anew when they are
                 written, and only a key of theirs makes one: others may have numbers too.
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
        """Return the name in an index."""
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
    """The kind of a member that is one line of JSON; its fields are those of ``shape``."""

    shape: type[msgspec.Struct]
    example: str
    json: ClassVar[type] = str

    @property
    def expected(self) -> str:
        return f"JSON such as {self.example}"

    def parse(self, text: str) -> dict[str, Any]:
        try:
            said = msgspec.json.decode(text.encode(), type=self.shape)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as fault:
            raise BadValue(f"{self.expected} ({fault})") from None
        return msgspec.structs.asdict(said)

    def render(self, member: Any) -> str:
        said = {
            declared.name: getattr(member, declared.name)
            for declared in msgspec.structs.fields(self.shape)
            if declared.required or getattr(member, declared.name) != declared.default
        }
        return orjson.dumps(said).decode()


@dataclass(frozen=True)
class Family:
    """Members of one shape below a prefix.

    title        for people; empty: the family is documented with the keys beside it
    help         what its members are, for people
    example      lines of the shipped file, each without the prefix
    line         how a member is written on one line; None: by the keys of ``member``
    keeps_place  a member has a field ``where``, for errors about it
    is_sparse    only what is not the default is written
    is_list      the nested form writes the members as a list; they have keys only
    required     keys that every member has
    elsewhere    names whose required key is another one: what is expected instead of it
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
