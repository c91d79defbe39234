"""Which page of a list is asked for, and which row."""

from __future__ import annotations

from typing import Annotated

import msgspec

Id = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]  # as SQLite can hold it


class PageQuery(msgspec.Struct, frozen=True):
    """Which page is asked for."""

    page: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)] = 1
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100

    @property
    def offset(self) -> int:
        return (self.page - 1) * self.limit
