#include "steering.h"

#include <assert.h>
#include <string.h>

#include "base/status.h"

enum { METERED = 3, DISCARDS = 5 }; // rounds from one to the next

static void
steer(nmq_broker *broker, const char *client_id, int round)
{
    nmq_kept_row rows[NMQ_KEPT_ROWS];
    size_t len = strlen(client_id);

    (void) nmq_broker_set_keep_alive(broker, client_id, len, (uint16_t) (round % 2 * 60));
    (void) nmq_broker_set_rates(broker, client_id, len, round % 3 == 0 ? 100000 : -1, -1);
    (void) nmq_broker_kept_answers(broker, client_id, len, rows);
    (void) nmq_broker_forget_answers(broker, round % 2 == 0 ? client_id : NULL, len);
}

static void
ask(nmq_broker *broker, const char *client_id)
{
    const nmq_acl_trial trial = {.client_id = client_id, .publish = true, .topic = "m/s/b"};
    nmq_acl_ruling ruling;
    size_t mount_len;
    int rv = nmq_broker_may(broker, &trial, true, &ruling, &mount_len);

    assert(rv == NMQ_OK || rv == NMQ_EACCESS);
}

static void
publish_as(nmq_broker *broker, const char *client_id, const char *topic, int round)
{
    const nmq_publication own = {
        .topic_name = topic,
        .topic_len = strlen(topic),
        .payload = "x",
        .payload_len = 1,
        .qos = (uint8_t) (round % 3),
        .client_id = client_id,
        .client_id_len = strlen(client_id),
    };

    assert(nmq_broker_publish(broker, &own) >= 0);
}

// One topic is counted from one of these rounds to the next.
static void
meter(nmq_broker *broker, const char *topic, int round)
{
    static nmq_meter *open;
    nmq_meter_counts counts;

    if (open != NULL) {
        nmq_meter_read(open, &counts);
        assert(counts.in_by_qos[0] + counts.in_by_qos[1] + counts.in_by_qos[2] > 0);
        nmq_meter_reset(open);
        assert(nmq_broker_meter_close(broker, topic, strlen(topic)) == NMQ_OK);
        nmq_meter_unref(open);
        open = NULL;
    } else if (round % METERED == 0) {
        assert(nmq_broker_meter_open(broker, topic, strlen(topic), &open) == NMQ_OK);
    }
}

void
steering_round(nmq_broker *broker, int round)
{
    static const char topic[] = "m/s/b";
    static const char *const clients[] = {"c1", "c2", "c3", "c4", "nobody"};
    const char *client_id = clients[round % 5];
    nmq_chunk *chunk = NULL;

    steer(broker, client_id, round);
    ask(broker, client_id);
    meter(broker, topic, round);
    publish_as(broker, client_id, topic, round);
    assert(nmq_broker_retained_message(broker, topic, strlen(topic), &chunk) == NMQ_OK);
    nmq_chunk_free(chunk);
    if (round % DISCARDS == 0) {
        (void) nmq_broker_discard(broker, "c4", 2, 0x98);
    }
}
