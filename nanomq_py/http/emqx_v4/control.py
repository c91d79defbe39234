"""What NanoMQ's v4 does with the process, and the topic tree.

Source  http-dialects.md, "EMQX v4 and Cloud"; NanoMQ 0.8.3 to 0.24, rest_api.c
"""

from __future__ import annotations

import msgspec
from starlette.background import BackgroundTask
from starlette.responses import Response

from nanomq_py.config import ConfigError
from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx_v4.words import Refused, succeeded
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.rest.endpoint import Endpoint, Listing, Plain


async def control(api: Api, call: Plain) -> Response:
    """Stop or restart, once the answer has gone out."""
    action = call.path["action"]
    if action not in ("stop", "restart"):
        raise Refused(Code.RPC_ERROR, f"{action[:64]!r}: expected stop or restart", 404)
    act = api.process.request_stop
    if action == "restart":
        act = api.process.request_restart
        try:
            await api.process.check_restart()
        except ConfigError as fault:
            raise BadParameter(str(fault)) from None
    answer = succeeded(None)
    answer.background = BackgroundTask(act)
    return answer


class TreeNode(msgspec.Struct, frozen=True):
    """A level of Topic Filters: how many are below it, and whose filters end there."""

    topic: str
    cld_cnt: int
    clientid: list[str]


async def topic_tree(api: Api, call: Plain) -> Listing[list[TreeNode]]:
    from nanomq_py.http.tree import tree_pieces  # loaded by the first one

    return Listing(None, tree_pieces(api.broker, "clientid"), is_held=True)


ENDPOINTS = [
    Endpoint(
        method="POST",
        path="/ctrl/{action}",
        act=control,
        summary="Stop or restart the broker.",
    ),
    Endpoint(
        method="GET",
        path="/topic-tree",
        act=topic_tree,
        summary="The Topic Filters of all clients, as a tree, level by level.",
    ),
]
