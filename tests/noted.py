"""A part that says what is done with it."""

from __future__ import annotations

from nanomq_py.config import Config, ConfigError
from nanomq_py.kernel.part import Change, Part


class Noted(Part, Change):
    """A part, and its change, that notes what becomes of it, and may fail at one step."""

    def __init__(self, name: str, notes: list[str], fails_at: str = "") -> None:
        self.name, self.notes, self.fails_at = name, notes, fails_at

    def _step(self, step: str) -> None:
        self.notes.append(f"{self.name} {step}")
        if self.fails_at == step:
            raise ConfigError(f"made up at {step}")

    async def prepare(self, config: Config) -> Change:
        self._step("prepare")
        return self

    def commit(self) -> None:
        self._step("commit")

    async def undo(self) -> None:
        self._step("undo")

    async def start(self) -> None:
        self._step("start")

    def leave(self) -> None:
        self._step("leave")

    async def stop(self) -> None:
        self._step("stop")
