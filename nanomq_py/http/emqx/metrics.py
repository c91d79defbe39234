"""Counters of this broker under the names of EMQX 4.

::

    packets.puback.received   as v4 writes it
    packets/puback/received   as v2 does

A name that stands for what this broker never does, such as forwarding to another node, is 0.

Source  http-dialects.md, "EMQX v4 and Cloud"; EMQX 4.4, emqx_metrics
"""

from __future__ import annotations

from collections.abc import Mapping

from nanomq_py.core.records import Stats
from nanomq_py.http.emqx.api import Api

# By the name of v4: the counters whose sum it is; none: there is nothing of it here.
METRICS: Mapping[str, tuple[str, ...]] = {
    "bytes.received": ("bytes_in",),
    "bytes.sent": ("bytes_out",),
    "packets.received": ("packets_in",),
    "packets.sent": ("packets_out",),
    "packets.connect.received": ("connect_in",),
    "packets.connack.sent": ("connack_out",),
    "packets.connack.error": ("connack_errors",),
    "packets.connack.auth_error": ("logins_refused",),
    "packets.publish.received": ("messages_in",),
    "packets.publish.sent": ("messages_out",),
    "packets.publish.auth_error": ("publish_denied",),
    "packets.publish.error": ("publish_errors", "dropped_retained"),
    "packets.publish.inuse": ("publish_in_use",),
    "packets.publish.dropped": ("receive_max_exceeded",),
    "packets.puback.received": ("puback_in",),
    "packets.puback.sent": ("puback_out",),
    "packets.puback.inuse": ("puback_in_use",),
    "packets.puback.missed": ("puback_missed",),
    "packets.pubrec.received": ("pubrec_in",),
    "packets.pubrec.sent": ("pubrec_out",),
    "packets.pubrec.inuse": ("pubrec_in_use",),
    "packets.pubrec.missed": ("pubrec_missed",),
    "packets.pubrel.received": ("pubrel_in",),
    "packets.pubrel.sent": ("pubrel_out",),
    "packets.pubrel.missed": ("pubrel_missed",),
    "packets.pubcomp.received": ("pubcomp_in",),
    "packets.pubcomp.sent": ("pubcomp_out",),
    "packets.pubcomp.inuse": ("pubcomp_in_use",),
    "packets.pubcomp.missed": ("pubcomp_missed",),
    "packets.subscribe.received": ("subscribe_in",),
    "packets.subscribe.error": ("subscribe_errors", "subscriptions_refused"),
    "packets.subscribe.auth_error": ("subscribe_denied",),
    "packets.suback.sent": ("suback_out",),
    "packets.unsubscribe.received": ("unsubscribe_in",),
    "packets.unsubscribe.error": ("unsubscribe_errors",),
    "packets.unsuback.sent": ("unsuback_out",),
    "packets.pingreq.received": ("pingreq_in",),
    "packets.pingresp.sent": ("pingresp_out",),
    "packets.disconnect.received": ("disconnect_in",),
    "packets.disconnect.sent": ("disconnect_out",),
    "packets.auth.received": ("auth_in",),
    "packets.auth.sent": ("auth_out",),
    "messages.received": ("messages_in",),
    "messages.sent": ("messages_out",),
    "messages.qos0.received": ("messages_qos0_in",),
    "messages.qos0.sent": ("messages_qos0_out",),
    "messages.qos1.received": ("messages_qos1_in",),
    "messages.qos1.sent": ("messages_qos1_out",),
    "messages.qos2.received": ("messages_qos2_in",),
    "messages.qos2.sent": ("messages_qos2_out",),
    "messages.publish": ("messages_in",),
    "messages.dropped": ("dropped_no_subscriber",),
    "messages.dropped.expired": (),
    "messages.dropped.no_subscribers": ("dropped_no_subscriber",),
    "messages.forward": (),
    "messages.delayed": (),
    "messages.delivered": ("messages_out",),
    "messages.retained": ("retained",),
    "messages.acked": ("puback_in", "pubrec_in"),
    "delivery.dropped": (
        *("queue_full", "dropped_away", "dropped_expired", "dropped_too_large"),
        *("dropped_memory", "messages_denied", "no_local"),
    ),
    "delivery.dropped.no_local": ("no_local",),
    "delivery.dropped.too_large": ("dropped_too_large",),
    "delivery.dropped.qos0_msg": ("dropped_away",),
    "delivery.dropped.queue_full": ("queue_full",),
    "delivery.dropped.expired": ("dropped_expired",),
    "client.connect": ("connect_in",),
    "client.connack": ("connack_out",),
    "client.connected": ("clients_connected",),
    "client.disconnected": ("clients_disconnected",),
    "client.authenticate": ("logins_accepted", "logins_anonymous", "logins_refused"),
    "client.auth.success": ("logins_accepted", "logins_anonymous"),
    "client.auth.success.anonymous": ("logins_anonymous",),
    "client.auth.anonymous": ("logins_anonymous",),
    "client.auth.failure": ("logins_refused",),
    "client.check_acl": ("access_allowed", "access_denied"),
    "client.acl.allow": ("access_allowed",),
    "client.acl.deny": ("access_denied",),
    "client.acl.cache_hit": ("access_kept",),
    "client.subscribe": ("subscribe_in",),
    "client.unsubscribe": ("unsubscribe_in",),
    "session.created": ("sessions_created",),
    "session.resumed": ("sessions_resumed",),
    "session.takeovered": ("sessions_taken_over",),
    "session.discarded": ("sessions_discarded",),
    "session.terminated": ("sessions_ended",),
    "rules.matched": (),
    "actions.success": (),
    "actions.failure": (),
}

# By the name of v4: the plugin that counts it, and what that calls it.
_OF_PLUGINS = {
    "rules.matched": ("rules", "matched"),
    "actions.success": ("rules", "success"),
    "actions.failure": ("rules", "failure"),
}


def node_metrics(api: Api) -> dict[str, int]:
    """Return the metrics of this node, those of its plugins among them."""
    made = metrics_of(api.broker.stats())
    for name, (plugin, counter) in _OF_PLUGINS.items():
        held = api.plugins.serving(plugin)
        if held is not None and held.plugin is not None:
            made[name] = held.plugin.counters().get(counter, 0)
    return made


def metrics_of(stats: Stats, separator: str = ".") -> dict[str, int]:
    """Return the metrics, the parts of their names with that between them."""
    return {
        name.replace(".", separator): sum(getattr(stats, each) for each in counters)
        for name, counters in METRICS.items()
    }
