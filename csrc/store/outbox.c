#include "store/outbox.h"

#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"
#include "base/ws_frame.h"
#include "mqtt/wire.h"

static size_t
frame_head_size(const nmq_outbox *outbox, size_t packet_size)
{
    return outbox->framed ? nmq_frame_head_size(packet_size) : 0;
}

// Makes room for the head of a frame, `frame` bytes, and for `copied` bytes of the packet;
// counts them as written. Returns where the packet goes; NULL when memory is out.
static uint8_t *
extend(nmq_outbox *outbox, size_t frame, size_t packet_size, size_t copied)
{
    size_t len = frame + copied;
    uint8_t *to = nmq_buf_reserve(&outbox->run, len);

    if (to == NULL) {
        return NULL;
    }
    outbox->run.len += len;
    outbox->total += len;
    return frame > 0 ? nmq_frame_head(to, packet_size) : to;
}

int
nmq_outbox_put(nmq_outbox *outbox, nmq_bytes bytes)
{
    size_t frame = frame_head_size(outbox, bytes.len);
    uint8_t *to = extend(outbox, frame, bytes.len, bytes.len);

    if (to == NULL) {
        return NMQ_ENOMEM;
    }
    (void) nmq_wire_put_raw(to, bytes);
    outbox->unkept += frame + bytes.len;
    outbox->answers += (uint32_t) (frame + bytes.len);
    outbox->packets++;
    return NMQ_OK;
}

static int
reserve_splice(nmq_outbox *outbox)
{
    nmq_splice *grown = nmq_vec_grow(outbox->splices, &outbox->splice_cap,
                                     outbox->splice_count + 1, 4, sizeof *grown);
    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    outbox->splices = grown;
    return NMQ_OK;
}

int
nmq_outbox_publish(nmq_outbox *outbox, const nmq_publish_head *head, size_t packet_size,
                   nmq_bytes payload, nmq_message *shared)
{
    bool splice = shared != NULL && payload.len >= NMQ_SPLICE_MIN_BYTES;
    size_t copied = packet_size - (splice ? payload.len : 0);

    if (splice && reserve_splice(outbox) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    size_t frame = frame_head_size(outbox, packet_size);
    uint8_t *to = extend(outbox, frame, packet_size, copied);
    if (to == NULL) {
        return NMQ_ENOMEM;
    }
    to = nmq_encode_publish_head(to, head, packet_size);
    outbox->packets++;
    outbox->unkept += head->qos == 0 ? frame + packet_size : 0;
    outbox->payloads += payload.len;
    if (!splice) {
        (void) nmq_wire_put_raw(to, payload);
        return NMQ_OK;
    }
    outbox->splices[outbox->splice_count++] =
        (nmq_splice){outbox->run.len, nmq_message_ref(shared)};
    outbox->total += payload.len;
    return NMQ_OK;
}

unsigned
nmq_outbox_parts(const nmq_outbox *outbox, nmq_bytes *parts, unsigned max)
{
    unsigned n = 0;
    size_t at = outbox->run_head;
    size_t skip = outbox->payload_head;

    for (uint32_t i = outbox->splice_head; i < outbox->splice_count; i++) {
        const nmq_splice *s = &outbox->splices[i];
        if (n + 2 > max) {
            return n;
        }
        if (s->at > at) {
            parts[n++] = (nmq_bytes){outbox->run.at + at, s->at - at};
            at = s->at;
        }
        nmq_bytes payload = nmq_message_payload(s->message);
        parts[n++] = (nmq_bytes){payload.at + skip, payload.len - skip};
        skip = 0;
    }
    if (outbox->run.len > at && n < max) {
        parts[n++] = (nmq_bytes){outbox->run.at + at, outbox->run.len - at};
    }
    return n;
}

void
nmq_outbox_advance(nmq_outbox *outbox, size_t count)
{
    outbox->total -= count;
    while (outbox->splice_head < outbox->splice_count) {
        nmq_splice *s = &outbox->splices[outbox->splice_head];
        size_t run = s->at - outbox->run_head;
        if (count < run) {
            break;
        }
        count -= run;
        outbox->run_head = s->at;
        size_t left = s->message->payload_len - outbox->payload_head;
        if (count < left) {
            outbox->payload_head += count;
            return;
        }
        count -= left;
        outbox->payload_head = 0;
        outbox->splice_head++;
        nmq_message_unref(s->message);
    }
    outbox->run_head += count;
}

void
nmq_outbox_reset(nmq_outbox *outbox, size_t keep_bytes)
{
    for (uint32_t i = outbox->splice_head; i < outbox->splice_count; i++) {
        nmq_message_unref(outbox->splices[i].message);
    }
    outbox->splice_count = outbox->splice_head = 0;
    outbox->run_head = outbox->payload_head = outbox->total = 0;
    outbox->packets = outbox->answers = 0;
    outbox->unkept = 0;
    outbox->payloads = 0;
    outbox->run.len = 0;
    if (outbox->run.cap > keep_bytes) {
        nmq_buf_free(&outbox->run);
    }
    if (outbox->splice_cap * sizeof *outbox->splices > keep_bytes) {
        nmq_free(outbox->splices);
        outbox->splices = NULL;
        outbox->splice_cap = 0;
    }
}
