// stress.c - threads without Python, for ThreadSanitizer and AddressSanitizer.
//
// A transport of socket pairs stands in for nng's streams behind io/stream.h: the poller's
// threads read, and a thread of each stream sends what does not go at once. Clients in
// threads of their own connect, take each other over, subscribe, publish at every QoS, drop
// the line at any moment and come back, while others publish, tap, kick, steer (steering.c)
// and ask (queries.c) through nmq.h. Walkers subscribe to many retained messages that
// change meanwhile, and leave, unsubscribe or subscribe again before they have got all; a
// slow reader is sent large ones. For a while rules ask what clients may do, and not all of
// it is answered. Some linger when the broker stops. With the argument "journal" the broker
// logs.
//
// Promise: no race, no leak, no hang; and a counted flow of QoS 1 messages arrives whole.
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "bridging.h"
#include "broker.h"
#include "dialling.h"
#include "io/poller.h"
#include "journaling.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"
#include "park.h"
#include "queries.h"
#include "steering.h"

enum { TASKS = 4, CLIENTS = 8, ROUNDS = 60, FLOW = 3000 };
enum { WALKERS = 3, LEAVES = 400, LARGE = 16384, OTHERS = 8 + WALKERS, LINGERERS = 10 };

// --- a transport over socket pairs

typedef struct {
    nmq_stream base; // first: see stream.h
    int fd;
    pthread_mutex_t lock;
    pthread_cond_t rest;
    nmq_source source;
    uint8_t *recv_to; // NULL: no read under way
    size_t recv_cap;
    uint8_t *send;   // lock: bytes that wait, a copy; NULL: no send under way
    size_t send_len; // lock
    bool closed;     // lock
    bool freed;      // lock
    bool over;       // lock: its thread has left
    pthread_t thread;
} pair_stream;

static nmq_accept door;

static void
pair_delete(pair_stream *s)
{
    (void) close(s->fd);
    (void) pthread_mutex_destroy(&s->lock);
    (void) pthread_cond_destroy(&s->rest);
    free(s->send);
    free(s);
}

// Sends what could not be sent at once, in a thread of the stream's own.
static void *
pair_run(void *arg)
{
    pair_stream *s = arg;

    (void) pthread_mutex_lock(&s->lock);
    while (!s->freed) {
        if (s->send == NULL) {
            (void) pthread_cond_wait(&s->rest, &s->lock);
            continue;
        }
        struct pollfd p = {.fd = s->fd, .events = POLLOUT};
        bool closed = s->closed;
        (void) pthread_mutex_unlock(&s->lock);
        if (!closed) {
            (void) poll(&p, 1, 5);
        }
        (void) pthread_mutex_lock(&s->lock);
        if (s->closed || p.revents != 0) {
            ssize_t n = s->closed ? -1 : send(s->fd, s->send, s->send_len, MSG_NOSIGNAL);
            if (n < 0 && errno == EAGAIN && !s->closed) {
                continue;
            }
            free(s->send);
            s->send = NULL;
            (void) pthread_mutex_unlock(&s->lock);
            s->base.on_sent(s->base.arg, n > 0 ? NMQ_OK : NMQ_ECLOSED,
                            n > 0 ? (size_t) n : 0);
            (void) pthread_mutex_lock(&s->lock);
        }
    }
    (void) pthread_mutex_unlock(&s->lock);
    pair_delete(s);
    return NULL;
}

static void
pair_ready(nmq_source *source, nmq_worker *worker)
{
    pair_stream *s =
        (pair_stream *) (void *) ((uint8_t *) source - offsetof(pair_stream, source));
    uint8_t *to = s->recv_to;

    s->recv_to = NULL;
    ssize_t n = recv(s->fd, to, s->recv_cap, MSG_DONTWAIT);
    s->base.on_recv(s->base.arg, worker, n > 0 ? NMQ_OK : NMQ_ECLOSED,
                    n > 0 ? (size_t) n : 0);
}

static int
pair_recv(nmq_stream *stream, uint8_t *to, size_t cap)
{
    pair_stream *s = (pair_stream *) stream;

    assert(s->recv_to == NULL);
    s->recv_to = to;
    s->recv_cap = cap;
    return nmq_poller_wait(&s->source);
}

static int64_t
pair_send(nmq_stream *stream, const nmq_bytes *parts, unsigned count)
{
    pair_stream *s = (pair_stream *) stream;
    static unsigned turn;
    struct iovec iov[8];
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = (uint8_t) count};

    for (unsigned i = 0; i < count; i++) {
        iov[i] = (struct iovec){(void *) (uintptr_t) parts[i].at, parts[i].len};
    }
    // Every fourth send takes the slow way, as a full socket would make it.
    bool slow = __atomic_add_fetch(&turn, 1, __ATOMIC_RELAXED) % 4 == 0;
    (void) pthread_mutex_lock(&s->lock);
    assert(s->send == NULL);
    ssize_t n = s->closed || slow ? 0 : sendmsg(s->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n <= 0) {
        n = 0;
        s->send = malloc(parts[0].len);
        s->send_len = parts[0].len;
        memcpy(s->send, parts[0].at, parts[0].len);
        (void) pthread_cond_signal(&s->rest);
    }
    (void) pthread_mutex_unlock(&s->lock);
    return n;
}

static void
pair_finish(nmq_stream *stream)
{
    (void) shutdown(((pair_stream *) stream)->fd, SHUT_WR);
}

static void
pair_close(nmq_stream *stream)
{
    pair_stream *s = (pair_stream *) stream;

    (void) pthread_mutex_lock(&s->lock);
    s->closed = true;
    (void) shutdown(s->fd, SHUT_RDWR);
    (void) pthread_cond_signal(&s->rest);
    (void) pthread_mutex_unlock(&s->lock);
}

static void
pair_free(nmq_stream *stream)
{
    pair_stream *s = (pair_stream *) stream;

    (void) pthread_mutex_lock(&s->lock);
    assert(s->send == NULL);
    s->freed = true;
    (void) pthread_cond_signal(&s->rest);
    (void) pthread_mutex_unlock(&s->lock);
}

static int
pair_peer_name(nmq_stream *stream, enum nmq_peer_name kind, char to[NMQ_PEER_NAME_BYTES])
{
    (void) stream;
    (void) kind;
    to[0] = 0;
    return NMQ_ENOENT;
}

static int
pair_refusal(nmq_stream *stream, char to[NMQ_STREAM_REFUSAL_BYTES])
{
    (void) stream;
    to[0] = 0;
    return NMQ_ENOENT;
}

static const nmq_stream_ops pair_ops = {
    .recv = pair_recv,
    .send = pair_send,
    .finish = pair_finish,
    .close = pair_close,
    .free = pair_free,
    .peer_name = pair_peer_name,
    .refusal = pair_refusal,
};

static void
pair_start(nmq_acceptor *acceptor)
{
    (void) acceptor;
}

static void
pair_stop(nmq_acceptor *acceptor)
{
    (void) acceptor;
}

static int
pair_listen(const nmq_endpoint *endpoint, const nmq_accept *to, nmq_acceptor **out,
            uint32_t *port)
{
    static const nmq_acceptor_ops ops = {.start = pair_start, .stop = pair_stop};
    static nmq_acceptor acceptor = {&ops};

    (void) endpoint;
    door = *to;
    *out = &acceptor;
    *port = 0;
    return NMQ_OK;
}

// Returns the client's end of a new connection.
static int
dial(void)
{
    int fds[2];
    pair_stream *s = calloc(1, sizeof *s);

    assert(s != NULL && socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    s->base.ops = &pair_ops;
    s->fd = fds[0];
    s->source = (nmq_source){.ready = pair_ready, .fd = fds[0]};
    (void) pthread_mutex_init(&s->lock, NULL);
    (void) pthread_cond_init(&s->rest, NULL);
    s->base.peer = nmq_peer_ip4((const uint8_t[4]){192, 0, 2, 1}, 1);
    assert(door.admit(door.arg, &s->base.peer));
    door.accept(door.arg, &s->base);
    assert(pthread_create(&s->thread, NULL, pair_run, s) == 0);
    (void) pthread_detach(s->thread);
    return fds[1];
}

// --- clients

typedef struct {
    int fd;
    uint8_t version;
    uint8_t in[65536];
    size_t len;
    size_t used; // bytes of the packet handed out last
} client;

static void
say(client *c, const nmq_packet *packet)
{
    nmq_buf out = {0};

    assert(nmq_encode(&out, c->version, packet) == NMQ_OK);
    for (size_t at = 0; at < out.len;) {
        ssize_t n = send(c->fd, out.at + at, out.len - at, MSG_NOSIGNAL);
        if (n <= 0) {
            break; // taken over: the next read sees it
        }
        at += (size_t) n;
    }
    nmq_buf_free(&out);
}

// Reads the next packet. Returns false when the connection is over.
static bool
hear(client *c, nmq_packet *packet)
{
    memmove(c->in, c->in + c->used, c->len - c->used);
    c->len -= c->used;
    c->used = 0;
    for (;;) {
        int took = nmq_decode((nmq_bytes){c->in, c->len}, c->version, packet);
        assert(took >= 0);
        if (took > 0) {
            c->used = (size_t) took;
            return true;
        }
        ssize_t n = recv(c->fd, c->in + c->len, sizeof c->in - c->len, 0);
        if (n <= 0) {
            return false;
        }
        c->len += (size_t) n;
    }
}

static bool
come_in(client *c, const char *id, uint8_t version, bool clean)
{
    nmq_packet packet = {.type = NMQ_CONNECT};

    *c = (client){.fd = dial(), .version = version};
    packet.connect.version = version;
    packet.connect.clean_start = clean;
    packet.connect.client_id = nmq_bytes_of(id);
    if (id[0] == 'c' && id[1] % 2 == 0) {
        packet.connect.has_user_name = true;
        packet.connect.user_name = nmq_bytes_of(version == NMQ_V5 ? "ann" : "bob");
    }
    packet.connect.keep_alive_s = 30;
    packet.connect.has_will = true;
    packet.connect.will_topic = nmq_bytes_of("s/will");
    packet.connect.will_payload = nmq_bytes_of("gone");
    if (version == NMQ_V5) {
        nmq_props_set_number(&packet.props, NMQ_PROP_SESSION_EXPIRY_INTERVAL,
                             clean ? 0 : 1);
        nmq_props_set_number(&packet.props, NMQ_PROP_TOPIC_ALIAS_MAXIMUM, 2);
    }
    say(c, &packet);
    return hear(c, &packet) && packet.type == NMQ_CONNACK;
}

static void
listen_to(client *c, const char *filter, uint8_t qos)
{
    uint8_t list[64] = {0, (uint8_t) strlen(filter)};
    nmq_packet packet = {.type = NMQ_SUBSCRIBE, .packet_id = 1};

    memcpy(list + 2, filter, strlen(filter));
    list[2 + strlen(filter)] = qos;
    packet.list = (nmq_bytes){list, strlen(filter) + 3};
    say(c, &packet);
}

static void
tell(client *c, const char *topic, uint8_t qos, uint16_t id, bool retain)
{
    nmq_packet packet = {.type = NMQ_PUBLISH, .packet_id = id};

    packet.publish = (nmq_publish){.qos = qos,
                                   .retain = retain,
                                   .topic_name = nmq_bytes_of(topic),
                                   .payload = nmq_bytes_of("hello")};
    say(c, &packet);
}

static void
answer(client *c, const nmq_packet *got)
{
    nmq_packet reply = {.packet_id = got->packet_id};

    switch (got->type) {
    case NMQ_PUBLISH:
        reply.type = got->publish.qos == 1 ? NMQ_PUBACK : NMQ_PUBREC;
        if (got->publish.qos == 0) {
            return;
        }
        break;
    case NMQ_PUBREC: reply.type = NMQ_PUBREL; break;
    case NMQ_PUBREL: reply.type = NMQ_PUBCOMP; break;
    default: return;
    }
    say(c, &reply);
}

// Comes, does a little of everything, and leaves in one of several ways.
static void *
restless(void *arg)
{
    unsigned seed = (unsigned) (uintptr_t) arg;
    nmq_packet got;
    client *c = calloc(1, sizeof *c);
    char id[16];

    for (int round = 0; round < ROUNDS; round++) {
        (void) snprintf(id, sizeof id, "c%d", rand_r(&seed) % (CLIENTS / 2));
        bool in =
            come_in(c, id, rand_r(&seed) % 2 ? NMQ_V5 : NMQ_V311, rand_r(&seed) % 3 == 0);
        if (in) {
            listen_to(c, rand_r(&seed) % 2 ? "s/#" : "$share/g/s/+", (uint8_t) (round % 3));
            for (uint16_t n = 1; n < 12; n++) {
                tell(c, n % 2 ? "s/a" : "s/b", (uint8_t) (n % 3), n, n == 5);
            }
            for (int n = rand_r(&seed) % 20; n > 0 && hear(c, &got); n--) {
                answer(c, &got);
            }
        }
        if (rand_r(&seed) % 3 == 0) {
            say(c, &(nmq_packet){.type = rand_r(&seed) % 2 ? NMQ_DISCONNECT : NMQ_CONNECT,
                                 .connect.version = c->version});
        }
        (void) close(c->fd);
    }
    free(c);
    return NULL;
}

static void *
publish_flow(void *arg)
{
    client *c = arg;
    nmq_packet got;
    int acked = 0;

    for (int sent = 0; acked < FLOW;) {
        while (sent < FLOW && sent - acked < 50) {
            tell(c, "flow", 1, (uint16_t) (sent % 1000 + 1), false);
            sent++;
        }
        assert(hear(c, &got));
        acked += got.type == NMQ_PUBACK;
    }
    return NULL;
}

// It waits so long for a packet, and no longer.
static void
be_impatient(const client *c)
{
    const struct timeval most = {.tv_usec = 20000};

    assert(setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) == 0);
}

// Begins walks over retained messages, and ends them at any moment in one of several ways.
static void *
walker(void *arg)
{
    static const char *const filters[] = {"w/#", "w/+/1", "#", "w/3/+", "w/none/#"};
    unsigned seed = (unsigned) (uintptr_t) arg;
    nmq_packet got;
    client *c = calloc(1, sizeof *c);
    char id[16];

    for (int round = 0; round < ROUNDS; round++) {
        (void) snprintf(id, sizeof id, "w%d", rand_r(&seed) % 2);
        if (come_in(c, id, rand_r(&seed) % 2 ? NMQ_V5 : NMQ_V311, rand_r(&seed) % 3 == 0)) {
            be_impatient(c);
            for (int n = 0; n < 4; n++) {
                listen_to(c, filters[rand_r(&seed) % 5], (uint8_t) (rand_r(&seed) % 3));
            }
            for (int n = rand_r(&seed) % 300; n > 0 && hear(c, &got); n--) {
                answer(c, &got);
            }
            uint8_t list[] = "\0\3w/#";
            say(c, &(nmq_packet){.type = rand_r(&seed) % 2 ? NMQ_UNSUBSCRIBE : NMQ_PINGREQ,
                                 .packet_id = 2,
                                 .list = {list, sizeof list - 1}});
            (void) hear(c, &got);
        }
        (void) close(c->fd);
    }
    free(c);
    return NULL;
}

// A message of the broker's own, at each QoS in turn.
static void
own_message(nmq_broker *broker, nmq_bytes topic, nmq_bytes payload, int n, bool retain)
{
    static const char props[] = {6, 0x03, 0, 3, 't', 'x', 't'}; // Content Type
    const nmq_publication own = {
        .topic_name = (const char *) topic.at,
        .topic_len = topic.len,
        .payload = (const char *) payload.at,
        .payload_len = payload.len,
        .props = props,
        .props_len = n % 2 == 0 ? sizeof props : 0,
        .expiry_interval_s = 100,
        .expires = n % 5 == 0,
        .qos = (uint8_t) (n % 3),
        .retain = retain,
    };

    assert(nmq_broker_publish(broker, &own) >= 0);
}

// Retained messages come, change and go.
static void *
gardener(void *arg)
{
    nmq_broker *broker = arg;
    char topic[32];

    for (int n = 0; n < 20 * LEAVES; n++) {
        int len = snprintf(topic, sizeof topic, "m/w/%d/%d", n * 7 % 20, n % LEAVES / 20);
        bool goes = n > LEAVES && n % 3 == 0;
        own_message(broker, (nmq_bytes){(const uint8_t *) topic, (size_t) len},
                    nmq_bytes_of(goes ? "" : "leaf"), n, true);
    }
    return NULL;
}

// Sends large messages at every QoS, which one client reads slowly.
static void *
large(void *arg)
{
    static const uint8_t payload[LARGE];
    nmq_broker *broker = arg;

    for (int n = 0; n < 10 * ROUNDS; n++) {
        own_message(broker, nmq_bytes_of("m/large"), (nmq_bytes){payload, sizeof payload},
                    n, n % 16 == 0);
        (void) usleep(200);
    }
    return NULL;
}

static void *
slow(void *arg)
{
    client *c = calloc(1, sizeof *c);
    nmq_packet got;

    (void) arg;
    for (int round = 0; round < ROUNDS / 10; round++) {
        if (come_in(c, "slow", round % 2 ? NMQ_V5 : NMQ_V311, false)) {
            be_impatient(c);
            listen_to(c, round % 3 ? "large" : "$share/h/large", (uint8_t) (round % 3));
            for (int n = 0; n < 40 && hear(c, &got); n++) {
                (void) usleep(2000);
                answer(c, &got);
            }
        }
        (void) close(c->fd);
    }
    free(c);
    return NULL;
}

// Each is told that it is over, by the next one or at its second CONNECT, and stays: so the
// broker stops while they linger, each since another time.
static void
linger(int fds[LINGERERS])
{
    client *c = calloc(1, sizeof *c);

    for (int n = 0; n < LINGERERS; n++) {
        assert(come_in(c, "l", NMQ_V5, true));
        if (n % 2 == 0) {
            say(c, &(nmq_packet){.type = NMQ_CONNECT, .connect.version = NMQ_V5});
        }
        fds[n] = c->fd;
        (void) usleep(25000);
    }
    free(c);
}

static const nmq_options options = {
    .window = 20,
    .queue_max = FLOW,
    .packet_max_bytes = 65536,
    .send_packet_max_bytes = 65536,
    .topic_levels_max = 10,
    .topic_alias_max = 4,
    .send_topic_alias_max = 4,
    .receive_maximum = 20,
    .qos_max = 2,
    .retain_available = true,
    .wildcards_available = true,
    .shared_available = true,
    .subscription_ids_available = true,
    .empty_client_ids = true,
    .outbox_max_bytes = 4096,
    .hold_ms = 500,
    .connect_timeout_ms = 1000,
    .answer_timeout_ms = 20,
    .keep_alive_permille = 1500,
    .retry_interval_s = 1,
    .expiry_max_s = 1,
    .message_rate = 2000,
    .connections_max = 1000,
    .address_connections_max = 1000,
    .subscriptions_max = 100,
    .log_level = 40,
};

// A reload: what may change while clients come, go and talk.
static void
reload(nmq_broker *broker, int round)
{
    nmq_options changed = options;
    nmq_listener_options listener = {.mount = "m/",
                                     .connections_max = 900 + (unsigned) round};

    changed.queue_max += (uint32_t) round % 50;
    changed.window -= (uint32_t) round % 5;
    changed.message_rate = round % 3 == 0 ? 0 : 2000;
    changed.address_connections_max = round % 4 == 0 ? 0 : 1000;
    changed.retry_interval_s = 1 + (uint32_t) round % 2;
    changed.outbox_max_bytes = 4096u << round % 4;
    changed.queue_max_bytes = round % 2 == 0 ? 0 : 1 << 20;
    changed.retain_available = round % 5 != 4;
    changed.retained_max = round % 6 == 5 ? 200 : 0;
    changed.response_information = round % 2 == 0 ? "r/" : NULL;
    assert(nmq_broker_set_options(broker, &changed) == NMQ_OK);
    assert(nmq_broker_set_listener(broker, 1, &listener) == NMQ_OK);
}

// Rights that are taken away end, and some users may not come in any more.
static void
take_away(nmq_broker *broker, int round)
{
    static const char *const names[] = {"ann"};
    static const nmq_kick whom = {
        .user_names = names,
        .user_name_count = 1,
        .reason_code = 0x87,
    };

    assert(nmq_broker_judge(broker) >= 0);
    if (round % 8 == 0) {
        assert(nmq_broker_kick_users(broker, &whom) >= 0);
    }
}

// What no rule decides is asked, but for the counted flow.
static nmq_acl *
asking(void)
{
    static const nmq_acl_topic flow[] = {{.text = "flow"}, {.text = "large"}};
    static const nmq_acl_rule rule = {.allow = true,
                                      .publish = true,
                                      .subscribe = true,
                                      .topics = flow,
                                      .topic_count = 2};
    static const nmq_acl_rules rules = {.at = &rule, .count = 1, .asks = true};

    return nmq_acl_new(&rules);
}

static bool over; // atomic: nobody answers any more

// Answers most of what is asked, in one way or another.
static void *
decide(void *arg)
{
    nmq_broker *broker = arg;
    nmq_note events[64];
    uint8_t verdicts[64];
    unsigned seed = 7;

    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        size_t n = nmq_broker_notes(broker, events, 64);
        for (size_t i = 0; i < n; i++) {
            if (events[i].kind == NMQ_NOTE_ACCESS && rand_r(&seed) % 8 != 0) {
                memset(verdicts, 1 + rand_r(&seed) % 3, sizeof verdicts);
                const nmq_verdicts answer = {.number = events[i].number,
                                             .question = (uint32_t) events[i].code,
                                             .at = verdicts,
                                             .count = sizeof verdicts,
                                             .keep_ms = (uint32_t) rand_r(&seed) % 4};
                (void) nmq_broker_decide(broker, &answer);
            }
            nmq_broker_note_done(&events[i]);
        }
        (void) usleep(n == 0 ? 500 : 0);
    }
    return NULL;
}

// Bans somebody for a moment: clients look meanwhile, and one of them ends.
static void
ban(nmq_broker *broker, int round)
{
    static const char *const whom[] = {"c2", "ann", "203.0.113.0/24"};
    const enum nmq_ban_kind kind = (enum nmq_ban_kind)(round % NMQ_BAN_KINDS);
    const size_t len = strlen(whom[kind]);

    assert(nmq_broker_ban(broker, kind, whom[kind], len, 0) == NMQ_OK);
    assert(nmq_broker_kick_banned(broker, "c2", 2) >= 0);
    assert(nmq_broker_kick_banned(broker, NULL, 0) >= 0);
    assert(nmq_broker_unban(broker, kind, whom[kind], len) == NMQ_OK);
}

static void *
control(void *arg)
{
    static const nmq_acl_topic topics[] = {{.text = "s/%c"}, {.text = "s/#"}};
    static const nmq_acl_topic denied[] = {{.text = "s/b"}};
    static const nmq_acl_rule each[] = {
        {.publish = true,
         .subscribe = true,
         .user_name = "bob",
         .topics = denied,
         .topic_count = 1},
        {.publish = true, .client_id = "c2", .topics = topics, .topic_count = 1},
        {.allow = true,
         .publish = true,
         .subscribe = true,
         .topics = topics,
         .topic_count = 2},
    };
    static const nmq_acl_rules rules = {.at = each, .count = 3, .otherwise = true};
    nmq_broker *broker = arg;
    nmq_feed *feed;
    uint64_t tap;

    for (int round = 0; round < ROUNDS; round++) {
        nmq_stats stats;
        assert(nmq_broker_tap_open(broker, "s/#", 3, 2, &tap, &feed) == NMQ_OK);
        own_message(broker, nmq_bytes_of("s/c"), nmq_bytes_of("x"), round, false);
        nmq_broker_stats(broker, &stats);
        (void) nmq_broker_kick(broker, "c1", 2, 0x98);
        ban(broker, round);
        steering_round(broker, round);
        (void) nmq_broker_subscribe(broker, "c3", 2, "m/w/#", 5, 1, 0);
        (void) nmq_broker_subscribe(broker, "c2", 2, "s/#", 3, 2, 7);
        (void) nmq_broker_unsubscribe(broker, "c2", 2, "s/#", 3);
        nmq_broker_set_acl(broker, round % 4 == 1   ? asking()
                                   : round % 2 == 0 ? nmq_acl_new(&rules)
                                                    : NULL);
        (void) usleep(round % 4 == 1 ? 20000 : 0); // clients come to it
        reload(broker, round);
        take_away(broker, round);
        assert(nmq_broker_tap_close(broker, tap) == NMQ_OK);
        nmq_feed_unref(feed);
    }
    return NULL;
}

// Looks at whole records. Returns how many, and frees the chunk.
static int
count_records(nmq_chunk *chunk)
{
    size_t len = 0;
    const char *at = chunk != NULL ? nmq_chunk_read(chunk, &len) : NULL;
    int count = 0;

    for (uint32_t size; len > 0; at += size, len -= size, count++) {
        memcpy(&size, at, sizeof size);
        assert(size >= sizeof size && size <= len);
    }
    nmq_chunk_free(chunk);
    return count;
}

// Opens taps on all messages, reads retained ones and what comes, and leaves at any moment.
static void *
tapper(void *arg)
{
    nmq_broker *broker = arg;

    for (int round = 0; round < ROUNDS; round++) {
        nmq_chunk *chunk = NULL;
        nmq_feed *feed;
        uint64_t tap;
        int steps = round * 7 % 40;
        assert(nmq_broker_tap_open(broker, "#", 1, 2, &tap, &feed) == NMQ_OK);
        for (int more = 1; more == 1 && steps > 0; steps--) {
            more = nmq_broker_tap_retained(broker, tap, &chunk);
            (void) count_records(chunk); // with the last of them comes 0
        }
        for (chunk = nmq_feed_take(feed); chunk != NULL; chunk = nmq_feed_take(feed)) {
            (void) count_records(chunk);
            (void) usleep(100);
        }
        assert(nmq_broker_tap_close(broker, tap) == NMQ_OK);
        while (count_records(nmq_feed_take(feed)) > 0) {
        }
        nmq_feed_unref(feed);
    }
    return NULL;
}

enum {
    ALL_KINDS = 0
#define EVENT(ID, name, fields, help) | 1 << NMQ_EVENT_##ID
#include "events.def"
    ,
    KINDS = 0
#define EVENT(ID, name, fields, help) +1
#include "events.def"
};

// Asks for kinds of events in turn, and reads some of what happens.
static void *
watcher(void *arg)
{
    nmq_broker *broker = arg;
    int heard = 0;

    for (int round = 0; round < ROUNDS; round++) {
        nmq_feed *feed;
        uint64_t watch;
        uint32_t kinds = round % 3 == 0 ? ALL_KINDS : 2u << round % KINDS;
        assert(nmq_broker_watch_open(broker, kinds, &watch, &feed) == NMQ_OK);
        for (int n = 0; n < 20; n++) {
            heard += count_records(nmq_feed_take(feed));
            (void) usleep(200);
        }
        assert(nmq_broker_watch_close(broker, watch) == NMQ_OK);
        while (count_records(nmq_feed_take(feed)) > 0) {
        }
        nmq_feed_unref(feed);
    }
    assert(heard > 0);
    return NULL;
}

int
main(int argc, char **argv)
{
    bool logs = argc > 1 && strcmp(argv[1], "journal") == 0;
    const nmq_listener_options listener = {.mount = "m/"};
    nmq_broker *broker = NULL;
    uint32_t number;
    uint32_t port;
    client *pub = calloc(1, sizeof *pub);
    client *sub = calloc(1, sizeof *sub);
    pthread_t threads[CLIENTS + OTHERS];
    pthread_t decider;
    nmq_packet got;
    int lingerers[LINGERERS];

    nmq_poller_set_threads(TASKS);
    assert(nmq_poller_start() == NMQ_OK);
    check_park();
    bridging_run();
    dialling_run();
    assert(nmq_broker_new_over(&options, pair_listen, &broker) == NMQ_OK);
    if (logs) {
        journaling_begin(broker);
    }
    assert(nmq_broker_listen(broker, &listener, &number, &port) == NMQ_OK);
    assert(nmq_broker_accept(broker, number) == NMQ_OK);
    queries_begin(broker);
    assert(come_in(sub, "flow-sub", NMQ_V311, true) &&
           come_in(pub, "flow-pub", NMQ_V5, true));
    listen_to(sub, "flow", 1);
    assert(hear(sub, &got) && got.type == NMQ_SUBACK);
    assert(pthread_create(&decider, NULL, decide, broker) == 0);
    assert(pthread_create(&threads[0], NULL, publish_flow, pub) == 0);
    assert(pthread_create(&threads[1], NULL, control, broker) == 0);
    for (uintptr_t n = 0; n < CLIENTS; n++) {
        assert(pthread_create(&threads[2 + n], NULL, restless, (void *) (n + 1)) == 0);
    }
    void *(*const others[OTHERS - 2])(void *) = {
        gardener, large, tapper, watcher, queries_ask, slow, walker, walker, walker};
    for (uintptr_t n = 0; n < OTHERS - 2; n++) {
        void *given = n < 5 ? (void *) broker : (void *) (n + 100);
        assert(pthread_create(&threads[2 + CLIENTS + n], NULL, others[n], given) == 0);
    }
    for (int heard = 0; heard < FLOW;) {
        assert(hear(sub, &got));
        heard += got.type == NMQ_PUBLISH && !got.publish.dup;
        answer(sub, &got);
    }
    for (int n = 0; n < CLIENTS + OTHERS; n++) {
        (void) pthread_join(threads[n], NULL);
    }
    linger(lingerers);
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    (void) pthread_join(decider, NULL);
    nmq_broker_shutdown(broker, 1500);
    queries_end(broker);
    if (logs) {
        journaling_check(broker);
    }
    for (int n = 0; n < LINGERERS; n++) {
        (void) close(lingerers[n]);
    }
    (void) close(pub->fd);
    (void) close(sub->fd);
    nmq_broker_free(broker);
    if (logs) {
        journaling_end();
    }
    free(pub);
    free(sub);
    printf("stress: %d messages of the flow, %d rounds of %d clients; alive: %ld\n", FLOW,
           ROUNDS, CLIENTS, nmq_mem_live());
    return nmq_mem_live() == 0 ? 0 : 1;
}
