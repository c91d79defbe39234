// Promise: whatever the bytes after an upgrade, and whatever the upgrade, they come apart
// the same however they are cut; little of them waits; and what follows a fault has a close
// code.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "io/ws.h"

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
frames(nmq_bytes in, size_t step)
{
    side whole = {0}, cut = {0};

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

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return -1;
    }
    if (data[0] == 'G') {
        upgrade((nmq_bytes){data, size});
    } else {
        frames((nmq_bytes){data + 1, size - 1}, (data[0] & 31) + 1u);
    }
    assert(nmq_mem_live() == 0);
    return 0;
}
