// Promise: whatever the bytes after an upgrade, and whatever the upgrade, they come apart
// the same however they are cut; little of them waits; and what follows a fault has a close
// code. The same for a client and what answers it; what it asks for our server grants.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "io/ws.h"
#include "io/ws_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    nmq_ws ws;
    uint8_t *at; // the payload so far, and raw bytes behind it
    size_t plain;
    size_t len;
    int rv;
    nmq_buf reply;
} side;

// Feeds the frames, at most `step` bytes at a time.
static void
feed(side *s, nmq_bytes in, size_t step)
{
    s->at = malloc(in.len + 1);
    assert(s->at != NULL);
    while (in.len > 0 && s->rv == NMQ_OK) {
        size_t n = in.len < step ? in.len : step;
        memcpy(s->at + s->len, in.at, n);
        s->len += n;
        in = (nmq_bytes){in.at + n, in.len - n};
        s->rv = nmq_ws_unframe(&s->ws, s->at, &s->plain, &s->len, &s->reply);
        assert(s->plain <= s->len);
        if (s->ws.is_client && s->reply.len > 0) { // pongs, whose mask is 0 so far
            assert(s->reply.at[1] & 0x80);
            nmq_ws_mask(s->reply.at, (const uint8_t *) "mask");
            s->reply.len = 0;
        }
        assert(s->rv != NMQ_OK || s->len - s->plain <= NMQ_WS_RAW_BYTES);
    }
}

static void
side_free(side *s)
{
    nmq_ws_fini(&s->ws);
    nmq_buf_free(&s->reply);
    free(s->at);
}

static void
frames(nmq_bytes in, size_t step, bool is_client)
{
    side whole = {.ws.is_client = is_client}, cut = {.ws.is_client = is_client};

    feed(&whole, in, in.len);
    feed(&cut, in, step);
    assert(whole.rv == cut.rv && whole.plain == cut.plain);
    assert(memcmp(whole.at, cut.at, whole.plain) == 0);
    assert(nmq_ws_close_code(&whole.ws) >= 1000);
    assert(nmq_ws_close_code(&whole.ws) == nmq_ws_close_code(&cut.ws));
    side_free(&whole);
    side_free(&cut);
}

static void
upgrade(nmq_bytes in)
{
    nmq_bytes path = {(const uint8_t *) "/mqtt", 5};
    nmq_ws ws = {0};
    nmq_buf reply = {0}, again = {0};
    int took = nmq_ws_upgrade(&ws, in, path, &reply);

    assert(took >= 0 || took == NMQ_EMALFORMED || took == NMQ_ENOENT);
    assert(took <= (int) in.len && (took > 0) == nmq_ws_is_open(&ws));
    assert((took == 0) == (reply.len == 0));
    nmq_ws_fini(&ws);
    if (took > 0) {
        ws = (nmq_ws){0};
        nmq_bytes part = {in.at, (size_t) took - 1};
        assert(nmq_ws_upgrade(&ws, part, path, &again) == 0);
        part.len++;
        assert(nmq_ws_upgrade(&ws, part, path, &again) == took);
        nmq_ws_fini(&ws);
    }
    nmq_buf_free(&reply);
    nmq_buf_free(&again);
}

static const uint8_t nonce[NMQ_WS_NONCE_BYTES];

static void
answer(nmq_bytes in)
{
    const nmq_ws_request request = {.host = "h", .port = 1, .path = "/"};
    char accept[NMQ_WS_ACCEPT_BYTES];
    nmq_ws_refusal why = {0};
    nmq_buf asked = {0};

    assert(nmq_ws_ask(&asked, &request, nonce, accept) == NMQ_OK);
    nmq_buf_free(&asked);
    int took = nmq_ws_answer(in, accept, &why);
    assert(took >= 0 || took == NMQ_EMALFORMED || took == NMQ_EREFUSED);
    assert(took <= (int) in.len && (took < 0) == (why.text[0] != 0));
    assert(memchr(why.text, 0, sizeof why.text) != NULL);
    assert(took != NMQ_EREFUSED || (why.http_status != 101 && why.http_status < 1000));
    if (took > 0) {
        nmq_bytes part = {in.at, (size_t) took - 1};
        assert(nmq_ws_answer(part, accept, &why) == 0);
        part.len++;
        assert(nmq_ws_answer(part, accept, &why) == took);
    }
}

// The first byte says how much of the input is the host; the rest is the path.
static void
ask(nmq_bytes in)
{
    char host[256] = "", path[1024] = "/", accept[NMQ_WS_ACCEPT_BYTES];
    const nmq_ws_request request = {.host = host, .port = 8083, .path = path};
    nmq_buf asked = {0}, reply = {0};
    nmq_ws ws = {0};

    if (in.len == 0) {
        return;
    }
    size_t n = in.at[0] < in.len ? in.at[0] : in.len - 1;
    memcpy(host, in.at + 1, n < 255 ? n : 255);
    size_t rest = in.len - 1 - n;
    memcpy(path + 1, in.at + 1 + n, rest < 1000 ? rest : 1000);
    int rv = nmq_ws_ask(&asked, &request, nonce, accept);
    assert(rv == NMQ_OK || rv == NMQ_EINVAL);
    if (rv == NMQ_OK) {
        nmq_bytes any = {(const uint8_t *) "*", 1};
        nmq_ws_refusal why;
        int took = nmq_ws_upgrade(&ws, (nmq_bytes){asked.at, asked.len}, any, &reply);
        // one request, and all of it
        assert((size_t) took == asked.len);
        assert(nmq_ws_answer((nmq_bytes){reply.at, reply.len}, accept, &why) ==
               (int) reply.len);
    }
    nmq_ws_fini(&ws);
    nmq_buf_free(&asked);
    nmq_buf_free(&reply);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return -1;
    }
    if (data[0] == 'G') {
        upgrade((nmq_bytes){data, size});
    } else if (data[0] == 'H') {
        answer((nmq_bytes){data, size});
    } else if (data[0] == 'A') {
        ask((nmq_bytes){data + 1, size - 1});
    } else {
        frames((nmq_bytes){data + 1, size - 1}, (data[0] & 31) + 1u, data[0] & 32);
    }
    assert(nmq_mem_live() == 0);
    return 0;
}
