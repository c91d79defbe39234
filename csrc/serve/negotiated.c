#include "serve/negotiated.h"

#include "base/live.h"
#include "mqtt/varint.h"
#include "net/timers.h"

enum { KEEP_ALIVE_MIN_PERMILLE = 1500 };

void
nmq_negotiated_set(nmq_server_conn *conn)
{
    const nmq_options *options = conn->net.conns->options;

    conn->negotiated = (nmq_negotiated){
        .receive_max_bytes = NMQ_LIVE(options->packet_max_bytes),
        .receive_maximum = (uint16_t) NMQ_LIVE(options->receive_maximum),
        .topic_alias_max = (uint16_t) NMQ_LIVE(options->topic_alias_max),
        .keep_alive_max_s = (uint16_t) NMQ_LIVE(options->keep_alive_max_s),
        .qos_max = NMQ_LIVE(options->qos_max),
        .retain_available = NMQ_LIVE(options->retain_available),
        .wildcards_available = NMQ_LIVE(options->wildcards_available),
        .shared_available = NMQ_LIVE(options->shared_available),
        .subscription_ids_available = NMQ_LIVE(options->subscription_ids_available),
    };
}

void
nmq_negotiated_announce(const nmq_negotiated *negotiated, nmq_props *props)
{
    const struct {
        enum nmq_prop_id id;
        bool available;
    } features[] = {
        {NMQ_PROP_RETAIN_AVAILABLE, negotiated->retain_available},
        {NMQ_PROP_WILDCARD_SUBSCRIPTION_AVAILABLE, negotiated->wildcards_available},
        {NMQ_PROP_SHARED_SUBSCRIPTION_AVAILABLE, negotiated->shared_available},
        {NMQ_PROP_SUBSCRIPTION_IDENTIFIER_AVAILABLE,
         negotiated->subscription_ids_available},
    };

    for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
        if (!features[i].available) {
            nmq_props_set_number(props, features[i].id, 0);
        }
    }
    if (negotiated->qos_max < 2) { // [MQTT-3.2.2-9]
        nmq_props_set_number(props, NMQ_PROP_MAXIMUM_QOS, negotiated->qos_max);
    }
    if (negotiated->receive_maximum < UINT16_MAX) {
        nmq_props_set_number(props, NMQ_PROP_RECEIVE_MAXIMUM, negotiated->receive_maximum);
    }
    if (negotiated->receive_max_bytes < NMQ_VARINT_MAX + 5) {
        nmq_props_set_number(props, NMQ_PROP_MAXIMUM_PACKET_SIZE,
                             negotiated->receive_max_bytes);
    }
    if (negotiated->topic_alias_max > 0) {
        nmq_props_set_number(props, NMQ_PROP_TOPIC_ALIAS_MAXIMUM,
                             negotiated->topic_alias_max);
    }
}

// The bound counts only for a client that can be told of it [MQTT-3.1.2-21]: before 5.0 one
// that keeps to its own Keep Alive would be cut off. There TCP's keep alive finds peers
// that are gone.
uint16_t
nmq_negotiated_keep_alive_s(const nmq_negotiated *negotiated, const nmq_connect *c)
{
    uint16_t max = negotiated->keep_alive_max_s;

    if (c->version != NMQ_V5) {
        return c->keep_alive_s;
    }
    return max != 0 && (c->keep_alive_s == 0 || c->keep_alive_s > max) ? max
                                                                       : c->keep_alive_s;
}

int64_t
nmq_negotiated_idle_ms(const nmq_options *options, uint16_t keep_alive_s)
{
    int64_t permille = NMQ_LIVE(options->keep_alive_permille);

    return keep_alive_s *
           (permille < KEEP_ALIVE_MIN_PERMILLE ? KEEP_ALIVE_MIN_PERMILLE : permille);
}

void
nmq_negotiated_use_keep_alive(nmq_server_conn *conn)
{
    nmq_client *client = conn->net.client;

    (void) pthread_mutex_lock(&client->lock);
    uint16_t keep_alive_s = client->keep_alive_s;
    (void) pthread_mutex_unlock(&client->lock);
    nmq_timers_set_idle(&conn->net,
                        nmq_negotiated_idle_ms(conn->net.conns->options, keep_alive_s));
}
