"""A broker that is killed and started again: in one folder, on the same ports."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from tests.conftest import Process, free_port, running_broker


class Lives:
    """A broker, and those that come after it.

    process  that of now
    keys     those of its configuration, ``__`` is a dot
    """

    def __init__(
        self, folder: Path, constants: Mapping[str, object] | None = None, **keys: str
    ) -> None:
        self.keys = {
            "url": f"nmq-tcp://127.0.0.1:{free_port()}",
            "http_server__port": str(free_port()),
            **keys,
        }
        self._folder = folder
        self._constants = constants
        self.start()

    def start(self) -> None:
        self._life = running_broker(self._folder, constants=self._constants, **self.keys)
        self.process: Process = self._life.__enter__()

    def end(self) -> None:
        self._life.__exit__(None, None, None)

    def kill(self) -> None:
        """End it as ``kill -9`` does, and start it again."""
        self.process.kill()
        self.end()
        self.start()

    def __enter__(self) -> Lives:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
