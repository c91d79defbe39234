"""Metrics of v2: counters under the names of EMQX 2, in the order of the document.

Source  emqx-rest-api-v2.txt; EMQX 2.3, emqttd_metrics: what each counts
"""

from __future__ import annotations

from nanomq_py.http.emqx.api import Api
from nanomq_py.http.emqx.metrics import metrics_of
from nanomq_py.http.rest.endpoint import Endpoint, Plain

# Which of v4 it is.
NAMES = {
    "packets/disconnect": "packets.disconnect.received",
    "messages/dropped": "messages.dropped",
    "messages/qos2/received": "messages.qos2.received",
    "packets/suback": "packets.suback.sent",
    "packets/pubcomp/received": "packets.pubcomp.received",
    "packets/unsuback": "packets.unsuback.sent",
    "packets/pingresp": "packets.pingresp.sent",
    "packets/puback/missed": "packets.puback.missed",
    "packets/pingreq": "packets.pingreq.received",
    "messages/retained": "messages.retained",
    "packets/sent": "packets.sent",
    "messages/qos2/dropped": "packets.publish.dropped",
    "packets/unsubscribe": "packets.unsubscribe.received",
    "packets/pubrec/missed": "packets.pubrec.missed",
    "packets/connack": "packets.connack.sent",
    "messages/received": "messages.received",
    "packets/pubrec/sent": "packets.pubrec.sent",
    "packets/publish/received": "packets.publish.received",
    "packets/pubcomp/sent": "packets.pubcomp.sent",
    "bytes/received": "bytes.received",
    "packets/connect": "packets.connect.received",
    "packets/puback/received": "packets.puback.received",
    "messages/sent": "messages.sent",
    "packets/publish/sent": "packets.publish.sent",
    "bytes/sent": "bytes.sent",
    "packets/pubrel/missed": "packets.pubrel.missed",
    "packets/puback/sent": "packets.puback.sent",
    "messages/qos0/received": "messages.qos0.received",
    "packets/subscribe": "packets.subscribe.received",
    "packets/pubrel/sent": "packets.pubrel.sent",
    "messages/forward": "messages.forward",
    "messages/qos2/sent": "messages.qos2.sent",
    "packets/received": "packets.received",
    "packets/pubrel/received": "packets.pubrel.received",
    "messages/qos1/received": "messages.qos1.received",
    "messages/qos1/sent": "messages.qos1.sent",
    "packets/pubrec/received": "packets.pubrec.received",
    "packets/pubcomp/missed": "packets.pubcomp.missed",
    "messages/qos0/sent": "messages.qos0.sent",
}


def _metrics(api: Api) -> dict[str, int]:
    of_v4 = metrics_of(api.broker.stats())
    return {name: of_v4[other] for name, other in NAMES.items()}


async def list_metrics(api: Api, call: Plain) -> dict[str, dict[str, int]]:
    return {api.node: _metrics(api)}


async def get_metrics(api: Api, call: Plain) -> dict[str, int]:
    api.check_node(call.path["node_name"])
    return _metrics(api)


ENDPOINTS = [
    Endpoint(
        method="GET",
        path="/monitoring/metrics",
        act=list_metrics,
        summary="Metrics of all nodes, by the name of the node.",
    ),
    Endpoint(
        method="GET",
        path="/monitoring/metrics/{node_name}",
        act=get_metrics,
        summary="Metrics of one node.",
    ),
]
