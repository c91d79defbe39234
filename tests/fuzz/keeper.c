#include "keeper.h"

#include <assert.h>
#include <string.h>

#include "base/status.h"
#include "mqtt/encode.h"

const nmq_options fuzz_kept_options = {
    .window = 20,
    .queue_max = 100,
    .packet_max_bytes = 16384,
    .send_packet_max_bytes = 16384,
    .topic_levels_max = 8,
    .receive_maximum = 10,
    .qos_max = 2,
    .retain_available = true,
    .wildcards_available = true,
    .shared_available = true,
    .subscription_ids_available = true,
    .outbox_max_bytes = 8192,
    .hold_ms = 1000,
    .connect_timeout_ms = 10000,
    .keep_alive_permille = 1500,
    .expiry_max_s = UINT32_MAX,
    .log_level = 100,
};

void
fuzz_tell(nmq_broker *broker, nmq_bytes topic, const char *payload, uint8_t qos,
          bool retain)
{
    const nmq_publication publication = {
        .topic_name = (const char *) topic.at,
        .topic_len = topic.len,
        .payload = payload,
        .payload_len = strlen(payload),
        .qos = qos,
        .retain = retain,
    };

    assert(nmq_broker_publish(broker, &publication) >= 0);
}

static void (*settle_now)(void *arg);
static void *settle_arg;

static void
settle(void)
{
    if (settle_now != NULL) {
        settle_now(settle_arg);
        fuzz_pump();
    }
}

static void
say(const nmq_packet *packet)
{
    nmq_buf out = {0};

    assert(nmq_encode(&out, NMQ_V5, packet) == NMQ_OK);
    fuzz_say(FUZZ_PLAIN, (nmq_bytes){out.at, out.len});
    nmq_buf_free(&out);
    fuzz_pump();
    settle();
}

static void
come_in(const char *id)
{
    nmq_packet packet = {.type = NMQ_CONNECT};
    static const uint8_t list[] = "\0\1t\2\0\2t/\1\0\13$share/g/t\1\0\3r/#\1";

    assert(fuzz_open(FUZZ_PLAIN));
    packet.connect = (nmq_connect){
        .version = NMQ_V5,
        .client_id = nmq_bytes_of(id),
        .has_will = true,
        .will_qos = 1,
        .will_topic = nmq_bytes_of("will"),
        .will_payload = nmq_bytes_of("gone"),
        .has_user_name = true,
        .user_name = nmq_bytes_of("user"),
    };
    nmq_props_set_number(&packet.props, NMQ_PROP_SESSION_EXPIRY_INTERVAL, 3600);
    nmq_props_set_number(&packet.props, NMQ_PROP_RECEIVE_MAXIMUM, 2);
    nmq_props_set_number(&packet.connect.will_props, NMQ_PROP_WILL_DELAY_INTERVAL, 60);
    nmq_props_set_number(&packet.connect.will_props, NMQ_PROP_MESSAGE_EXPIRY_INTERVAL, 60);
    say(&packet);
    packet = (nmq_packet){.type = NMQ_SUBSCRIBE, .packet_id = 1};
    packet.list = (nmq_bytes){list, 4 + 5 + 14 + 6};
    nmq_props_set_number(&packet.props, NMQ_PROP_SUBSCRIPTION_IDENTIFIER, 5);
    say(&packet);
    packet = (nmq_packet){.type = NMQ_PUBLISH, .packet_id = 9};
    packet.publish = (nmq_publish){.qos = 2, .topic_name = nmq_bytes_of("x")};
    say(&packet); // its PUBREL never comes
}

enum { RETAINED = 20 }; // more than go out with a SUBACK

void
fuzz_keep(nmq_broker *broker, void (*settle_fn)(void *arg), void *arg)
{
    settle_now = settle_fn;
    settle_arg = arg;
    for (int n = 0; n < RETAINED; n++) {
        const char topic[4] = {'r', '/', (char) ('a' + n % 3), (char) ('a' + n)};
        fuzz_tell(broker, (nmq_bytes){(const uint8_t *) topic, sizeof topic}, "kept", 1,
                  true);
    }
    for (int i = 0; i < 2; i++) {
        come_in(i == 0 ? "first" : "second");
        for (int n = 0; n < 5; n++) { // in flight, then queued
            fuzz_tell(broker, nmq_bytes_of("t"), "hello", (uint8_t) (n % 3), n == 0);
        }
        settle();
        fuzz_drop(FUZZ_PLAIN);
        fuzz_pump();
        settle();
    }
}
