// snapshot.h - all clients and their subscriptions, for Python. cffi reads this file: no
// macros here.
//
// Owner    the snapshot owns what its arrays lead to.
// Threads  nmq_snapshot_make is thread-safe; call it without a lane, a client's or a link's
//          lock. Cost: all clients, one after the other, no lock held for the whole.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct nmq_snapshot nmq_snapshot;
typedef struct nmq_registry nmq_registry; // route/registry.h
typedef struct nmq_lanes nmq_lanes;       // route/lanes.h

typedef struct {
    uint64_t number;
    const char *client_id; // texts are the snapshot's
    size_t client_id_len;
    const char *user_name; // NULL: none
    size_t user_name_len;
    const char *peer; // address and port, NUL-terminated
    uint32_t first_subscription;
    uint32_t subscription_count;
    uint32_t expiry_interval_s; // 0xffffffff: never
    uint32_t queued;            // messages that wait
    uint32_t in_flight;
    uint16_t keep_alive_s;
    uint8_t version; // protocol level: 3, 4 or 5
    bool connected;
    bool clean_start;
    int64_t connected_at_ms;    // wall clock
    int64_t disconnected_at_ms; // wall clock, 0: never
    uint64_t messages_received; // PUBLISH packets from the client
    uint64_t messages_sent;     // PUBLISH packets delivered to it
    uint64_t messages_dropped;
} nmq_client_info;

typedef struct {
    const char *filter; // as subscribed
    size_t filter_len;
    uint32_t identifier; // 0: none
    uint8_t options;
} nmq_subscription_info;

// See nmq_snapshot_new. Returns NMQ_OK or NMQ_ENOMEM; nmq_snapshot_free frees *out.
int nmq_snapshot_make(nmq_registry *registry, nmq_lanes *lanes, nmq_snapshot **out);
void nmq_snapshot_free(nmq_snapshot *snapshot); // takes NULL

// Arrays that live as long as the snapshot; *count gets their length.
const nmq_client_info *nmq_snapshot_clients(const nmq_snapshot *snapshot, size_t *count);
const nmq_subscription_info *nmq_snapshot_subscriptions(const nmq_snapshot *snapshot,
                                                        size_t *count);
