#include "route/trail.h"

#include <sys/random.h>

#include "base/clock.h"
#include "base/status.h"

void
nmq_trail_draw(uint8_t id[NMQ_TRAIL_ID_BYTES])
{
    uint64_t drawn = 0;

    if (getrandom(&drawn, sizeof drawn, GRND_NONBLOCK) != sizeof drawn) {
        drawn = (uint64_t) nmq_clock_wall_ms() * 0x9e3779b97f4a7c15u;
    }
    for (unsigned i = 0; i < NMQ_TRAIL_ID_BYTES; i++) {
        id[i] = (uint8_t) "0123456789abcdef"[drawn >> 4 * i & 15];
    }
}

static bool
is_trail(const nmq_prop *prop)
{
    return prop->id == NMQ_PROP_USER_PROPERTY &&
           nmq_bytes_equal(prop->text, nmq_bytes_of(NMQ_TRAIL_NAME));
}

nmq_bytes
nmq_trail_of(nmq_bytes props)
{
    nmq_prop prop;

    while (nmq_props_next(&props, &prop)) {
        if (is_trail(&prop)) {
            return prop.value;
        }
    }
    return (nmq_bytes){0};
}

bool
nmq_trail_has(nmq_bytes trail, nmq_bytes id)
{
    for (size_t at = 0; id.len > 0 && at + id.len <= trail.len; at += id.len) {
        if (nmq_bytes_equal((nmq_bytes){trail.at + at, id.len}, id)) {
            return true;
        }
    }
    return false;
}

bool
nmq_trail_ends(nmq_bytes trail, nmq_bytes id)
{
    return trail.len >= (size_t) NMQ_TRAIL_ID_BYTES * NMQ_TRAIL_BROKERS_MAX ||
           nmq_trail_has(trail, id);
}

unsigned
nmq_trail_user_properties(const nmq_props *props)
{
    return props->user_properties - (nmq_trail_of(props->raw).len > 0 ? 1 : 0);
}

static int
put_trail(nmq_buf *to, nmq_bytes trail, nmq_bytes id)
{
    const nmq_bytes name = nmq_bytes_of(NMQ_TRAIL_NAME);
    uint8_t *at = nmq_buf_reserve(to, 1 + 2 + name.len + 2 + trail.len + id.len);

    if (at == NULL) {
        return NMQ_ENOMEM;
    }
    uint8_t *end = nmq_wire_put_text(at + 1, name);
    at[0] = NMQ_PROP_USER_PROPERTY;
    end = nmq_wire_put_u16(end, (uint16_t) (trail.len + id.len));
    end = nmq_wire_put_raw(nmq_wire_put_raw(end, trail), id);
    to->len += (size_t) (end - at);
    return NMQ_OK;
}

int
nmq_trail_put(nmq_buf *to, nmq_bytes props, nmq_bytes id)
{
    const nmq_bytes trail = nmq_trail_of(props);
    nmq_prop prop;
    int rv = NMQ_OK;

    to->len = 0;
    while (rv == NMQ_OK && nmq_props_next(&props, &prop)) {
        rv = is_trail(&prop) ? NMQ_OK : nmq_buf_put(to, prop.wire);
    }
    return rv == NMQ_OK ? put_trail(to, trail, id) : rv;
}
