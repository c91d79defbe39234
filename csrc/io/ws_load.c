#include "io/ws_load.h"

#include <string.h>
#include <sys/random.h>

#include "base/status.h"
#include "base/ws_frame.h"
#include "io/ws.h"

enum { FRAME_BYTES = 1 << 14, MASK_BYTES = 4 };

int
nmq_random_take(nmq_random *random, uint8_t *to, size_t count)
{
    if (random->left < count) {
        if (getrandom(random->bytes, sizeof random->bytes, 0) !=
            (ssize_t) sizeof random->bytes) {
            return NMQ_EIO;
        }
        random->left = sizeof random->bytes;
    }
    random->left -= count;
    memcpy(to, random->bytes + random->left, count);
    return NMQ_OK;
}

int64_t
nmq_ws_load_put(nmq_ws_load *load, nmq_random *random, const nmq_bytes *parts,
                unsigned count)
{
    uint8_t mask[MASK_BYTES];
    size_t size = 0;

    for (unsigned i = 0; i < count; i++) {
        size += parts[i].len;
    }
    size = size < FRAME_BYTES ? size : FRAME_BYTES;
    uint8_t *frame =
        nmq_buf_reserve(&load->bytes, NMQ_FRAME_HEAD_MAX_BYTES + MASK_BYTES + size);
    if (frame == NULL) {
        return NMQ_ENOMEM;
    }
    if (nmq_random_take(random, mask, sizeof mask) != NMQ_OK) {
        return NMQ_EIO;
    }
    uint8_t *to = nmq_frame_head(frame, size) + MASK_BYTES;
    frame[1] |= NMQ_FRAME_MASKED;
    for (size_t left = size; left > 0; parts++) {
        size_t n = parts->len < left ? parts->len : left;
        if (n > 0) {
            memcpy(to, parts->at, n);
        }
        to += n;
        left -= n;
    }
    nmq_ws_mask(frame, mask);
    load->bytes.len += (size_t) (to - frame);
    load->users += size;
    return (int64_t) size;
}

int
nmq_ws_load_put_control(nmq_ws_load *load, nmq_random *random, uint8_t *frame, size_t len)
{
    uint8_t mask[MASK_BYTES];
    int rv = nmq_random_take(random, mask, sizeof mask);

    if (rv != NMQ_OK) {
        return rv;
    }
    nmq_ws_mask(frame, mask);
    return nmq_buf_put(&load->bytes, (nmq_bytes){frame, len});
}
