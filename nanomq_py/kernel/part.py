"""A part of the process, and a change of it on its way to another configuration.

::

    prepare ──> commit ──> settle        renewed says which files it has read anew
       └─────────┴──> undo

A part is anything that follows the configuration: the listeners, the log, the HTTP server.
A part overrides the methods that it needs; here they do nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from nanomq_py.config import Config
from nanomq_py.config.declare.section import Sections
from nanomq_py.config.declare.walk import walk, walk_all

T = TypeVar("T")

# The function that is called with a note of the core, by the note's class.
Hears = Mapping[type[Any], Callable[[Any], None]]


class Trouble(NamedTuple):
    """Something that somebody should know of, while it lasts.

    name     the same as long as it is the same trouble
    details  values that JSON has
    """

    name: str
    message: str
    details: Mapping[str, object] = MappingProxyType({})


class Change:
    """What one part has prepared. It is not in force yet."""

    @property
    def renewed(self) -> Sequence[str]:
        """Keys whose file has another content now."""
        return ()

    def commit(self) -> None:
        """Put it in force. Raises ConfigError or CoreError only before anything has changed."""

    async def undo(self) -> None:
        """Leave everything as it was, whether commit was tried or not."""

    async def settle(self) -> None:
        """Do what else follows, now that all parts are in force. It may take long.

        It cannot fail.
        """


class Swap(Change, Generic[T]):
    """One value in the place of another, for a part that can use either."""

    def __init__(self, use: Callable[[T], None], old: T, new: T) -> None:
        """``use`` puts a value in force; where it raises, all is as it was."""
        self._use = use
        self._old = old
        self._new = new

    def commit(self) -> None:
        self._use(self._new)

    async def undo(self) -> None:
        self._use(self._old)


async def put_in_force(change: Change) -> None:
    """Commit the change; where that fails, undo it. Raises what commit raised."""
    try:
        change.commit()
    except BaseException:
        await change.undo()
        raise


class Part:
    """A part of the process.

    Threads  belongs to the event loop
    """

    name = ""
    brings: ClassVar[Sections] = ()  # its own keys: ``config.of_part`` has their values

    @property
    def hears(self) -> Hears:
        """The notes of the core that concern this part, and what it does with them."""
        return {}

    async def prepare(self, config: Config) -> Change | None:
        """Do all that can fail on the way to that configuration.

        The first call is for the configuration to begin with.

        Raises   ConfigError, and nothing has changed
        """
        return None

    def troubles(self) -> Iterable[Trouble]:
        """Return what is wrong with it now. It is asked from time to time, and cheap."""
        return ()

    async def start(self) -> None:
        """Return when it serves, after its first change. Raises ConfigError."""

    def leave(self) -> None:
        """Begin nothing new, before :meth:`stop`. It may be called again."""

    async def stop(self) -> None:
        """End, after :meth:`leave`. It is called for a part that was not started, too."""


def brought_by(parts: Sequence[type[Part]]) -> Sections:
    """Return the sections of keys that parts bring.

    Raises   ValueError where two declare one key, which is a fault of a part
    """
    brought = tuple(section for part in parts for section in part.brings)
    if not brought:
        return ()
    own = [at.spelled for at, _ in walk(Config)]
    theirs = [at.spelled for at, _ in walk_all(Config, brought)][len(own) :]
    twice = [name for name, n in Counter(theirs).items() if n > 1 or name in own]
    if twice:
        raise ValueError(f"declared twice: {', '.join(twice)}")
    return brought
