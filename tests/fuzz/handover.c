// Promise: whatever the bytes, a new process takes over what is in them or refuses, works
// on, and gives back all memory; what it took it can hand over again.
//
// An input is a run of changes to what a broker with sessions of every kind saved, so that
// most of it holds together; or it stands between a first and a last record.
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "end.h"
#include "mqtt/encode.h"
#include "store/journal_record.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SAVED_MAX = 1 << 16, AROUND = 256 };

static uint8_t saved[SAVED_MAX];
static size_t saved_len;

static const nmq_options options = {
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

static void
tell(nmq_broker *broker, nmq_bytes topic, const char *payload, uint8_t qos, bool retain)
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

static void
say(const nmq_packet *packet)
{
    nmq_buf out = {0};

    assert(nmq_encode(&out, NMQ_V5, packet) == NMQ_OK);
    fuzz_say(FUZZ_PLAIN, (nmq_bytes){out.at, out.len});
    nmq_buf_free(&out);
    fuzz_pump();
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

static size_t
save(nmq_broker *broker, uint8_t *to, size_t cap)
{
    int fd = memfd_create("handover", MFD_CLOEXEC);

    assert(fd >= 0 && nmq_broker_save(broker, fd) >= 0);
    ssize_t len = pread(fd, to, cap, 0);
    assert(len >= 0);
    (void) close(fd);
    return (size_t) len;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    nmq_broker *broker = fuzz_broker_new(&options);

    (void) argc;
    (void) argv;
    assert(broker != NULL);
    for (int n = 0; n < RETAINED; n++) {
        const char topic[4] = {'r', '/', (char) ('a' + n % 3), (char) ('a' + n)};
        tell(broker, (nmq_bytes){(const uint8_t *) topic, sizeof topic}, "kept", 1, true);
    }
    for (int i = 0; i < 2; i++) {
        come_in(i == 0 ? "first" : "second");
        for (int n = 0; n < 5; n++) { // in flight, then queued
            tell(broker, nmq_bytes_of("t"), "hello", (uint8_t) (n % 3), n == 0);
        }
        fuzz_drop(FUZZ_PLAIN);
        fuzz_pump();
    }
    saved_len = save(broker, saved, sizeof saved);
    assert(saved_len > 0 && saved_len < SAVED_MAX);
    fuzz_broker_free(broker);
    return 0;
}

// Three bytes change one byte; a last one cuts.
static size_t
change(uint8_t *bytes, nmq_bytes in)
{
    size_t len = saved_len;

    memcpy(bytes, saved, saved_len);
    for (; in.len >= 3; in = (nmq_bytes){in.at + 3, in.len - 3}) {
        size_t at = (size_t) (in.at[0] | in.at[1] << 8) % saved_len;
        bytes[at] = in.at[2];
    }
    if (in.len > 0) {
        len -= in.at[0] % saved_len;
    }
    return len;
}

// The input behind a first record, and the last one behind it.
static size_t
make(uint8_t *bytes, nmq_bytes in)
{
    nmq_buf buf = {0};

    assert(nmq_journal_put(&buf, &(nmq_journal_record){
                                     .kind = NMQ_JOURNAL_BEGIN,
                                     .begin = {.format = NMQ_JOURNAL_FORMAT}}) == NMQ_OK);
    assert(nmq_buf_put(&buf, in) == NMQ_OK);
    assert(nmq_journal_put(&buf, &(nmq_journal_record){.kind = NMQ_JOURNAL_END}) == NMQ_OK);
    assert(buf.len <= in.len + AROUND);
    memcpy(bytes, buf.at, buf.len);
    size_t len = buf.len;
    nmq_buf_free(&buf);
    return len;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[SAVED_MAX];

    if (size < 1) {
        return -1;
    }
    nmq_bytes in = {data + 1, size - 1};
    // of exactly its size, so that a read past the end is seen
    uint8_t *bytes = malloc(saved_len + size + AROUND);
    assert(bytes != NULL);
    size_t len = data[0] & 1 ? make(bytes, in) : change(bytes, in);
    uint8_t *exact = realloc(bytes, len + (len == 0));
    assert(exact != NULL);
    nmq_broker *broker = fuzz_broker_new(&options);
    assert(broker != NULL);
    int rv = nmq_broker_restore(broker, (const char *) exact, len);
    assert(rv >= 0 || rv == NMQ_EMALFORMED || rv == NMQ_EFILTER || rv == NMQ_EINVAL);
    tell(broker, nmq_bytes_of("t"), "x", 2, true);
    fuzz_pass_time(100000);
    (void) save(broker, again, sizeof again);
    fuzz_broker_free(broker);
    free(exact);
    assert(nmq_mem_live() == 0);
    return 0;
}
