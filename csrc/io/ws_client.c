#include "io/ws_client.h"

#include <stdio.h>
#include <string.h>

#include "base/sha1.h"
#include "base/status.h"
#include "io/http_text.h"

enum { KEY_CHARS = 24, HTTP_PORT = 80, HTTPS_PORT = 443 };

// What the answer to that key must show.
static void
write_accept(const char *key, char accept[NMQ_WS_ACCEPT_BYTES])
{
    uint8_t digest[NMQ_SHA1_BYTES];
    char text[KEY_CHARS + 37];

    (void) snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    nmq_sha1(nmq_bytes_of(text), digest);
    nmq_base64((nmq_bytes){digest, sizeof digest}, accept);
}

// Whether the text can stand in a line of a request.
static bool
is_plain(const char *text)
{
    for (; *text != 0; text++) {
        if ((uint8_t) *text <= ' ' || *text == 0x7f) {
            return false;
        }
    }
    return true;
}

// Returns what snprintf does. The port is left out where it is the usual one.
static int
write_host(char *to, size_t cap, const nmq_ws_request *r)
{
    bool v6 = strchr(r->host, ':') != NULL;
    bool usual = r->port == (r->tls ? HTTPS_PORT : HTTP_PORT);
    char port[8] = "";

    if (r->port == 0) {
        return snprintf(to, cap, "localhost");
    }
    if (!usual) {
        (void) snprintf(port, sizeof port, ":%u", (unsigned) r->port);
    }
    return snprintf(to, cap, "%s%s%s%s", v6 ? "[" : "", r->host, v6 ? "]" : "", port);
}

int
nmq_ws_ask(nmq_buf *out, const nmq_ws_request *request,
           const uint8_t nonce[NMQ_WS_NONCE_BYTES], char accept[NMQ_WS_ACCEPT_BYTES])
{
    char key[KEY_CHARS + 1];
    char host[300];
    char rest[512];
    int len = write_host(host, sizeof host, request);

    if (len < 0 || (size_t) len >= sizeof host || !is_plain(host) ||
        !is_plain(request->path)) {
        return NMQ_EINVAL;
    }
    nmq_base64((nmq_bytes){nonce, NMQ_WS_NONCE_BYTES}, key);
    write_accept(key, accept);
    (void) snprintf(rest, sizeof rest,
                    " HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Key: %s\r\n"
                    "Sec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Protocol: mqtt\r\n\r\n", // [MQTT-6.0.0-3]
                    host, key);
    return nmq_buf_put(out, nmq_bytes_of("GET ")) == NMQ_OK &&
                   nmq_buf_put(out, nmq_bytes_of(request->path)) == NMQ_OK &&
                   nmq_buf_put(out, nmq_bytes_of(rest)) == NMQ_OK
               ? NMQ_OK
               : NMQ_ENOMEM;
}

// What an answer says, as far as it matters.
typedef struct {
    unsigned status; // 0: it is no HTTP
    nmq_bytes phrase;
    nmq_bytes accept;
    nmq_bytes protocol;
    bool upgrade;
    bool connection_upgrade;
} answer;

static void
read_status(answer *a, nmq_bytes line)
{
    nmq_bytes version = nmq_http_cut(&line, ' ');
    nmq_bytes code = nmq_http_cut(&line, ' ');

    if (version.len != 8 || memcmp(version.at, "HTTP/1.", 7) != 0 || code.len != 3) {
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        if (code.at[i] < '0' || code.at[i] > '9') {
            a->status = 0;
            return;
        }
        a->status = a->status * 10 + (code.at[i] - (unsigned) '0');
    }
    a->phrase = line;
}

static void
read_header(answer *a, nmq_bytes name, nmq_bytes value)
{
    if (nmq_http_is(name, "Upgrade")) {
        a->upgrade = a->upgrade || nmq_http_has_word(value, "websocket");
    } else if (nmq_http_is(name, "Connection")) {
        a->connection_upgrade =
            a->connection_upgrade || nmq_http_has_word(value, "upgrade");
    } else if (nmq_http_is(name, "Sec-WebSocket-Accept")) {
        a->accept = value;
    } else if (nmq_http_is(name, "Sec-WebSocket-Protocol")) {
        a->protocol = value;
    }
}

static int
refuse(nmq_ws_refusal *why, unsigned status, const char *text)
{
    why->http_status = status;
    (void) snprintf(why->text, sizeof why->text, "%s", text);
    return NMQ_EMALFORMED;
}

// Another status than 101. What it says beside the number may be anything.
static int
refuse_status(nmq_ws_refusal *why, const answer *a)
{
    char phrase[48];
    size_t n = 0;

    for (size_t i = 0; i < a->phrase.len && n + 1 < sizeof phrase; i++) {
        uint8_t c = a->phrase.at[i];
        phrase[n++] = c >= ' ' && c < 0x7f ? (char) c : '?';
    }
    phrase[n] = 0;
    why->http_status = a->status;
    (void) snprintf(why->text, sizeof why->text, "the upgrade was answered with %u%s%s",
                    a->status, n > 0 ? " " : "", phrase);
    return NMQ_EREFUSED;
}

// Looks at the lines of an answer, which end with an empty one.
static int
judge(nmq_bytes in, const char *accept, nmq_ws_refusal *why)
{
    answer a = {0};

    read_status(&a, nmq_http_cut(&in, '\r'));
    if (a.status == 0) {
        return refuse(why, 0, "what answered the upgrade is not HTTP");
    }
    while (in.len > 1) {
        in = (nmq_bytes){in.at + 1, in.len - 1}; // the LF
        nmq_bytes line = nmq_http_cut(&in, '\r');
        nmq_bytes name = nmq_http_cut(&line, ':');
        read_header(&a, name, nmq_http_trimmed(line));
    }
    if (a.status != 101) {
        return refuse_status(why, &a);
    }
    if (!a.upgrade || !a.connection_upgrade ||
        !nmq_bytes_equal(a.accept, nmq_bytes_of(accept))) { // RFC 6455, 4.1
        return refuse(why, a.status, "what answered the upgrade is not WebSocket");
    }
    // a server that names none speaks MQTT, as nobody else answers that path
    if (a.protocol.at != NULL && !nmq_bytes_equal(a.protocol, nmq_bytes_of("mqtt"))) {
        return refuse(why, a.status, "the subprotocol that was chosen is not mqtt");
    }
    return NMQ_OK;
}

int
nmq_ws_answer(nmq_bytes in, const char *accept, nmq_ws_refusal *why)
{
    static const char http[] = "HTTP/1.";
    size_t known = in.len < sizeof http - 1 ? in.len : sizeof http - 1;
    const uint8_t *end = in.len > 0 ? memmem(in.at, in.len, "\r\n\r\n", 4) : NULL;

    if (known > 0 && memcmp(in.at, http, known) != 0) { // no need to wait for its end
        return refuse(why, 0, "what answered the upgrade is not HTTP");
    }
    if (end == NULL) {
        return in.len < NMQ_WS_ANSWER_BYTES
                   ? 0
                   : refuse(why, 0, "the answer to the upgrade is too long");
    }
    size_t size = (size_t) (end - in.at);
    int rv = judge((nmq_bytes){in.at, size}, accept, why);
    return rv == NMQ_OK ? (int) size + 4 : rv;
}
