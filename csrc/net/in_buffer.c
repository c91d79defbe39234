#include "net/in_buffer.h"

#include "base/live.h"
#include "base/mem.h"
#include "base/status.h"
#include "mqtt/decode.h"

enum {
    IN_CAP_MAX = 1 << 18,
    IN_CAP_STRANGER = 1 << 16, // before CONNECT is accepted
    IN_CAP_LEAST = 1 << 14,    // that any client may have under load
    IN_CAP_SHORT = 1 << 12,    // while memory is short, between packets
    IN_GROWTH = 4,
    IN_GRANT = 1 << 20, // bytes given to a packet before they have come
    QUIET_READS = 8,    // reads of less than a quarter before the buffer shrinks
};

// The room that a packet which has begun is granted now. A client that is let in gets the
// whole of a small packet; a stranger, and a client that announces a large one, get twice
// what has come.
static size_t
room_for_packet(const nmq_conn *conn)
{
    const nmq_buf *in = &conn->in;
    size_t grant = nmq_conn_is_stranger(conn) ? 0 : IN_GRANT;
    size_t size = 0;

    (void) nmq_decode_size((nmq_bytes){in->at, conn->plain}, &size);
    if (grant < 2 * in->len) {
        grant = 2 * in->len;
    }
    size += conn->ws != NULL ? NMQ_WS_RAW_BYTES : 0;
    return size < grant ? size : grant;
}

// How large the buffer for the next read shall be, or NMQ_ESHORT. While memory is short a
// packet that needs a large one waits.
static int
choose_in(const nmq_conn *conn, size_t *want)
{
    bool is_short = NMQ_LIVE(*conn->conns->memory) != NMQ_MEMORY_FINE;
    const nmq_buf *in = &conn->in;
    size_t room = conn->plain > 0 ? room_for_packet(conn) : 0;
    size_t least = nmq_conn_is_stranger(conn) ? IN_CAP_SHORT : IN_CAP_LEAST;

    *want = conn->in_cap_next;
    if (is_short && *want > in->cap && *want > IN_CAP_SHORT) {
        *want = in->cap > IN_CAP_SHORT ? in->cap : IN_CAP_SHORT;
    }
    if (room > *want) {
        *want = room;
    }
    // all that is there is raw, or the packet has just begun: some room will do
    bool full = in->len == in->cap;
    if (is_short && *want > in->cap && *want > least) {
        *want = in->cap > least ? in->cap : least;
        return full && in->cap >= least ? NMQ_ESHORT : NMQ_OK;
    }
    return NMQ_OK;
}

static void
count(nmq_conn *conn, uint32_t bytes)
{
    nmq_counters_add(conn->conns->counters, NMQ_COUNT_BUFFER_BYTES,
                     (uint64_t) bytes - conn->held_in);
    NMQ_LIVE_SET(conn->held_in, bytes);
}

void
nmq_in_buffer_free(nmq_conn *conn)
{
    nmq_buf_free(&conn->in);
    count(conn, 0);
}

int
nmq_in_buffer_prepare(nmq_conn *conn)
{
    nmq_buf *in = &conn->in;
    size_t want;
    int rv = choose_in(conn, &want);

    if (rv != NMQ_OK) {
        return rv;
    }
    if (in->cap == want ||
        (in->cap > want && (in->len > 0 || conn->quiet_reads == 0 || in->cap / 2 < want))) {
        return NMQ_OK;
    }
    uint8_t *at = nmq_resize(in->at, want);
    if (at == NULL) {
        return NMQ_ENOMEM;
    }
    in->at = at;
    in->cap = want;
    count(conn, (uint32_t) want);
    return NMQ_OK;
}

// The largest buffer. One batch must not take a subscriber far over its bound.
static size_t
in_cap_max(const nmq_conn *conn)
{
    size_t part = NMQ_LIVE(conn->conns->options->outbox_max_bytes) / 4;

    if (nmq_conn_is_stranger(conn)) {
        return IN_CAP_STRANGER;
    }
    return part < IN_CAP_LEAST ? IN_CAP_LEAST : part < IN_CAP_MAX ? part : IN_CAP_MAX;
}

void
nmq_in_buffer_adapt(nmq_conn *conn)
{
    if (conn->in.len == conn->in.cap) {
        conn->quiet_reads = 0;
        if (conn->in_cap_next * IN_GROWTH <= in_cap_max(conn)) {
            conn->in_cap_next *= IN_GROWTH;
        }
    } else if (conn->in.len < conn->in.cap / 4) {
        if (++conn->quiet_reads % QUIET_READS == 0 && conn->in_cap_next > NMQ_CONN_IN_MIN) {
            conn->in_cap_next /= IN_GROWTH;
        }
    } else {
        conn->quiet_reads = 0;
    }
}
