#include "bridge/mapped.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/status.h"
#include "route/trail.h"

typedef struct {
    nmq_outward outward; // first
    nmq_bridge_settings *settings;
    nmq_buf topic;
    nmq_buf props;
    nmq_bytes self; // borrowed
    uint8_t peer[NMQ_TRAIL_ID_BYTES];
    size_t peer_len; // 0: it does not say who it is
    bool retain_available;
} mapped;

static bool
is_too_old(const nmq_bridge_settings *settings, const nmq_publish_head *head,
           const nmq_message_parts *parts)
{
    int64_t max_ms = (int64_t) settings->options.message_expiry_s * 1000;

    // a retained message is what counts now, whenever it was published
    return max_ms != 0 && parts->published_ms != 0 && !head->dup && !head->retain &&
           nmq_clock_wall_ms() - parts->published_ms > max_ms;
}

static bool
goes_round(const mapped *m, nmq_bytes trail)
{
    return trail.len > 0 && (nmq_trail_ends(trail, m->self) ||
                             nmq_trail_has(trail, (nmq_bytes){m->peer, m->peer_len}));
}

static int
map(nmq_outward *outward, nmq_publish_head *head, const nmq_message_parts *parts,
    nmq_bytes *topic_name)
{
    mapped *m = (mapped *) (void *) outward;
    const nmq_bridge_rule *rule =
        nmq_bridge_settings_to(m->settings, parts->topic_name, head->subscription_ids,
                               head->subscription_id_count);

    if (is_too_old(m->settings, head, parts)) {
        return NMQ_ETIMEOUT;
    }
    if (rule == NULL || goes_round(m, nmq_trail_of(parts->props))) {
        return NMQ_ETOOBIG;
    }
    if (head->version == NMQ_V5) {
        if (nmq_trail_put(&m->props, parts->props, m->self) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
        head->props = (nmq_bytes){m->props.at, m->props.len};
    }
    int rv = nmq_bridge_rule_map(rule, parts->topic_name, &m->topic, topic_name);
    head->retain = nmq_bridge_rule_retain(rule, head->retain) && m->retain_available;
    head->subscription_id_count = 0; // they are ours
    return rv == NMQ_ETOPIC ? NMQ_ETOOBIG : rv;
}

static void
free_mapped(nmq_outward *outward)
{
    mapped *m = (mapped *) (void *) outward;

    nmq_bridge_settings_unref(m->settings);
    nmq_buf_free(&m->topic);
    nmq_buf_free(&m->props);
    nmq_free(m);
}

int
nmq_mapped_use(nmq_session *session, nmq_bridge_settings *settings, nmq_bytes self)
{
    mapped *m = (mapped *) (void *) session->outward;

    if (m == NULL) {
        m = nmq_zalloc(sizeof *m);
        if (m == NULL) {
            return NMQ_ENOMEM;
        }
        m->outward = (nmq_outward){map, free_mapped};
        m->retain_available = true;
        m->self = self;
        session->outward = &m->outward;
    }
    nmq_bridge_settings_unref(m->settings);
    m->settings = nmq_bridge_settings_ref(settings);
    return NMQ_OK;
}

void
nmq_mapped_set_retain_available(nmq_session *session, bool available)
{
    ((mapped *) (void *) session->outward)->retain_available = available;
}

void
nmq_mapped_set_peer(nmq_session *session, nmq_bytes id)
{
    mapped *m = (mapped *) (void *) session->outward;

    m->peer_len = id.len == sizeof m->peer ? id.len : 0;
    if (m->peer_len > 0) {
        memcpy(m->peer, id.at, m->peer_len);
    }
}
