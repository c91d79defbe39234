"""What a caller of the HTTP API may do. Source: http-dialects.md, v2, "Roles"."""

from __future__ import annotations

from enum import Enum


class Role(Enum):
    """The values are what the store keeps and what people write."""

    ADMINISTRATOR = "administrator"  # may all
    VIEWER = "viewer"  # may read
