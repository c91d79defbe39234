// Promise: whatever the bytes, nmq_decode asks for more, refuses, or takes a packet; of its
// beginning alone it never takes one; and what it took can be written, and read again as
// the same.
#include <assert.h>

#include "base/mem.h"
#include "base/status.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t
decoding_version(const nmq_packet *packet, uint8_t version)
{
    return packet->type == NMQ_CONNECT ? 0 : version;
}

// Returns whether it could be written.
static bool
write(const nmq_packet *packet, uint8_t version, nmq_buf *out)
{
    int rv = nmq_encode(out, version, packet);

    assert(rv == NMQ_OK || rv == NMQ_ETOOBIG);
    return rv == NMQ_OK;
}

static void
round_trip(const nmq_packet *packet, uint8_t version)
{
    nmq_buf first = {0};
    nmq_buf second = {0};
    nmq_packet again;

    if (write(packet, version, &first)) {
        int took = nmq_decode((nmq_bytes){first.at, first.len},
                              decoding_version(packet, version), &again);
        assert(took > 0 && (size_t) took == first.len);
        assert(again.type == packet->type && again.packet_id == packet->packet_id);
        assert(again.props.present == packet->props.present);
        assert(write(&again, version, &second));
        assert(nmq_bytes_equal((nmq_bytes){first.at, first.len},
                               (nmq_bytes){second.at, second.len}));
    }
    nmq_buf_free(&first);
    nmq_buf_free(&second);
}

// A list that was checked can be walked to its end.
static void
walk_list(const nmq_packet *packet)
{
    nmq_bytes list = packet->list;
    nmq_filter filter;
    uint8_t options;

    if (packet->type == NMQ_SUBSCRIBE) {
        while (nmq_packet_next_subscription(&list, &filter, &options)) {
        }
        assert(list.len == 0);
    } else if (packet->type == NMQ_UNSUBSCRIBE) {
        while (nmq_packet_next_filter(&list, &filter)) {
        }
        assert(list.len == 0);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t versions[] = {0, NMQ_V31, NMQ_V311, NMQ_V5};
    nmq_packet packet;
    size_t whole = 0;

    if (size < 2) {
        return -1;
    }
    uint8_t version = versions[data[0] & 3];
    nmq_bytes in = {data + 1, size - 1};
    int header = nmq_decode_size(in, &whole);
    int took = nmq_decode(in, version, &packet);
    assert(header <= 5 && (took <= 0 || (size_t) took <= in.len));
    assert(took <= 0 || (header > 0 && whole == (size_t) took));
    assert(took != 0 || header == 0 || whole > in.len);
    if (took > 0) {
        nmq_packet part;
        assert(nmq_decode((nmq_bytes){in.at, (size_t) took - 1}, version, &part) == 0);
        walk_list(&packet);
        round_trip(&packet, packet.type == NMQ_CONNECT ? packet.connect.version : version);
    }
    assert(nmq_mem_live() == 0);
    return 0;
}
