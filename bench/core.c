// core.c - the core alone, under callgrind: packets in, packets out, one thread, no
// sockets.
//
//     core SCENARIO ROUNDS      one line of JSON on stdout
//
// A round is BATCH messages from a publisher in one read, and what their subscribers
// answer. The transport takes every send at once and keeps the bytes, so that all that is
// counted is the broker's own work. What is done before the rounds is done whatever their
// number: two runs of different length tell what a message costs.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "broker.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"

enum { BATCH = 64, BYTES = 64, FAN = 100, WILD_SUBS = 1000, WILD_FILTERS = 5 };

typedef struct {
    nmq_stream base; // first: see stream.h
    uint8_t *to;     // of the recv under way; NULL: none
    size_t cap;
    nmq_buf out; // what the broker sent, as far as it is looked at
    uint32_t next_id;
    bool looks; // its output is answered
} end;

static nmq_accept door;
static uint64_t allocations, sends, sent_bytes;
static bool is_counting; // the broker runs

static void
check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "core: %s\n", what);
        exit(2);
    }
}

// --- allocations, counted by the linker's --wrap

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *at, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *at, size_t size);

void *
__wrap_malloc(size_t size)
{
    allocations += is_counting;
    return __real_malloc(size);
}

void *
__wrap_calloc(size_t count, size_t size)
{
    allocations += is_counting;
    return __real_calloc(count, size);
}

void *
__wrap_realloc(void *at, size_t size)
{
    allocations += is_counting;
    return __real_realloc(at, size);
}

// --- the transport

static int
end_recv(nmq_stream *stream, uint8_t *to, size_t cap)
{
    end *e = (end *) stream;

    e->to = to;
    e->cap = cap;
    return NMQ_OK;
}

static int64_t
end_send(nmq_stream *stream, const nmq_bytes *parts, unsigned count)
{
    end *e = (end *) stream;
    int64_t total = 0;

    for (unsigned i = 0; i < count; i++) {
        total += (int64_t) parts[i].len;
        if (e->looks) {
            check(e->out.len + parts[i].len <= e->out.cap, "no room");
            memcpy(e->out.at + e->out.len, parts[i].at, parts[i].len);
            e->out.len += parts[i].len;
        }
    }
    sends++;
    sent_bytes += (uint64_t) total;
    return total;
}

static void
end_close(nmq_stream *stream)
{
    (void) stream;
}

static int
end_peer_name(nmq_stream *stream, enum nmq_peer_name kind, char to[NMQ_PEER_NAME_BYTES])
{
    (void) stream;
    (void) kind;
    to[0] = 0;
    return NMQ_ENOENT;
}

static int
end_refusal(nmq_stream *stream, char to[NMQ_STREAM_REFUSAL_BYTES])
{
    (void) stream;
    to[0] = 0;
    return NMQ_ENOENT;
}

static const nmq_stream_ops end_ops = {
    .recv = end_recv,
    .send = end_send,
    .finish = end_close,
    .close = end_close,
    .free = end_close,
    .peer_name = end_peer_name,
    .refusal = end_refusal,
};

static void
acceptor_start(nmq_acceptor *acceptor)
{
    (void) acceptor;
}

static int
listen_here(const nmq_endpoint *endpoint, const nmq_accept *to, nmq_acceptor **out,
            uint32_t *port)
{
    static const nmq_acceptor_ops ops = {.start = acceptor_start, .stop = acceptor_start};
    static nmq_acceptor acceptor = {&ops};

    (void) endpoint;
    door = *to;
    *out = &acceptor;
    *port = 0;
    return NMQ_OK;
}

static void
feed(end *e, nmq_bytes in)
{
    while (in.len > 0) {
        check(e->to != NULL, "the broker does not read");
        size_t n = in.len < e->cap ? in.len : e->cap;
        memcpy(e->to, in.at, n);
        e->to = NULL;
        is_counting = true;
        e->base.on_recv(e->base.arg, NULL, NMQ_OK, n);
        is_counting = false;
        in = (nmq_bytes){in.at + n, in.len - n};
    }
}

// --- clients

static void
say(end *e, const nmq_packet *packet)
{
    nmq_buf out = {0};

    check(nmq_encode(&out, NMQ_V311, packet) == NMQ_OK, "memory");
    feed(e, (nmq_bytes){out.at, out.len});
    nmq_buf_free(&out);
}

static end *
come_in(const char *role, unsigned index)
{
    static uint8_t none[1];
    nmq_packet packet = {.type = NMQ_CONNECT};
    char id[32];
    end *e = calloc(1, sizeof *e);

    check(e != NULL, "memory");
    e->base.ops = &end_ops;
    e->base.peer = nmq_peer_ip4((const uint8_t[4]){192, 0, 2, 1}, 1);
    e->out.at = none;
    check(door.admit(door.arg, &e->base.peer), "refused");
    door.accept(door.arg, &e->base);
    (void) snprintf(id, sizeof id, "%s%u", role, index);
    packet.connect.version = NMQ_V311;
    packet.connect.clean_start = true;
    packet.connect.client_id = nmq_bytes_of(id);
    say(e, &packet);
    return e;
}

static void
subscribe(end *e, const char *filter, uint8_t qos)
{
    uint8_t list[64] = {0, (uint8_t) strlen(filter)};
    nmq_packet packet = {.type = NMQ_SUBSCRIBE, .packet_id = 1};

    memcpy(list + 2, filter, strlen(filter));
    list[2 + strlen(filter)] = qos;
    packet.list = (nmq_bytes){list, strlen(filter) + 3};
    say(e, &packet);
}

static void
look(end *e)
{
    e->looks = true;
    e->out = (nmq_buf){.at = malloc(1 << 20), .cap = 1 << 20};
    check(e->out.at != NULL, "memory");
}

// Answers what the broker sent to it, as a client does, in one write.
static void
answer(end *e)
{
    uint8_t acks[BATCH * 8];
    uint8_t *to = acks;
    size_t at = 0;
    nmq_packet got;

    while (at < e->out.len) {
        int took = nmq_decode((nmq_bytes){e->out.at + at, e->out.len - at}, NMQ_V311, &got);
        check(took > 0 && to + 8 <= acks + sizeof acks, "not a packet");
        at += (size_t) took;
        uint8_t type = got.type == NMQ_PUBLISH && got.publish.qos == 1   ? NMQ_PUBACK
                       : got.type == NMQ_PUBLISH && got.publish.qos == 2 ? NMQ_PUBREC
                       : got.type == NMQ_PUBREC                          ? NMQ_PUBREL
                       : got.type == NMQ_PUBREL                          ? NMQ_PUBCOMP
                                                                         : 0;
        to = type != 0 ? nmq_encode_ack(to, NMQ_V311, type, got.packet_id, 0) : to;
    }
    e->out.len = 0;
    feed(e, (nmq_bytes){acks, (size_t) (to - acks)});
}

// BATCH messages on topics that `topic_of` names.
static void
publish(end *e, uint8_t qos, void (*topic_of)(char *to, unsigned n), unsigned from)
{
    static uint8_t payload[BYTES];
    nmq_buf out = {0};
    char topic[64];

    for (unsigned i = 0; i < BATCH; i++) {
        nmq_packet packet = {.type = NMQ_PUBLISH};
        topic_of(topic, from + i);
        e->next_id = e->next_id % 65535 + 1;
        packet.packet_id = (uint16_t) e->next_id;
        packet.publish = (nmq_publish){.qos = qos,
                                       .topic_name = nmq_bytes_of(topic),
                                       .payload = {payload, sizeof payload}};
        check(nmq_encode(&out, NMQ_V311, &packet) == NMQ_OK, "memory");
    }
    feed(e, (nmq_bytes){out.at, out.len});
    nmq_buf_free(&out);
}

// --- scenarios

static void
one_topic(char *to, unsigned n)
{
    (void) n;
    (void) strcpy(to, "bench/1");
}

static void
device_topic(char *to, unsigned n)
{
    (void) sprintf(to, "site/7/device/%u/temp", n % (WILD_SUBS * WILD_FILTERS));
}

static void
pairs(uint8_t qos, unsigned rounds)
{
    end *sub = come_in("s", 0), *pub = come_in("p", 0);

    subscribe(sub, "bench/1", qos);
    if (qos > 0) {
        look(sub);
        look(pub);
    }
    for (unsigned n = 0; n < rounds; n++) {
        publish(pub, qos, one_topic, n);
        for (int step = 0; step < qos; step++) {
            answer(sub);
            answer(pub);
        }
    }
}

static void
fan(unsigned rounds)
{
    end *pub = come_in("p", 0);

    for (unsigned i = 0; i < FAN; i++) {
        subscribe(come_in("s", i), "bench/1", 0);
    }
    for (unsigned n = 0; n < rounds; n++) {
        publish(pub, 0, one_topic, n);
    }
}

static void
wild(unsigned rounds)
{
    char filter[64];
    end *pub = come_in("p", 0);

    for (unsigned i = 0; i < WILD_SUBS * WILD_FILTERS; i++) {
        static end *sub;
        sub = i % WILD_FILTERS == 0 ? come_in("s", i) : sub;
        (void) sprintf(filter, "site/+/device/%u/#", i);
        subscribe(sub, filter, 0);
    }
    for (unsigned n = 0; n < rounds; n++) {
        publish(pub, 0, device_topic, n * BATCH);
    }
}

static const nmq_options options = {
    .window = 2048,
    .queue_max = 2048,
    .packet_max_bytes = 1 << 20,
    .send_packet_max_bytes = 1 << 20,
    .topic_levels_max = 128,
    .receive_maximum = 65535,
    .qos_max = 2,
    .retain_available = true,
    .wildcards_available = true,
    .shared_available = true,
    .outbox_max_bytes = 1 << 20,
    .hold_ms = 10000,
    .connect_timeout_ms = 100000,
    .keep_alive_permille = 1500,
    .log_level = 40,
};

int
main(int argc, char **argv)
{
    const nmq_listener_options listener = {0};
    nmq_broker *broker = NULL;
    uint32_t number, port;
    const char *scenario = argc == 3 ? argv[1] : "";
    unsigned rounds = argc == 3 ? (unsigned) strtoul(argv[2], NULL, 10) : 0;
    unsigned copies = 1;

    check(nmq_broker_new_over(&options, listen_here, &broker) == NMQ_OK &&
              nmq_broker_listen(broker, &listener, &number, &port) == NMQ_OK &&
              nmq_broker_accept(broker, number) == NMQ_OK,
          "the broker does not start");
    if (strncmp(scenario, "qos", 3) == 0) {
        pairs((uint8_t) (scenario[3] - '0'), rounds);
    } else if (strcmp(scenario, "fan") == 0) {
        copies = FAN;
        fan(rounds);
    } else if (strcmp(scenario, "wild") == 0) {
        wild(rounds);
    } else {
        fputs("core qos0|qos1|qos2|fan|wild ROUNDS\n", stderr);
        return 2;
    }
    printf("{\"messages\":%u,\"allocations\":%llu,\"sends\":%llu,\"sent_bytes\":%llu}\n",
           rounds * BATCH * copies, (unsigned long long) allocations,
           (unsigned long long) sends, (unsigned long long) sent_bytes);
    return 0; // the process is over: nothing is freed
}
