"""Clients of v2."""

from __future__ import annotations

import msgspec

from nanomq_py.core.queries import Client, ClientFilter
from nanomq_py.http.codes import Code
from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.times import local_time
from nanomq_py.http.emqx.words import UNDEFINED
from nanomq_py.http.emqx_v2.paging import PageQuery, all_rows, listing
from nanomq_py.http.emqx_v2.words import Refused
from nanomq_py.http.rest.endpoint import Call, Endpoint, Listing, Plain
from nanomq_py.http.rest.parameters import Nothing


class ClientRow(msgspec.Struct, frozen=True):
    client_id: str
    username: str
    ipaddress: str
    port: int
    clean_sess: bool
    proto_ver: int
    keepalive: int
    connected_at: str


class CachedTopic(msgspec.Struct, frozen=True):
    """EMQX forgets what it knows of one topic; here all that is known of the client goes."""

    topic: str


def _row(client: Client) -> ClientRow:
    address, _, port = client.peer.rpartition(":")
    return ClientRow(
        client_id=client.client_id,
        username=UNDEFINED if client.user_name is None else client.user_name,
        ipaddress=address.strip("[]") or UNDEFINED,  # of a socket on this machine
        port=int(port) if port.isdecimal() else 0,
        clean_sess=client.clean_start,
        proto_ver=client.version,
        keepalive=client.keep_alive_s,
        connected_at=local_time(client.connected_at_ms),
    )


async def list_clients(api: Api, call: Call[PageQuery, Nothing]) -> Listing[ClientRow]:
    api.check_node(call.path["node_name"])
    wanted = ClientFilter(connected=True)
    return await listing(
        call.query, lambda **paging: api.broker.clients(wanted, **paging), _row
    )


async def get_client(api: Api, call: Plain) -> Listing[ClientRow]:
    api.check_node(call.path.get("node_name", api.node))
    wanted = ClientFilter(client_id=call.path["clientid"], connected=True)
    return await all_rows(lambda **paging: api.broker.clients(wanted, **paging), _row)


async def kick(api: Api, call: Plain) -> None:
    client_id = call.path["clientid"]
    try:
        api.broker.kick(client_id)
    except KeyError:
        raise not_online(client_id) from None


async def drop_access_cache(api: Api, call: Call[Nothing, CachedTopic]) -> None:
    client_id = call.path["clientid"]
    try:
        await api.broker.drop_access_cache(client_id)
    except KeyError:
        raise not_online(client_id) from None


def not_online(client_id: str) -> Refused:
    return Refused(Code.CLIENT_IS_OFFLINE, f"Clientid: {client_id[:200]} is not online")


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/nodes/{node_name}/clients",
        act=list_clients,
        summary="Clients that are connected, a page at a time.",
    ),
    Endpoint(
        method="GET",
        path="/nodes/{node_name}/clients/{clientid}",
        also=("/clients/{clientid}",),
        act=get_client,
        summary="One client; no object where it is not connected.",
    ),
    Endpoint(
        method="PUT",
        path="/kick_client/{clientid}",
        act=kick,
        summary="Close the connection of a client.",
    ),
    Endpoint(
        method="DELETE",
        path="/clients/{clientid}",
        act=kick,
        summary="Close the connection of a client, as EMQX 2.3 has it.",
    ),
    Endpoint(
        method="PUT",
        path="/clients/{clientid}/clean_acl_cache",
        act=drop_access_cache,
        summary="Forget what a client may do, so that it is asked again.",
    ),
    Endpoint(
        method="DELETE",
        path="/clean_acl_cache/{clientid}",
        act=drop_access_cache,
        summary="The same, as EMQX 2.2 has it.",
    ),
]
