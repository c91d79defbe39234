// query.h - what can be asked of clients, sessions, subscriptions, routes and retained
// messages; page.h is the answer. cffi reads this file: no macros here.
//
//     kind CLIENTS, user_name "u", offset 200, limit 100  ->  rows, total, next
//
// Order    Each row has a place of its own, which it keeps as long as it is there: a
// session
//          until it ends, a subscription until it is given up, a topic until it has no
//          message. A new row takes the lowest place that is free. Pages go by places,
//          upward or downward.
// Promise  With a cursor (`next` of the page before) what is there throughout appears
//          exactly once, whatever comes and goes. With an offset it does so only while
//          nothing comes or goes in front of it: otherwise a row may come twice, or not at
//          all.
// Cost     Without a filter: the rows of the page, and a logarithm for the offset. With
//          one: the rows looked at, which with `count` are all of them. Of client_id and
//          client_ids: a look-up of each, and their subscriptions. No lock is held for more
//          than a few hundred rows.
// Bounds   A page whose texts pass NMQ_PAGE_BYTES_MAX ends there, with the cursor for the
//          rest.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum nmq_query_kind {
    NMQ_QUERY_CLIENTS,  // connected, or away with their session kept
    NMQ_QUERY_SESSIONS, // of the same
    NMQ_QUERY_DETAILS,  // of the same, with all that is known of each
    NMQ_QUERY_SUBSCRIPTIONS,
    NMQ_QUERY_ROUTES, // filters with subscriptions, those of taps and consumers too
    NMQ_QUERY_RETAINED,
};

enum {
    NMQ_QUERY_TEXT_MAX = 65535, // bytes of a text to look for
    NMQ_QUERY_IDS_MAX = 1024,   // clients of one query
};

enum nmq_query_flag { NMQ_QUERY_ANY, NMQ_QUERY_NO, NMQ_QUERY_YES };

typedef struct {
    const char *at; // NULL: any
    size_t len;
} nmq_query_text;

typedef struct {
    bool is_set; // false: any
    int64_t least;
    int64_t most; // both are in it
} nmq_query_range;

// A zeroed one asks for all rows of its kind. Behind each part of the filter stands which
// kinds know it: clients and sessions (c), subscriptions (s), routes (r), retained (m).
typedef struct {
    uint8_t kind;
    bool backward; // downward
    bool count;    // look at all rows, so that the total is known with a filter too
    uint32_t limit;
    uint32_t cursor;                  // 0: from the first row on
    uint64_t offset;                  // rows passed over, from the cursor on
    nmq_query_text client_id;         // c, s
    const nmq_query_text *client_ids; // s: of any of these; NULL: all. Not with client_id
    uint32_t client_id_count;         // of client_ids; a client is among them once
    nmq_query_text client_id_like;    // c: is a part of it
    nmq_query_text user_name;         // c
    nmq_query_text user_name_like;    // c
    nmq_query_text address;           // c: ADDRESS or ADDRESS/BITS
    nmq_query_text topic_filter; // s, r: this very filter, without $share; m: matches it
    nmq_query_text topic_name;   // s, r: which the filter matches
    nmq_query_text below;    // s, r: a filter that matches the filter as if it was a name
    nmq_query_text group;    // s, r: of $share; empty: not shared
    uint8_t connected;       // c; enum nmq_query_flag
    uint8_t clean_start;     // c; enum nmq_query_flag
    nmq_query_range version; // c: protocol level
    nmq_query_range created_at_ms;   // c: wall clock
    nmq_query_range connected_at_ms; // c: wall clock
    nmq_query_range queued;          // c: messages
    nmq_query_range dropped;         // c: messages
    nmq_query_range qos;             // s, m
} nmq_query;
