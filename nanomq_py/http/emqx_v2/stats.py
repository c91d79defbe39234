"""Stats of v2: how much there is, under the names of EMQX 2, in the order of the document.

Source  emqx-rest-api-v2.txt; EMQX 2.3, emqttd_stats
"""

from __future__ import annotations

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.stats import stats_of
from nanomq_py.http.rest.endpoint import Endpoint, Plain

# Which of v4 it is.
NAMES = {
    "clients": "connections",
    "retained": "retained",
    "routes": "routes",
    "sessions": "sessions",
    "subscribers": "subscribers",
    "subscriptions": "subscriptions",
    "topics": "topics",
}


def _stats(api: Api) -> dict[str, int]:
    of_v4 = stats_of(api.broker.stats())
    return {
        f"{name}/{kind}": of_v4[f"{other}.{kind}"]
        for name, other in NAMES.items()
        for kind in ("count", "max")
    }


async def list_stats(api: Api, call: Plain) -> dict[str, dict[str, int]]:
    return {api.node: _stats(api)}


async def get_stats(api: Api, call: Plain) -> dict[str, int]:
    api.check_node(call.path["node_name"])
    return _stats(api)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/monitoring/stats",
        act=list_stats,
        summary="How much all nodes have, by the name of the node.",
    ),
    Endpoint(
        method="GET",
        path="/monitoring/stats/{node_name}",
        act=get_stats,
        summary="How much one node has.",
    ),
]
