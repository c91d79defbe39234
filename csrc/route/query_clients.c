#include "route/query_clients.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"

enum { AT_ONCE = 256 }; // clients of one step

typedef struct search search;

// Fills a row of the page. Call with the client's lock.
typedef void fill_fn(search *s, const nmq_client *client);

struct search {
    nmq_walk walk;
    const nmq_query *query;
    nmq_lanes *lanes;
    const nmq_options *options; // NMQ_LIVE
    nmq_network network;        // of query->address
    fill_fn *fill;
    uint32_t *subscriptions; // of the row that was filled: counted with the tree frozen
    uint32_t *groups;        // likewise; NULL: not asked
};

static bool
is_equal(nmq_query_text wanted, nmq_bytes text)
{
    return wanted.at == NULL ||
           (text.at != NULL &&
            nmq_bytes_equal((nmq_bytes){(const uint8_t *) wanted.at, wanted.len}, text));
}

static bool
is_like(nmq_query_text wanted, nmq_bytes text)
{
    return wanted.at == NULL ||
           (text.at != NULL && memmem(text.at, text.len, wanted.at, wanted.len) != NULL);
}

static bool
is_flag(uint8_t wanted, bool value)
{
    return wanted == NMQ_QUERY_ANY || (wanted == NMQ_QUERY_YES) == value;
}

static bool
is_in(const nmq_query_range *range, int64_t value)
{
    return !range->is_set || (value >= range->least && value <= range->most);
}

static bool
is_in_count(const nmq_query_range *range, uint64_t count)
{
    return is_in(range, count < INT64_MAX ? (int64_t) count : INT64_MAX);
}

// Call with the client's lock.
static bool
fits(const search *s, const nmq_client *client)
{
    const nmq_query *q = s->query;
    nmq_bytes id = client->session->client_id;

    return is_equal(q->client_id, id) && is_like(q->client_id_like, id) &&
           is_equal(q->user_name, client->user_name) &&
           is_like(q->user_name_like, client->user_name) &&
           (q->address.at == NULL || nmq_peer_is_in(&client->peer, &s->network)) &&
           is_flag(q->connected, client->link != NULL) &&
           is_flag(q->clean_start, client->clean_start) &&
           is_in(&q->version, client->version) &&
           is_in(&q->created_at_ms, client->created_at_ms) &&
           is_in(&q->connected_at_ms, client->connected_at_ms) &&
           is_in(&q->queued, client->session->queue.count) &&
           is_in_count(&q->dropped, client->traffic.dropped);
}

static nmq_client_row
row_of(search *s, const nmq_client *client)
{
    const nmq_session *session = client->session;
    nmq_bytes name = client->user_name;

    return (nmq_client_row){
        .client_id = nmq_walk_text(&s->walk, session->client_id),
        .client_id_len = session->client_id.len,
        .user_name = name.at != NULL ? nmq_walk_text(&s->walk, name) : NULL,
        .user_name_len = name.len,
        .peer = nmq_walk_text(&s->walk, nmq_bytes_of(nmq_peer_name(&client->peer).text)),
        .created_at_ms = client->created_at_ms,
        .connected_at_ms = client->connected_at_ms,
        .disconnected_at_ms = client->disconnected_at_ms,
        .messages_received = nmq_client_sum(client->traffic.messages_in),
        .messages_sent = nmq_client_sum(client->traffic.messages_out),
        .messages_dropped = client->traffic.dropped,
        .expiry_interval_s = client->expiry_interval_s,
        .queued = session->queue.count,
        .in_flight = session->inflight.count,
        .keep_alive_s = client->keep_alive_s,
        .version = client->version,
        .connected = client->link != NULL,
        .clean_start = client->clean_start,
    };
}

static void
fill_client(search *s, const nmq_client *client)
{
    nmq_client_row *row = nmq_walk_row(&s->walk);

    if (row != NULL) {
        *row = row_of(s, client);
        s->subscriptions = &row->subscription_count;
    }
}

static void
fill_detail(search *s, const nmq_client *client)
{
    const nmq_session *session = client->session;
    const nmq_client_traffic *traffic = &client->traffic;
    nmq_detail_row *row = nmq_walk_row(&s->walk);

    if (row == NULL) {
        return;
    }
    *row = (nmq_detail_row){
        .client = row_of(s, client),
        .address = nmq_walk_text(&s->walk, nmq_bytes_of(nmq_peer_host(&client->peer).text)),
        .bytes_in = NMQ_LIVE(traffic->bytes_in),
        .bytes_out = NMQ_LIVE(traffic->bytes_out),
        .packets_in = NMQ_LIVE(traffic->packets_in),
        .packets_out = NMQ_LIVE(traffic->packets_out),
        .dropped_full = traffic->dropped_full,
        .dropped_expired = traffic->dropped_expired,
        .dropped_too_large = traffic->dropped_too_large,
        .held_bytes = nmq_session_held_bytes(session),
        .subscriptions_max = NMQ_LIVE(s->options->subscriptions_max),
        .queue_max = session->queue_max,
        .window = session->window,
        .unreleased = session->unreleased.count,
        .unreleased_max = NMQ_LIVE(s->options->receive_maximum),
        .listener_key = client->listener_key,
        .port = client->peer.port,
        .end_code = client->end_code,
        .end_why = client->end_why,
        .has_will = client->will.message != NULL,
    };
    for (int qos = 0; qos < 3; qos++) {
        row->messages_in[qos] = NMQ_LIVE(traffic->messages_in[qos]);
        row->messages_out[qos] = traffic->messages_out[qos];
    }
    s->subscriptions = &row->client.subscription_count;
    s->groups = &row->group_count;
}

static void
fill_session(search *s, const nmq_client *client)
{
    const nmq_session *session = client->session;
    nmq_session_row *row = nmq_walk_row(&s->walk);

    if (row == NULL) {
        return;
    }
    *row = (nmq_session_row){
        .client_id = nmq_walk_text(&s->walk, session->client_id),
        .client_id_len = session->client_id.len,
        .created_at_ms = client->created_at_ms,
        .held_bytes = nmq_session_held_bytes(session),
        .messages_sent = nmq_client_sum(client->traffic.messages_out),
        .messages_dropped = client->traffic.dropped,
        .expiry_interval_s = client->expiry_interval_s,
        .queued = session->queue.count,
        .queue_max = session->queue_max,
        .in_flight = session->inflight.count,
        .window = session->window,
        .unreleased = session->unreleased.count,
        .connected = client->link != NULL,
        .clean_start = client->clean_start,
        .has_will = client->will.message != NULL,
    };
    s->subscriptions = &row->subscription_count;
    s->groups = &row->group_count;
}

// Looks at a client, which may become a row.
static void
look_at(search *s, nmq_client *client, uint32_t place)
{
    s->subscriptions = s->groups = NULL;
    (void) pthread_mutex_lock(&client->lock);
    if (fits(s, client) && nmq_walk_wants(&s->walk, place)) {
        s->fill(s, client);
    }
    (void) pthread_mutex_unlock(&client->lock);
    if (s->subscriptions == NULL) {
        return;
    }
    nmq_lanes_freeze(s->lanes);
    *s->subscriptions = client->session->sub_count;
    if (s->groups != NULL) {
        *s->groups = client->group_count;
    }
    nmq_lanes_thaw(s->lanes);
}

// The page of one client, which may be NULL.
static void
look_at_one(search *s, nmq_client *client)
{
    if (client != NULL && nmq_walk_step(&s->walk) && !nmq_walk_ends_at(&s->walk, 0)) {
        look_at(s, client, 0);
    }
    nmq_client_unref(client);
}

// Looks at the clients of one step.
static void
look_at_some(search *s, nmq_registry *registry)
{
    nmq_client *some[AT_ONCE];
    uint32_t places[AT_ONCE];
    int count = 0;
    bool goes_on = true;

    (void) pthread_mutex_lock(&registry->lock);
    while (count < AT_ONCE && nmq_walk_next(&s->walk, &registry->places, &places[count])) {
        nmq_client **entry = nmq_places_at(&registry->places, places[count]);
        some[count++] = nmq_client_ref(*entry);
    }
    (void) pthread_mutex_unlock(&registry->lock);
    for (int i = 0; i < count; i++) {
        goes_on =
            goes_on && s->walk.status == NMQ_OK && !nmq_walk_ends_at(&s->walk, places[i]);
        if (goes_on) {
            look_at(s, some[i], places[i]);
        }
        nmq_client_unref(some[i]);
    }
}

static int
read_address(search *s)
{
    nmq_query_text address = s->query->address;
    char text[64];

    if (address.at == NULL) {
        return NMQ_OK;
    }
    const char *bits = memchr(address.at, '/', address.len) != NULL   ? ""
                       : memchr(address.at, ':', address.len) != NULL ? "/128"
                                                                      : "/32";
    if (address.len + sizeof "/128" > sizeof text) {
        return NMQ_EADDR;
    }
    (void) snprintf(text, sizeof text, "%.*s%s", (int) address.len, address.at, bits);
    const char *end = nmq_network_read(text, &s->network);
    return end != NULL && *end == 0 ? NMQ_OK : NMQ_EADDR;
}

static int
run(search *s, nmq_sessions *sessions, bool filtered, size_t row_bytes, nmq_page **out)
{
    int rv = read_address(s);

    if (rv != NMQ_OK) {
        return rv;
    }
    s->lanes = sessions->router->lanes;
    s->options = sessions->router->options;
    nmq_walk_begin(&s->walk, s->query, filtered, row_bytes);
    if (s->query->client_id.at != NULL) {
        nmq_bytes id = {(const uint8_t *) s->query->client_id.at, s->query->client_id.len};
        look_at_one(s, nmq_registry_find(&sessions->registry, id));
    } else {
        while (nmq_walk_step(&s->walk)) {
            look_at_some(s, &sessions->registry);
        }
    }
    return nmq_walk_end(&s->walk, out);
}

int
nmq_query_clients(nmq_sessions *sessions, const nmq_query *query, bool filtered,
                  nmq_page **out)
{
    search s = {.query = query, .fill = fill_client};

    return run(&s, sessions, filtered, sizeof(nmq_client_row), out);
}

int
nmq_query_sessions(nmq_sessions *sessions, const nmq_query *query, bool filtered,
                   nmq_page **out)
{
    search s = {.query = query, .fill = fill_session};

    return run(&s, sessions, filtered, sizeof(nmq_session_row), out);
}

int
nmq_query_details(nmq_sessions *sessions, const nmq_query *query, bool filtered,
                  nmq_page **out)
{
    search s = {.query = query, .fill = fill_detail};

    return run(&s, sessions, filtered, sizeof(nmq_detail_row), out);
}
