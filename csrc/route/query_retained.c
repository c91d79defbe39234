#include "route/query_retained.h"

#include "base/status.h"
#include "mqtt/topic.h"

static bool
fits(const nmq_query *q, const nmq_message *message)
{
    nmq_bytes filter = {(const uint8_t *) q->topic_filter.at, q->topic_filter.len};

    return (!q->qos.is_set ||
            (message->qos >= q->qos.least && message->qos <= q->qos.most)) &&
           (filter.at == NULL || nmq_filter_matches(filter, nmq_message_topic(message)));
}

// Fills a row of the page.
static void
fill(nmq_walk *walk, const nmq_message *message)
{
    int64_t left_ms = message->expires_at_ms - nmq_clock_now_ms();
    nmq_bytes topic = nmq_message_topic(message);
    nmq_retained_row *row = nmq_walk_row(walk);

    if (row == NULL) {
        return;
    }
    *row = (nmq_retained_row){
        .topic_name = nmq_walk_text(walk, topic),
        .topic_len = topic.len,
        .expires_in_ms = message->expires_at_ms == 0 ? -1
                         : left_ms > 0               ? left_ms
                                                     : 0,
        .payload_len = message->payload_len,
        .qos = message->qos,
    };
    if (message->origin != NULL) {
        nmq_bytes id = nmq_origin_client_id(message->origin);
        row->client_id = nmq_walk_text(walk, id);
        row->client_id_len = id.len;
    }
}

int
nmq_query_retained(nmq_retained *retained, const nmq_query *query, bool filtered,
                   nmq_page **out)
{
    const nmq_places *places = nmq_retain_places(retained->store);
    nmq_walk walk;
    uint32_t place;

    nmq_walk_begin(&walk, query, filtered, sizeof(nmq_retained_row));
    while (nmq_walk_step(&walk)) {
        (void) pthread_mutex_lock(&retained->lock);
        while (nmq_walk_next(&walk, places, &place)) {
            const nmq_message *message = nmq_retain_at(retained->store, place);
            if (fits(query, message) && nmq_walk_wants(&walk, place)) {
                fill(&walk, message);
            }
        }
        (void) pthread_mutex_unlock(&retained->lock);
    }
    return nmq_walk_end(&walk, out);
}
