#include "bridge/mapped.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/status.h"

typedef struct {
    nmq_outward outward; // first
    nmq_bridge_settings *settings;
    nmq_buf topic;
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
    if (rule == NULL) {
        return NMQ_ETOOBIG;
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
    nmq_free(m);
}

int
nmq_mapped_use(nmq_session *session, nmq_bridge_settings *settings)
{
    mapped *m = (mapped *) (void *) session->outward;

    if (m == NULL) {
        m = nmq_zalloc(sizeof *m);
        if (m == NULL) {
            return NMQ_ENOMEM;
        }
        m->outward = (nmq_outward){map, free_mapped};
        m->retain_available = true;
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
