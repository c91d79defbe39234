// metrics.h - what the broker counts.
#pragma once
#include "base/counters.h"

// What the counters count since the start, of PUBLISH packets where not said
// otherwise.
enum nmq_count {
    NMQ_COUNT_MESSAGES_IN,
    NMQ_COUNT_MESSAGES_OUT,
    NMQ_COUNT_MESSAGES_DROPPED,
    NMQ_COUNT_PACKETS_IN,  // of every type
    NMQ_COUNT_PACKETS_OUT, // of every type
    NMQ_COUNT_PAYLOAD_IN,  // bytes
    NMQ_COUNT_PAYLOAD_OUT, // bytes
    NMQ_COUNT_BYTES_IN,
    NMQ_COUNT_BYTES_OUT,
    NMQ_COUNT_SESSIONS_EXPIRED,     // sessions whose expiry interval ran out
    NMQ_COUNT_CONNECTS,             // CONNECT packets
    NMQ_COUNT_CONNECTIONS_ACCEPTED, // Network Connections
    NMQ_COUNT_CONNECTIONS_OPEN,     // Network Connections now
    NMQ_COUNT_EVENTS_DROPPED,       // records that found the event ring full
    // What limits did; see nmq_stats.
    NMQ_COUNT_REFUSED_CONNECTIONS,
    NMQ_COUNT_REFUSED_LISTENER,
    NMQ_COUNT_REFUSED_ADDRESS,
    NMQ_COUNT_STARVED,
    NMQ_COUNT_CONNECT_TIMEOUTS,
    NMQ_COUNT_KEEP_ALIVE_TIMEOUTS,
    NMQ_COUNT_PACKETS_TOO_LARGE,
    NMQ_COUNT_TOPICS_TOO_DEEP,
    NMQ_COUNT_SUBSCRIPTIONS_REFUSED,
    NMQ_COUNT_RECEIVE_MAX_EXCEEDED,
    NMQ_COUNT_QUEUE_FULL,
    NMQ_COUNT_RATE_WAITS,
    NMQ_COUNT_SLOW_CONSUMERS,
    NMQ_COUNT_MEMORY_CUTS,
    // What access rules and users ended that was allowed before; see nmq_stats.
    NMQ_COUNT_SUBSCRIPTIONS_ENDED,
    NMQ_COUNT_MESSAGES_DENIED,
    NMQ_COUNT_USERS_ENDED,
    NMQ_COUNT_REFUSED_SESSIONS,
    NMQ_COUNT_REFUSED_CLIENT_IDS,
    NMQ_COUNT_REFUSED_RETAINED,
    NMQ_COUNT_REFUSED_GROUPS,
    NMQ_COUNT_REFUSED_FILTERS,
    NMQ_COUNT_CONNECTS_TOO_LARGE,
    NMQ_COUNT_KEEP_ALIVES_LOWERED,
    NMQ_COUNT_MEMORY_SHORTAGES,
    NMQ_COUNT_MEMORY_REFUSED,
    NMQ_COUNT_SUBSCRIPTION_BYTES, // memory that subscriptions take now
    NMQ_COUNTS,                   // how many there are
};
_Static_assert((int) NMQ_COUNTS <= NMQ_COUNTERS_MAX, "more counters than there is room");
