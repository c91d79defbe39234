#include "serve/bounds.h"

#include "base/live.h"
#include "mqtt/topic.h"

enum { WILL_MAX_BYTES = 1 << 18 }; // of a CONNECT that are its will

bool
nmq_bounds_levels_fit(const nmq_server_conn *conn, nmq_bytes topic)
{
    return nmq_topic_levels_fit(topic,
                                NMQ_LIVE(conn->net.conns->options->topic_levels_max));
}

bool
nmq_bounds_properties_fit(const nmq_server_conn *conn, const nmq_props *props)
{
    uint32_t max = NMQ_LIVE(conn->net.conns->options->user_properties_max);

    return max == 0 || props->user_properties <= max ||
           nmq_trail_user_properties(props) <= max;
}

// For a 5.0 client the bound is what CONNACK told it; the others were told nothing. Before
// its CONNECT is accepted a packet is judged by its first bytes, so that a stranger gets no
// memory that nobody has granted.
bool
nmq_bounds_takes_size(const nmq_server_conn *conn, size_t size)
{
    const nmq_options *options = conn->net.conns->options;
    size_t max = conn->net.version == NMQ_V5 ? conn->negotiated.receive_max_bytes
                                             : NMQ_LIVE(options->packet_max_bytes);
    size_t connect_max = NMQ_LIVE(options->connect_max_bytes);

    if (size <= max && (conn->net.client != NULL || connect_max == 0 ||
                        size <= connect_max + WILL_MAX_BYTES)) {
        return true;
    }
    nmq_counters_add(
        conn->net.conns->counters,
        size > max ? NMQ_COUNT_PACKETS_TOO_LARGE : NMQ_COUNT_CONNECTS_TOO_LARGE, 1);
    return false;
}
