"""How much there is of this broker's things, under the names of EMQX 4.

::

    sessions.count, sessions.max   as v4 writes them
    sessions/count, sessions/max   as v2 does

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4, emqx_stats
"""

from __future__ import annotations

from collections.abc import Mapping

from nanomq_py.core.records import Stats

# By the name of v4: what there is now, and what there was at most.
STATS: Mapping[str, tuple[str, str]] = {
    "connections": ("connected", "connected_max"),
    "live_connections": ("connected", "connected_max"),
    "channels": ("clients", "clients_max"),
    "sessions": ("clients", "clients_max"),
    "topics": ("routes", "routes_max"),
    "suboptions": ("subscriptions", "subscriptions_max"),
    "subscribers": ("subscribers", "subscribers_max"),
    "subscriptions": ("subscriptions", "subscriptions_max"),
    "subscriptions.shared": ("shared_subscriptions", "shared_subscriptions_max"),
    "routes": ("routes", "routes_max"),
    "retained": ("retained", "retained_max"),
}


def stats_of(stats: Stats, separator: str = ".") -> dict[str, int]:
    """Return the statistics, the parts of their names with that between them."""
    return {
        f"{name}.{kind}".replace(".", separator): getattr(stats, field)
        for name, fields in STATS.items()
        for kind, field in zip(("count", "max"), fields, strict=True)
    }
