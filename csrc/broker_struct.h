// broker_struct.h - the parts of a broker, for the sources that implement nmq.h.
//
// Owner    the broker owns them all; broker.c makes and frees them.
#pragma once
#include "bridge/list.h"
#include "broker.h"
#include "net/durability.h"
#include "net/listeners.h"
#include "route/consumer.h"
#include "route/note.h"
#include "route/tap.h"
#include "serve/server.h"

struct nmq_broker {
    nmq_options options; // NMQ_LIVE; its texts are NULL
    nmq_counters counters;
    nmq_notes notes;
    nmq_log log;
    nmq_clock *clock;
    uint8_t memory; // NMQ_LIVE: enum nmq_memory_level
    nmq_rules rules;
    nmq_bans *bans;
    nmq_retained retained;
    nmq_router router;
    nmq_sessions sessions;
    nmq_taps taps;
    nmq_consumers consumers;
    nmq_bridges bridges;
    nmq_server server;
    nmq_conns conns;
    nmq_listeners listeners;
    nmq_disk *disk;             // NULL: nothing is kept
    nmq_durability *durability; // NULL: the same
};

static inline nmq_bytes
nmq_broker_slice(const char *at, size_t len)
{
    return (nmq_bytes) {(const uint8_t *) at, len};
}
