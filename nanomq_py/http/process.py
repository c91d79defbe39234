"""What dialects ask of the process that serves them."""

from __future__ import annotations

from typing import Protocol


class Process(Protocol):
    """What handlers call of the process."""

    async def check_restart(self) -> None:
        """Raise ConfigError when a restart would fail."""

    def request_stop(self) -> None: ...

    def request_restart(self) -> None: ...
