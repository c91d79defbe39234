// page.h - the answer to a query (query.h): rows, and the texts they lead to, which end
// with a NUL. cffi reads this file: no macros here.
//
// Owner    whoever asked: nmq_page_free. Rows and texts are the page's.
// Threads  none of its own.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NMQ_PAGE_ROWS_MAX = 10000,
    NMQ_PAGE_BYTES_MAX = 16777216, // of texts, past which the page ends
};

typedef struct {
    const char *client_id;
    size_t client_id_len;
    const char *user_name; // NULL: none
    size_t user_name_len;
    const char *peer;           // address and port
    int64_t created_at_ms;      // wall clock: of the session
    int64_t connected_at_ms;    // wall clock
    int64_t disconnected_at_ms; // wall clock, 0: never
    uint64_t messages_received; // PUBLISH packets from the client
    uint64_t messages_sent;     // PUBLISH packets delivered to it
    uint64_t messages_dropped;  // that the session lost
    uint32_t subscription_count;
    uint32_t expiry_interval_s; // 0xffffffff: never
    uint32_t queued;            // messages that wait
    uint32_t in_flight;
    uint16_t keep_alive_s;
    uint8_t version; // protocol level: 3, 4 or 5
    bool connected;
    bool clean_start;
} nmq_client_row;

typedef struct {
    const char *client_id;
    size_t client_id_len;
    int64_t created_at_ms; // wall clock
    uint64_t held_bytes;   // of messages that wait or are in flight
    uint64_t messages_sent;
    uint64_t messages_dropped;
    uint32_t subscription_count;
    uint32_t group_count; // of them, the shared ones
    uint32_t expiry_interval_s;
    uint32_t queued;
    uint32_t queue_max;
    uint32_t in_flight;
    uint32_t window;     // most in flight
    uint32_t unreleased; // QoS 2 received, PUBREL awaited
    bool connected;
    bool clean_start;
    bool has_will;
} nmq_session_row;

typedef struct {
    nmq_client_row client;
    const char *address; // of the peer, without its port; empty: it has none
    uint64_t bytes_in;
    uint64_t bytes_out; // that were given to its connection
    uint64_t packets_in;
    uint64_t packets_out;
    uint64_t messages_in[3];  // PUBLISH packets from the client, by QoS
    uint64_t messages_out[3]; // PUBLISH packets delivered to it, by QoS
    uint64_t dropped_full;    // of messages_dropped: no room in its queue, or it was stuck
    uint64_t dropped_expired;
    uint64_t dropped_too_large;
    uint64_t held_bytes;        // of messages that wait or are in flight
    uint32_t subscriptions_max; // 0: no bound
    uint32_t group_count;       // of its subscriptions, the shared ones
    uint32_t queue_max;
    uint32_t window;         // most in flight
    uint32_t unreleased;     // QoS 2 received, PUBREL awaited
    uint32_t unreleased_max; // MQTT 5.0 alone is held to it
    uint32_t listener_key;   // which of the configuration it came through; 0: none
    uint16_t port;           // of the peer
    uint8_t end_code;        // Reason Code with which its last connection ended
    uint8_t end_why;         // enum nmq_why: CLIENT, NETWORK or BROKER; NONE: not known
    bool has_will;
} nmq_detail_row;

typedef struct {
    const char *client_id;
    size_t client_id_len;
    const char *text; // as subscribed
    size_t text_len;
    uint32_t group_len;  // of $share/GROUP/ before the filter; 0: not shared
    uint32_t identifier; // 0: none
    uint8_t options;     // enum nmq_sub_options
} nmq_subscription_row;

typedef struct {
    const char *filter; // without $share
    size_t filter_len;
    const char *group; // NULL: those that are not shared
    size_t group_len;
    uint32_t subscriptions;
} nmq_route_row;

typedef struct {
    const char *topic_name;
    size_t topic_len;
    const char *client_id; // of who published it; NULL: the broker did, or nobody knows
    size_t client_id_len;
    int64_t expires_in_ms; // -1: never
    uint32_t payload_len;
    uint8_t qos;
} nmq_retained_row;

typedef struct {
    const char *name;
    size_t name_len;
    uint64_t place;   // the list has the highest first
    uint64_t bytes;   // the rest as of nmq_consumer_stats
    uint64_t dropped; //
    uint32_t waiting; //
    uint32_t taken;   //
    bool is_open;
} nmq_consumer_row;

// Texts lie behind the headers of blocks, so that they need not move.
typedef struct {
    void *next;
    size_t len;
    size_t cap;
} nmq_page_block;

typedef struct {
    const void *rows; // see nmq_page_clients and those behind it
    uint32_t count;
    uint32_t next;  // cursor of the first row that comes after the page; 0: nothing is left
    uint64_t total; // rows that the filter lets in, whatever the offset
    bool has_total; // false: with a filter, and not counted, or from a cursor on
    uint32_t row_cap; // of page_fill.h, as what follows
    size_t row_bytes;
    size_t text_bytes;
    nmq_page_block *blocks; // the first has room
} nmq_page;

void nmq_page_free(nmq_page *page); // takes NULL

// The rows, by the kind that was asked for; they are the page's.
const nmq_client_row *nmq_page_clients(const nmq_page *page);
const nmq_session_row *nmq_page_sessions(const nmq_page *page);
const nmq_detail_row *nmq_page_details(const nmq_page *page);
const nmq_subscription_row *nmq_page_subscriptions(const nmq_page *page);
const nmq_route_row *nmq_page_routes(const nmq_page *page);
const nmq_retained_row *nmq_page_retained(const nmq_page *page);
const nmq_consumer_row *nmq_page_consumers(const nmq_page *page);
