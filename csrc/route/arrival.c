#include "route/arrival.h"

#include "base/live.h"
#include "base/status.h"
#include "route/memory_level.h"
#include "route/shortage.h"
#include "store/journal_topics.h"

// They travel as they came, in their order [MQTT-3.3.2-4] [MQTT-3.3.2-15] [MQTT-3.3.2-16]
// [MQTT-3.3.2-17] [MQTT-3.3.2-18] [MQTT-3.3.2-20].
int
nmq_arrival_properties(const nmq_props *props, nmq_buf *scratch, nmq_bytes *out)
{
    const uint64_t hop = UINT64_C(1) << NMQ_PROP_TOPIC_ALIAS |
                         UINT64_C(1) << NMQ_PROP_MESSAGE_EXPIRY_INTERVAL |
                         UINT64_C(1) << NMQ_PROP_WILL_DELAY_INTERVAL |
                         UINT64_C(1) << NMQ_PROP_SUBSCRIPTION_IDENTIFIER;
    nmq_bytes block = props->raw;
    nmq_prop prop;

    *out = props->raw;
    if ((props->present & hop) == 0) {
        return NMQ_OK;
    }
    while (nmq_props_next(&block, &prop)) {
        if ((hop >> prop.id & 1) == 0 && nmq_buf_put(scratch, prop.wire) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
    }
    *out = (nmq_bytes){scratch->at, scratch->len};
    return NMQ_OK;
}

int64_t
nmq_arrival_expires_at(const nmq_props *props, int64_t now_ms)
{
    return nmq_props_has(props, NMQ_PROP_MESSAGE_EXPIRY_INTERVAL)
               ? now_ms + (int64_t) props->number[NMQ_PROP_MESSAGE_EXPIRY_INTERVAL] * 1000
               : 0;
}

int
nmq_arrival_may_log(const nmq_batch *batch, nmq_bytes topic_name, size_t payload_len)
{
    nmq_journal *journal = batch->router->journal;
    int may = nmq_journal_may(journal, payload_len);

    may = may == NMQ_OK && journal != NULL && NMQ_LIVE(journal->full) ? NMQ_ESHORT : may;
    return may != NMQ_OK && nmq_journal_wants_topic(journal, topic_name) ? may : NMQ_OK;
}

void
nmq_arrival_meet_memory(nmq_batch *batch, const nmq_message_parts *parts, uint8_t memory,
                        bool answers)
{
    bool is_short = memory != NMQ_MEMORY_FINE;

    batch->may_refuse = parts->qos > 0 && (answers || is_short);
    batch->short_window = is_short ? nmq_shortage_window(memory) : 0;
    batch->all_or_none = is_short && parts->qos > 0 && (parts->qos == 2 || !answers);
    batch->may_log = parts->qos > 0
                         ? nmq_arrival_may_log(batch, parts->topic_name, parts->payload.len)
                         : NMQ_OK;
}

bool
nmq_arrival_was_refused(nmq_batch *batch, int *why)
{
    bool refused = batch->refused;

    *why = batch->unlogged ? batch->may_log : NMQ_OK;
    batch->refused = batch->may_refuse = batch->all_or_none = batch->unlogged = false;
    batch->short_window = 0;
    batch->may_log = NMQ_OK;
    return refused;
}
