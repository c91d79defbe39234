"""How a key is declared: its name, how it is written, what it does, when it counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, field, fields
from enum import Enum
from functools import partial
from typing import Any

from nanomq_py.config.faults import ConfigError
from nanomq_py.config.values.kind import Kind, UserInUrl


class Applies(Enum):
    """When a change of a value takes effect."""

    HOT = "at once"
    RESTART = "after a restart"
    NEVER = "not in this version"  # the value is read and checked, and has no effect


def _unchanged(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Key:
    """One key below its section."""

    name: str
    kind: Kind[Any]
    help: str
    applies: Applies = Applies.HOT
    secret: bool = False  # never logged, never shown
    private_file: bool = False  # names a file that other users must not read
    heading: str = ""  # above this key and those behind it; empty: no new one
    core: str = ""  # the name of the core's option that it sets; empty: none
    to_core: Callable[[Any], Any] = _unchanged  # makes the option's value of the key's

    @property
    def no_user(self) -> str:
        """What an error expects in place of a URL with a user name."""
        return (
            f"{self.kind.expected}, without a user name and password: the keys username and"
            " password, or a header, are for these"
        )


def key(
    name: str,
    kind: Kind[Any],
    default: Any,
    help: str,
    *,
    applies: Applies = Applies.HOT,
    secret: bool = False,
    private_file: bool = False,
    heading: str = "",
    core: str = "",
    to_core: Callable[[Any], Any] = _unchanged,
) -> Any:
    """Declare a field of a dataclass that is read from ``name`` in the file."""
    declared = Key(name, kind, help, applies, secret, private_file, heading, core, to_core)
    return field(default=default, repr=not secret, metadata={"key": declared})


# Declares a key of a feature that is not there yet: its value is only read and checked.
planned = partial(key, applies=Applies.NEVER)


def keys_of(section: type[Any]) -> Iterator[tuple[Field[Any], Key]]:
    """Yield the fields of a section that are keys of the file."""
    for declared in fields(section):
        if "key" in declared.metadata:
            yield declared, declared.metadata["key"]


class Checked:
    """A section that holds only what a file could hold, also where a program makes it."""

    def __post_init__(self) -> None:
        """Check each value as if a file had given it.

        Raises   ConfigError naming the key of a value that no file could hold
        """
        for declared, key in keys_of(type(self)):
            value = getattr(self, declared.name)
            if value is declared.default:
                continue
            try:
                read = key.kind.parse(key.kind.render(value))
            except UserInUrl:
                raise ConfigError(f"{key.name}=(hidden): expected {key.no_user}") from None
            except (ValueError, TypeError, AttributeError):
                raise _fault(key, value) from None
            if read == value and type(read) is type(value):
                continue
            # A text in another spelling, or a list for a tuple, becomes what a file would give.
            if (type(read), type(value)) not in ((str, str), (tuple, list)):
                raise _fault(key, value)
            object.__setattr__(self, declared.name, read)


def _fault(key: Key, value: object) -> ConfigError:
    shown = "(hidden)" if key.secret else repr(value)[:1000]
    return ConfigError(f"{key.name}={shown}: expected {key.kind.expected}")
