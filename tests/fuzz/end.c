#include "end.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/decode.h"

enum { SAID_MAX = 1 << 14, HEARD_MAX = 1 << 15, ROUNDS_MAX = 200, ROUND_MS = 5000 };

typedef struct {
    nmq_stream base; // first: see stream.h
    enum fuzz_kind kind;
    uint8_t *to; // of the recv under way; NULL: none
    size_t cap;
    size_t room;     // taken between one pump and the next
    size_t left;     // of it
    size_t send_len; // of the send under way, 0: none
    const uint8_t *send;
    uint8_t said[SAID_MAX]; // waits to be read
    size_t said_len;
    uint8_t heard[HEARD_MAX]; // not taken apart yet
    size_t heard_len;
    uint8_t version;  // from CONNACK on
    bool is_upgraded; // WebSocket: the answer to the upgrade is over
    bool overheard;   // more came than is looked at
    bool gone;        // the peer is
    bool closed;      // by the broker
    bool freed;       // by the broker
} end;

static end *ends[FUZZ_ENDS];
static nmq_accept doors[FUZZ_KINDS];
static unsigned listening;

// The same names hash the same in each run.
ssize_t __wrap_getrandom(void *at, size_t len, unsigned flags);
ssize_t
__wrap_getrandom(void *at, size_t len, unsigned flags)
{
    static uint8_t draw;

    (void) flags;
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *) at)[i] = draw = (uint8_t) (draw * 5 + 113);
    }
    return (ssize_t) len;
}

// --- what the broker says

// A server's frames have no mask. Returns the bytes of those that are whole.
static size_t
whole_frames(const uint8_t *at, size_t len)
{
    size_t used = 0;

    for (;;) {
        const uint8_t *frame = at + used;
        size_t left = len - used, head = 2, size = 0;
        if (left < head) {
            break;
        }
        size = frame[1] & 127;
        assert((frame[1] & 128) == 0); // only clients mask
        head += size == 126 ? 2 : size == 127 ? 8 : 0;
        if (left < head) {
            break;
        }
        for (size_t i = 2; i < head; i++) {
            size = i == 2 ? frame[i] : size << 8 | frame[i];
        }
        if (left - head < size) {
            break;
        }
        used += head + size;
    }
    return used;
}

// Takes whole packets off the front. Each must be one that a server may send.
static size_t
take_packets(end *e, const uint8_t *at, size_t len)
{
    size_t used = 0;
    nmq_packet packet;

    while (used < len) {
        if (e->version == 0 && len - used >= 2) {
            assert(at[used] >> 4 == NMQ_CONNACK || at[used] >> 4 == NMQ_AUTH);
            e->version = at[used + 1] > 2 || at[used] >> 4 == NMQ_AUTH ? NMQ_V5 : NMQ_V311;
        }
        int took = nmq_decode((nmq_bytes){at + used, len - used}, e->version, &packet);
        assert(took >= 0);
        if (took == 0) {
            break;
        }
        assert(packet.type != NMQ_CONNECT && packet.type != NMQ_SUBSCRIBE &&
               packet.type != NMQ_UNSUBSCRIBE && packet.type != NMQ_PINGREQ);
        used += (size_t) took;
    }
    return used;
}

static void
look(end *e)
{
    size_t used = 0;

    if ((e->kind == FUZZ_WS || e->kind == FUZZ_WS_RAW) && !e->is_upgraded) {
        const uint8_t *over = memmem(e->heard, e->heard_len, "\r\n\r\n", 4);
        used = over != NULL ? (size_t) (over - e->heard) + 4 : 0;
        e->is_upgraded = over != NULL;
    } else if (e->kind == FUZZ_WS || e->kind == FUZZ_WS_RAW) {
        used = whole_frames(e->heard, e->heard_len);
    } else {
        used = take_packets(e, e->heard, e->heard_len);
    }
    e->heard_len -= used;
    memmove(e->heard, e->heard + used, e->heard_len);
}

static void
hear(end *e, nmq_bytes bytes)
{
    if (e->overheard || e->heard_len + bytes.len > sizeof e->heard) {
        e->overheard = true;
        return;
    }
    memcpy(e->heard + e->heard_len, bytes.at, bytes.len);
    e->heard_len += bytes.len;
    look(e);
}

// --- the transport

static int
end_recv(nmq_stream *stream, uint8_t *to, size_t cap)
{
    end *e = (end *) stream;

    assert(e->to == NULL && !e->freed && cap > 0);
    e->to = to;
    e->cap = cap;
    return NMQ_OK;
}

static int64_t
end_send(nmq_stream *stream, const nmq_bytes *parts, unsigned count)
{
    end *e = (end *) stream;
    int64_t taken = 0;

    assert(e->send_len == 0 && !e->freed && count > 0 && count <= 8);
    if (e->gone || e->closed) {
        return NMQ_ECLOSED;
    }
    for (unsigned i = 0; i < count && e->left > 0; i++) {
        size_t n = parts[i].len < e->left ? parts[i].len : e->left;
        hear(e, (nmq_bytes){parts[i].at, n});
        e->left -= n;
        taken += (int64_t) n;
    }
    if (taken == 0) {
        e->send = parts[0].at;
        e->send_len = parts[0].len;
    }
    return taken;
}

// Its peer goes when the input says so.
static void
end_finish(nmq_stream *stream)
{
    assert(!((end *) stream)->freed);
}

static void
end_close(nmq_stream *stream)
{
    ((end *) stream)->closed = true;
}

static void
end_free(nmq_stream *stream)
{
    end *e = (end *) stream;

    assert(e->to == NULL && e->send_len == 0 && !e->freed);
    e->freed = true;
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
    .finish = end_finish,
    .close = end_close,
    .free = end_free,
    .peer_name = end_peer_name,
    .refusal = end_refusal,
};

static void
nothing(nmq_acceptor *acceptor)
{
    (void) acceptor;
}

static int
listen_here(const nmq_endpoint *endpoint, const nmq_accept *to, nmq_acceptor **out,
            uint32_t *port)
{
    static const nmq_acceptor_ops ops = {.start = nothing, .stop = nothing};
    static nmq_acceptor acceptor = {&ops};

    (void) endpoint;
    doors[listening++] = *to;
    *out = &acceptor;
    *port = 0;
    return NMQ_OK;
}

// --- ends

static void
collect(void)
{
    for (unsigned i = 0; i < FUZZ_ENDS; i++) {
        if (ends[i] != NULL && ends[i]->freed) {
            free(ends[i]);
            ends[i] = NULL;
        }
    }
}

static bool
pump_one(end *e)
{
    bool lost = e->gone || e->closed;

    if (e->send_len > 0 && (lost || e->left > 0)) {
        size_t n = e->send_len < e->left ? e->send_len : e->left;
        e->left -= n;
        if (!lost) {
            hear(e, (nmq_bytes){e->send, n});
        }
        e->send_len = 0;
        e->base.on_sent(e->base.arg, lost ? NMQ_ECLOSED : NMQ_OK, lost ? 0 : n);
        return true;
    }
    if (e->to == NULL || (e->said_len == 0 && !lost)) {
        return false;
    }
    size_t n = e->closed ? 0 : e->said_len < e->cap ? e->said_len : e->cap;
    memcpy(e->to, e->said, n);
    e->said_len -= n;
    memmove(e->said, e->said + n, e->said_len);
    e->to = NULL;
    e->base.on_recv(e->base.arg, NULL, n > 0 ? NMQ_OK : NMQ_ECLOSED, n);
    return true;
}

void
fuzz_pump(void)
{
    bool moved = true;

    for (unsigned i = 0; i < FUZZ_ENDS; i++) {
        if (ends[i] != NULL) {
            ends[i]->left = ends[i]->room;
        }
    }
    while (moved) {
        moved = fuzz_run_job();
        for (unsigned i = 0; i < FUZZ_ENDS; i++) {
            moved = (ends[i] != NULL && !ends[i]->freed && pump_one(ends[i])) || moved;
        }
        collect();
    }
}

bool
fuzz_open(unsigned number)
{
    static const char upgrade[] =
        "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: mqtt\r\n\r\n";
    const nmq_accept *door = &doors[number];

    if (ends[number] != NULL) {
        return true;
    }
    end *e = calloc(1, sizeof *e);
    assert(e != NULL);
    e->base.ops = &end_ops;
    e->base.peer = nmq_peer_ip4((const uint8_t[4]){192, 0, 2, 1}, (uint16_t) number);
    e->kind = number;
    e->room = e->left = SIZE_MAX;
    if (!door->admit(door->arg, &e->base.peer)) {
        free(e);
        return false;
    }
    ends[number] = e;
    door->accept(door->arg, &e->base);
    collect();
    if (ends[number] != NULL && e->kind == FUZZ_WS) {
        memcpy(e->said, upgrade, sizeof upgrade - 1);
        e->said_len = sizeof upgrade - 1;
    }
    return ends[number] != NULL;
}

void
fuzz_say(unsigned number, nmq_bytes bytes)
{
    end *e = ends[number];

    if (e == NULL || e->said_len + bytes.len + 8 > sizeof e->said) {
        return;
    }
    if (e->kind == FUZZ_WS) { // the mask is 0
        uint8_t head[8] = {0x82, 0xfe, (uint8_t) (bytes.len >> 8), (uint8_t) bytes.len};
        memcpy(e->said + e->said_len, head, sizeof head);
        e->said_len += sizeof head;
    }
    memcpy(e->said + e->said_len, bytes.at, bytes.len);
    e->said_len += bytes.len;
}

void
fuzz_drop(unsigned number)
{
    if (ends[number] != NULL) {
        ends[number]->gone = true;
    }
}

void
fuzz_set_room(unsigned number, size_t room)
{
    if (ends[number] != NULL) {
        ends[number]->room = room;
    }
}

// --- the broker

nmq_broker *
fuzz_broker_new(const nmq_options *options)
{
    static const nmq_listener_options listeners[FUZZ_KINDS] = {
        [FUZZ_PLAIN] = {.ask_auth = false},
        [FUZZ_WS] = {.path = "/mqtt"},
        [FUZZ_WS_RAW] = {.path = "/mqtt", .mount = "m/%c/", .ask_auth = true},
        [FUZZ_PROXIED] = {.proxy = true, .connections_max = 2},
    };
    nmq_broker *broker = NULL;
    uint32_t number, port;

    listening = 0;
    if (nmq_broker_new_over(options, listen_here, &broker) != NMQ_OK) {
        return NULL;
    }
    for (unsigned kind = 0; kind < FUZZ_KINDS; kind++) {
        if (nmq_broker_listen(broker, &listeners[kind], &number, &port) != NMQ_OK ||
            nmq_broker_accept(broker, number) != NMQ_OK) {
            nmq_broker_free(broker);
            return NULL;
        }
    }
    return broker;
}

// Says the same of each topic.
static void
decide(nmq_broker *broker, const nmq_note *note, uint8_t verdict)
{
    nmq_verdicts answer = {.number = note->number, .question = (uint32_t) note->code};
    uint8_t verdicts[64];
    nmq_wish wish;

    nmq_note_access(note, &wish);
    while (nmq_wish_topic(&wish)) {
        assert(answer.count < sizeof verdicts && wish.topic != NULL);
        verdicts[answer.count++] = verdict;
    }
    answer.at = verdicts;
    (void) nmq_broker_decide(broker, &answer);
}

void
fuzz_answer(nmq_broker *broker, uint8_t reason_code)
{
    nmq_note notes[16];
    size_t n;

    while ((n = nmq_broker_notes(broker, notes, 16)) > 0) {
        for (size_t i = 0; i < n; i++) {
            nmq_answer answer = {.number = notes[i].number, .reason_code = reason_code};
            nmq_credentials asked;
            if (notes[i].kind == NMQ_NOTE_AUTH) {
                nmq_note_auth(&notes[i], &asked);
                answer.data = asked.data;
                answer.data_len = asked.data_len;
                (void) nmq_broker_answer(broker, &answer);
            }
            if (notes[i].kind == NMQ_NOTE_ACCESS) {
                decide(broker, &notes[i], (uint8_t) (1 + reason_code % 3));
            }
            nmq_broker_note_done(&notes[i]);
        }
    }
}

void
fuzz_broker_free(nmq_broker *broker)
{
    unsigned left = 1;

    for (int round = 0; left > 0; round++) {
        assert(round < ROUNDS_MAX); // a connection that never ends
        left = 0;
        for (unsigned i = 0; i < FUZZ_ENDS; i++) {
            fuzz_drop(i);
        }
        fuzz_pump();
        fuzz_answer(broker, 0x87);
        fuzz_pass_time(ROUND_MS);
        fuzz_pump();
        for (unsigned i = 0; i < FUZZ_ENDS; i++) {
            left += ends[i] != NULL;
        }
    }
    nmq_broker_free(broker);
}
