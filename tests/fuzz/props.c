// Promise: whatever the bytes, a block of Properties is read for each packet or refused
// with Malformed Packet or Protocol Error; what was read is walked to its end, and written
// and read again it is the same.
#include <assert.h>
#include <stdlib.h>

#include "mqtt/packet.h"
#include "mqtt/props.h"
#include "mqtt/reason.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
walk(const nmq_props *props)
{
    nmq_bytes block = props->raw;
    nmq_prop prop;
    unsigned user_properties = 0;
    uint64_t present = 0;

    while (nmq_props_next(&block, &prop)) {
        assert(prop.id < NMQ_PROP_COUNT && prop.wire.len > 0);
        present |= UINT64_C(1) << prop.id;
        user_properties += prop.id == NMQ_PROP_USER_PROPERTY;
    }
    assert(block.len == 0);
    assert(present == props->present && user_properties == props->user_properties);
}

static void
round_trip(const nmq_props *props, unsigned type)
{
    size_t size = nmq_props_size(props);
    uint8_t *bytes = malloc(size + 5);
    nmq_props again;

    assert(bytes != NULL);
    uint8_t *end = nmq_props_write(bytes, props);
    assert((size_t) (end - bytes) >= size && (size_t) (end - bytes) <= size + 4);
    nmq_wire wire = {.rest = {bytes, (size_t) (end - bytes)}};
    assert(nmq_props_read(&wire, type, &again) == NMQ_RC_SUCCESS);
    assert(!wire.failed && wire.rest.len == 0 && again.present == props->present);
    assert(again.user_properties == props->user_properties);
    for (unsigned id = 0; id < NMQ_PROP_COUNT; id++) {
        if (nmq_props_has(props, id) && id != NMQ_PROP_USER_PROPERTY &&
            id != NMQ_PROP_SUBSCRIPTION_IDENTIFIER) {
            assert(nmq_props_number(&again, id, 0) == nmq_props_number(props, id, 0));
        }
    }
    walk(&again);
    free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nmq_props props;

    if (size < 1) {
        return -1;
    }
    unsigned type = data[0] & 15; // NMQ_WILL too
    nmq_wire wire = {.rest = {data + 1, size - 1}};
    int rv = nmq_props_read(&wire, type, &props);
    assert(rv == NMQ_RC_SUCCESS || rv == NMQ_RC_MALFORMED_PACKET ||
           rv == NMQ_RC_PROTOCOL_ERROR);
    if (rv == NMQ_RC_SUCCESS && !wire.failed) {
        walk(&props);
        round_trip(&props, type);
    }
    return 0;
}
