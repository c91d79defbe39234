#include "io/ws.h"

#include <stdio.h>
#include <string.h>

#include "base/sha1.h"
#include "base/status.h"
#include "base/ws_frame.h"
#include "io/http_text.h"

enum {
    KEY_CHARS = 24,
    CLOSE_NORMAL = 1000,
    CLOSE_PROTOCOL_ERROR = 1002,
    CLOSE_UNSUPPORTED = 1003,
};

void
nmq_ws_fini(nmq_ws *ws)
{
    nmq_buf_free(&ws->reply);
    *ws = (nmq_ws){0};
}

static int
put_text(nmq_buf *to, const char *text)
{
    return nmq_buf_put(to, nmq_bytes_of(text));
}

// --- the upgrade

// What a request says, as far as it matters.
typedef struct {
    nmq_bytes method;
    nmq_bytes path;
    nmq_bytes key;
    nmq_bytes version;
    const char *protocol; // the one chosen; NULL: none
    bool offers;          // it names subprotocols
    bool http11;
    bool upgrade;
    bool connection_upgrade;
} request;

// The client's list is in the order of its preference; several headers are one list.
static void
choose_protocol(request *r, nmq_bytes list)
{
    static const char *const known[] = {"mqtt", "mqttv3.1"};

    while (r->protocol == NULL && list.len > 0) {
        nmq_bytes offered = nmq_http_trimmed(nmq_http_cut(&list, ','));
        r->offers = r->offers || offered.len > 0;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            if (nmq_bytes_equal(offered, nmq_bytes_of(known[i]))) {
                r->protocol = known[i];
            }
        }
    }
}

static void
read_header(request *r, nmq_bytes name, nmq_bytes value)
{
    if (nmq_http_is(name, "Upgrade")) {
        r->upgrade = r->upgrade || nmq_http_has_word(value, "websocket");
    } else if (nmq_http_is(name, "Connection")) {
        r->connection_upgrade =
            r->connection_upgrade || nmq_http_has_word(value, "upgrade");
    } else if (nmq_http_is(name, "Sec-WebSocket-Key")) {
        r->key = value;
    } else if (nmq_http_is(name, "Sec-WebSocket-Version")) {
        r->version = value;
    } else if (nmq_http_is(name, "Sec-WebSocket-Protocol")) {
        choose_protocol(r, value);
    }
}

// Whether the path is the one to ask for. A query does not count.
static bool
is_path(nmq_bytes asked, nmq_bytes path)
{
    return nmq_bytes_equal(path, nmq_bytes_of("*")) || nmq_bytes_equal(asked, path);
}

// Reads the lines of a request. Returns false where they are no HTTP.
static bool
read_request(request *r, nmq_bytes in)
{
    nmq_bytes line = nmq_http_cut(&in, '\r');

    *r = (request){.method = nmq_http_cut(&line, ' ')};
    nmq_bytes target = nmq_http_cut(&line, ' ');
    r->path = nmq_http_cut(&target, '?');
    r->http11 = nmq_http_is(line, "HTTP/1.1");
    while (in.len > 1) {
        in = (nmq_bytes){in.at + 1, in.len - 1}; // the LF
        line = nmq_http_cut(&in, '\r');
        nmq_bytes name = nmq_http_cut(&line, ':');
        if (name.len == 0 || line.at == NULL) {
            return false;
        }
        read_header(r, name, nmq_http_trimmed(line));
    }
    return r->method.len > 0 && r->path.len > 0;
}

static const char not_found[] = "404 Not Found\r\n";

// Returns the status line and headers of an error, or NULL when the request is good. A
// client that offers no subprotocol at all is let in: the clients that forget it
// [MQTT-6.0.0-3] speak MQTT, and nobody else asks for this path.
static const char *
fault_of(const request *r, nmq_bytes path)
{
    if (!r->http11) {
        return "505 HTTP Version Not Supported\r\n";
    }
    if (!nmq_http_is(r->method, "GET")) {
        return "405 Method Not Allowed\r\nAllow: GET\r\n";
    }
    if (!is_path(r->path, path)) {
        return not_found;
    }
    if (!r->upgrade || !r->connection_upgrade || !nmq_http_is(r->version, "13")) {
        return "426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "
               "13\r\n";
    }
    if (r->key.len != KEY_CHARS || (r->offers && r->protocol == NULL)) {
        return "400 Bad Request\r\n";
    }
    return NULL;
}

static int
put_fault(nmq_buf *reply, const char *status)
{
    int rv = put_text(reply, "HTTP/1.1 ");

    if (rv == NMQ_OK) {
        rv = put_text(reply, status);
    }
    if (rv == NMQ_OK) {
        rv = put_text(reply, "Connection: close\r\nContent-Length: 0\r\n\r\n");
    }
    return rv == NMQ_OK ? NMQ_EMALFORMED : rv;
}

static int
put_welcome(const request *r, nmq_buf *reply)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t text[KEY_CHARS + sizeof guid];
    uint8_t digest[NMQ_SHA1_BYTES];
    char accept[32];
    char head[256];
    bool chosen = r->protocol != NULL;

    memcpy(text, r->key.at, KEY_CHARS);
    memcpy(text + KEY_CHARS, guid, sizeof guid);
    nmq_sha1((nmq_bytes){text, sizeof text - 1}, digest);
    nmq_base64((nmq_bytes){digest, sizeof digest}, accept);
    (void) snprintf(head, sizeof head,
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
                    "%s%s%s\r\n", // [MQTT-6.0.0-4]
                    accept, chosen ? "Sec-WebSocket-Protocol: " : "",
                    chosen ? r->protocol : "", chosen ? "\r\n" : "");
    return put_text(reply, head);
}

nmq_bytes
nmq_ws_path(nmq_bytes in)
{
    request r;

    return read_request(&r, nmq_http_cut(&in, '\r')) ? r.path : (nmq_bytes){0};
}

int
nmq_ws_upgrade(nmq_ws *ws, nmq_bytes in, nmq_bytes path, nmq_buf *reply)
{
    const uint8_t *end = in.len > 0 ? memmem(in.at, in.len, "\r\n\r\n", 4) : NULL;
    request r;

    if (end == NULL) {
        return in.len < NMQ_WS_UPGRADE_BYTES
                   ? 0
                   : put_fault(reply, "431 Request Header Fields Too Large\r\n");
    }
    size_t size = (size_t) (end - in.at);
    if (!read_request(&r, (nmq_bytes){in.at, size})) {
        return put_fault(reply, "400 Bad Request\r\n");
    }
    const char *fault = fault_of(&r, path);
    if (fault != NULL) {
        int rv = put_fault(reply, fault);
        return rv == NMQ_EMALFORMED && fault == not_found ? NMQ_ENOENT : rv;
    }
    if (put_welcome(&r, reply) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    __atomic_store_n(&ws->upgraded, true, __ATOMIC_RELAXED);
    return (int) size + 4;
}

// --- frames

int
nmq_ws_put_close(nmq_buf *to, uint16_t code)
{
    uint8_t frame[4] = {NMQ_FRAME_FIN | NMQ_FRAME_CLOSE, 2, (uint8_t) (code >> 8),
                        (uint8_t) code};

    return nmq_buf_put(to, (nmq_bytes){frame, sizeof frame});
}

static int
end(nmq_ws *ws, uint16_t code, int status)
{
    __atomic_store_n(&ws->close_code, code, __ATOMIC_RELAXED);
    return status;
}

bool
nmq_ws_is_open(const nmq_ws *ws)
{
    return __atomic_load_n(&ws->upgraded, __ATOMIC_RELAXED);
}

uint16_t
nmq_ws_close_code(const nmq_ws *ws)
{
    uint16_t code = __atomic_load_n(&ws->close_code, __ATOMIC_RELAXED);

    return code != 0 ? code : CLOSE_NORMAL;
}

bool
nmq_ws_is_pong(const nmq_buf *reply)
{
    return reply->len > 0 && reply->at[0] == (NMQ_FRAME_FIN | NMQ_FRAME_PONG);
}

typedef struct {
    uint8_t op;
    bool fin;
    uint64_t size;
    size_t head; // bytes of it
    const uint8_t *mask;
} frame;

static const uint8_t no_mask[4] = {0};

// Returns 1 for a whole head, 0 if more is needed, or minus the close code.
static int
read_head(const nmq_ws *ws, nmq_bytes in, frame *f)
{
    if (in.len < 2) {
        return 0;
    }
    *f = (frame){.op = in.at[0] & NMQ_FRAME_OP, .fin = (in.at[0] & NMQ_FRAME_FIN) != 0};
    size_t extra = nmq_frame_more_length(in.at[1]);
    bool control = f->op >= NMQ_FRAME_CLOSE;
    if (f->op == NMQ_FRAME_TEXT) {
        return -CLOSE_UNSUPPORTED; // [MQTT-6.0.0-1]
    }
    bool masked = (in.at[1] & NMQ_FRAME_MASKED) != 0;
    if ((in.at[0] & NMQ_FRAME_RESERVED) != 0 || masked == ws->is_client ||
        f->op > NMQ_FRAME_PONG || (f->op > NMQ_FRAME_BINARY && !control) ||
        (control && (extra != 0 || !f->fin)) ||
        (!control && (f->op == NMQ_FRAME_CONTINUATION) != ws->fragmented)) {
        return -CLOSE_PROTOCOL_ERROR;
    }
    f->head = 2 + extra + (masked ? 4 : 0);
    if (in.len < f->head) {
        return 0;
    }
    f->size = extra == 0 ? in.at[1] & NMQ_FRAME_LENGTH : 0;
    for (size_t i = 0; i < extra; i++) {
        f->size = f->size << 8 | in.at[2 + i];
    }
    f->mask = masked ? in.at + 2 + extra : no_mask;
    return f->size >> 63 == 0 ? 1 : -CLOSE_PROTOCOL_ERROR;
}

static void
unmask(uint8_t *to, const uint8_t *from, size_t len, const uint8_t mask[4], unsigned at)
{
    for (size_t i = 0; i < len; i++) {
        to[i] = from[i] ^ mask[(at + i) & 3];
    }
}

void
nmq_ws_mask(uint8_t *at, const uint8_t mask[4])
{
    size_t extra = nmq_frame_more_length(at[1]);
    uint64_t size = extra == 0 ? at[1] & NMQ_FRAME_LENGTH : 0;
    uint8_t *payload = at + 2 + extra + 4;

    for (size_t i = 0; i < extra; i++) {
        size = size << 8 | at[2 + i];
    }
    memcpy(payload - 4, mask, 4);
    unmask(payload, payload, (size_t) size, mask, 0);
}

// A control frame that is whole.
static int
answer_control(nmq_ws *ws, const frame *f, const uint8_t *payload, nmq_buf *reply)
{
    uint8_t pong[2 + 4 + NMQ_FRAME_SHORT_BYTES] = {NMQ_FRAME_FIN | NMQ_FRAME_PONG,
                                                   (uint8_t) f->size};
    size_t head = 2;

    if (f->op == NMQ_FRAME_CLOSE) {
        return end(ws, CLOSE_NORMAL, NMQ_ECLOSED);
    }
    if (f->op == NMQ_FRAME_PONG) {
        return NMQ_OK;
    }
    if (ws->is_client) { // its mask is 0 so far
        pong[1] |= NMQ_FRAME_MASKED;
        head += 4;
    }
    unmask(pong + head, payload, (size_t) f->size, f->mask, 0);
    // Only the last ping wants an answer (RFC 6455, 5.5.3): a flood gathers nothing. What
    // waits is another pong, or the answer to the upgrade, which must go first.
    if (nmq_ws_is_pong(reply)) {
        reply->len = 0;
    }
    return nmq_buf_put(reply, (nmq_bytes){pong, head + (size_t) f->size});
}

// Takes one step: payload of a frame, or the next frame's head. Returns 1 to go on, 0 when
// more bytes are needed, or what nmq_ws_unframe returns.
static int
step(nmq_ws *ws, uint8_t **to, nmq_bytes *in, nmq_buf *reply)
{
    frame f;

    if (ws->left > 0) {
        size_t n = in->len < ws->left ? in->len : (size_t) ws->left;
        unmask(*to, in->at, n, ws->mask, ws->mask_at);
        ws->mask_at = (uint8_t) ((ws->mask_at + n) & 3);
        ws->left -= n;
        *to += n;
        *in = (nmq_bytes){in->at + n, in->len - n};
        return n > 0;
    }
    int rv = read_head(ws, *in, &f);
    if (rv <= 0) {
        return rv == 0 ? 0 : end(ws, (uint16_t) -rv, NMQ_EMALFORMED);
    }
    if (f.op >= NMQ_FRAME_CLOSE) {
        if (in->len < f.head + f.size) {
            return 0;
        }
        rv = answer_control(ws, &f, in->at + f.head, reply);
        *in = (nmq_bytes){in->at + f.head + f.size, in->len - f.head - (size_t) f.size};
        return rv == NMQ_OK ? 1 : rv;
    }
    ws->fragmented = !f.fin;
    ws->left = f.size;
    ws->mask_at = 0;
    memcpy(ws->mask, f.mask, sizeof ws->mask);
    *in = (nmq_bytes){in->at + f.head, in->len - f.head};
    return 1;
}

int
nmq_ws_unframe(nmq_ws *ws, uint8_t *at, size_t *plain, size_t *len, nmq_buf *reply)
{
    uint8_t *to = at + *plain;
    nmq_bytes in = {to, *len - *plain};
    int rv = 1;

    while (rv == 1 && in.len > 0) {
        rv = step(ws, &to, &in, reply);
    }
    *plain = (size_t) (to - at);
    if (in.at != to && in.len > 0) {
        memmove(to, in.at, in.len);
    }
    *len = *plain + in.len;
    return rv < 0 ? rv : NMQ_OK;
}
