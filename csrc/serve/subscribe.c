#include "serve/subscribe.h"

#include "base/live.h"
#include "base/status.h"
#include "mqtt/decode.h"
#include "mqtt/reason.h"
#include "route/durable.h"
#include "route/replay.h"
#include "route/subscriptions.h"
#include "serve/access.h"
#include "serve/ask.h"
#include "serve/bounds.h"
#include "serve/mount.h"
#include "serve/reply.h"
#include "serve/sub_codes.h"
#include "serve/tell.h"

// Subscribing to what the broker has switched off is a Protocol Error in 5.0, where the
// client was told so in CONNACK (3.2.2.3.11 to 3.2.2.3.13).
// In 3.1.1 it fails [MQTT-3.8.3-2 of 3.1.1].
static nmq_fault
check_filter(const nmq_negotiated *negotiated, const nmq_filter *filter)
{
    if (!negotiated->shared_available && filter->group.at != NULL) {
        return (nmq_fault){NMQ_RC_SHARED_SUBSCRIPTIONS_NOT_SUPPORTED,
                           "shared subscriptions are switched off"};
    }
    if (!negotiated->wildcards_available && nmq_filter_has_wildcard(filter->filter)) {
        return (nmq_fault){NMQ_RC_WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED,
                           "wildcard subscriptions are switched off"};
    }
    return (nmq_fault){0};
}

// Whether there are too many of something, before anything is done.
static nmq_fault
check_count(const nmq_server_conn *conn, const nmq_packet *packet)
{
    uint32_t max = NMQ_LIVE(conn->net.conns->options->filters_max);
    nmq_bytes list = packet->list;
    nmq_filter filter;
    uint8_t unused;
    uint32_t count = 0;

    if (!nmq_bounds_properties_fit(conn, &packet->props)) {
        return (nmq_fault){NMQ_RC_QUOTA_EXCEEDED, "too many User Properties"};
    }
    // a filter takes 3 bytes at least
    while (max != 0 && packet->list.len / 3 > max && count <= max &&
           (packet->type == NMQ_SUBSCRIBE
                ? nmq_packet_next_subscription(&list, &filter, &unused)
                : nmq_packet_next_filter(&list, &filter))) {
        count++;
    }
    if (max != 0 && count > max) {
        nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_REFUSED_FILTERS, 1);
        return (nmq_fault){NMQ_RC_QUOTA_EXCEEDED, "too many Topic Filters in a packet"};
    }
    return (nmq_fault){0};
}

static nmq_fault
check_subscribe(nmq_server_conn *conn, const nmq_packet *packet)
{
    nmq_bytes list = packet->list;
    nmq_filter filter;
    uint8_t unused;

    nmq_fault filters_fault = check_count(conn, packet);
    if (filters_fault.code != 0) {
        return filters_fault;
    }
    if (!conn->negotiated.subscription_ids_available &&
        nmq_props_has(&packet->props, NMQ_PROP_SUBSCRIPTION_IDENTIFIER)) {
        return (nmq_fault){NMQ_RC_SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
                           "Subscription Identifiers are switched off"};
    }
    while (nmq_packet_next_subscription(&list, &filter, &unused)) {
        nmq_fault fault = check_filter(&conn->negotiated, &filter);
        if (fault.code != 0 && conn->net.version == NMQ_V5) {
            return fault;
        }
    }
    return (nmq_fault){0};
}

// Any QoS may be asked for; the Maximum QoS is granted [MQTT-3.2.2-10] [MQTT-3.8.4-7].
static uint8_t
granted(const nmq_server_conn *conn, uint8_t options)
{
    uint8_t max = conn->negotiated.qos_max;

    options |= conn->bridge ? NMQ_SUB_NO_LOCAL | NMQ_SUB_RETAIN_AS_PUBLISHED : 0;
    return (options & NMQ_SUB_QOS) > max ? (uint8_t) ((options & ~NMQ_SUB_QOS) | max)
                                         : options;
}

// What such a subscription is for access rules: its QoS is the one that is granted.
static uint16_t
act_of(const nmq_server_conn *conn, uint8_t options)
{
    return nmq_acl_subscribe(granted(conn, options) & NMQ_SUB_QOS);
}

// Looks whether it is known of each filter if it is allowed; asks, if not, before anything
// is done.
static enum nmq_next
check_rights(nmq_server_conn *conn, nmq_batch *batch, const nmq_packet *packet)
{
    nmq_bytes list = packet->list;
    nmq_filter filter;
    uint8_t options;
    bool later = false;

    for (uint32_t n = 0; nmq_packet_next_subscription(&list, &filter, &options); n++) {
        enum nmq_access may =
            nmq_access_check(conn, act_of(conn, options), filter.filter, n);
        if (may == NMQ_ACCESS_DENY && nmq_access_disconnects(conn)) {
            nmq_counters_add(batch->router->counters, NMQ_COUNT_SUBSCRIBE_DENIED, 1);
            nmq_tell_denied(conn, NMQ_WHY_SUBSCRIBE, filter.text);
            return nmq_reply_refuse(
                conn, batch,
                (nmq_fault){NMQ_RC_NOT_AUTHORIZED, "an access rule denies it"});
        }
        if (may == NMQ_ACCESS_LATER) {
            later = true;
            if (nmq_ask_add(conn, n, filter.filter) != NMQ_OK) {
                return nmq_reply_no_memory(conn);
            }
        }
    }
    return later ? nmq_ask_post(conn, NMQ_ACL_SUBSCRIBE) : NMQ_NEXT_PACKET;
}

// Whether anything was subscribed.
static bool
any_taken(const nmq_buf *results)
{
    for (size_t i = 0; i < results->len; i++) {
        if (results->at[i] != 0xff) {
            return true;
        }
    }
    return false;
}

// What was subscribed for a session that is kept is to be durable first.
static void
answer_when_durable(const nmq_server_conn *conn, nmq_batch *batch)
{
    if (conn->net.client->session->log != NULL) {
        nmq_durable_answer_all(batch);
    }
}

static enum nmq_next
put_codes(nmq_server_conn *conn, nmq_batch *batch, uint8_t type, uint16_t packet_id,
          const nmq_buf *codes)
{
    // [MQTT-2.2.1-6] [MQTT-3.8.4-1] [MQTT-3.10.4-5]; one for all filters [MQTT-3.8.4-5]
    // [MQTT-3.10.4-6], the codes in their order [MQTT-3.11.3-1]
    nmq_packet ack = {
        .type = type,
        .packet_id = packet_id,
        .list = {codes->at, codes->len},
    };
    const char *why = nmq_sub_codes_why(codes);

    if (why != NULL) {
        nmq_props_set_text(&ack.props, NMQ_PROP_REASON_STRING, nmq_bytes_of(why));
    }

    return nmq_reply_packet(conn, batch, &ack); // [MQTT-3.8.4-2] [MQTT-3.8.4-6]
}

// Whether a well-formed filter is refused all the same: "$share" without a group, whose
// sender meant something else.
static bool
lacks_group(const nmq_filter *filter)
{
    return nmq_bytes_equal(filter->text, nmq_bytes_of("$share"));
}

// The filter is that of the packet's number `n`. Returns what nmq_subscriptions_put does,
// or NMQ_EACCESS.
static int
subscribe_one(nmq_server_conn *conn, const nmq_filter *filter, uint32_t n, uint8_t options,
              uint32_t identifier)
{
    nmq_filter mounted;

    if (!nmq_bounds_levels_fit(conn, filter->text)) {
        nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_TOPICS_TOO_DEEP, 1);
        return NMQ_EFILTER;
    }
    if (lacks_group(filter) || check_filter(&conn->negotiated, filter).code != 0) {
        return NMQ_EFILTER;
    }
    // LATER: the rules have just begun to ask
    if (nmq_access_check(conn, act_of(conn, options), filter->filter, n) !=
        NMQ_ACCESS_ALLOW) {
        nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_SUBSCRIBE_DENIED, 1);
        nmq_tell_denied(conn, NMQ_WHY_SUBSCRIBE, filter->text);
        return NMQ_EACCESS;
    }
    nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_ACCESS_ALLOWED,
                     !nmq_access_is_free(conn));
    int rv = nmq_mount_filter(conn, filter, &mounted);
    if (rv == NMQ_OK) {
        rv = nmq_subscriptions_put(conn->net.conns->router, conn->net.client, &mounted,
                                   options, identifier);
    }
    // Rules that changed meanwhile may have been applied to this session already.
    if (rv >= 0 && nmq_access_changed(conn) &&
        !nmq_access_may_keep(conn, act_of(conn, options), filter->filter)) {
        (void) nmq_subscriptions_del(conn->net.conns->router, conn->net.client, &mounted,
                                     NMQ_WHY_RULES);
        rv = NMQ_EACCESS;
    }
    nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_SUBSCRIPTIONS_REFUSED,
                     rv == NMQ_ETOOBIG);
    return rv;
}

// Subscribes to each filter; results gets nmq_subscriptions_put's answers, one byte each.
static int
subscribe_all(nmq_server_conn *conn, nmq_bytes list, uint32_t identifier, nmq_buf *codes,
              nmq_buf *results)
{
    nmq_filter filter;
    uint8_t options;

    for (uint32_t n = 0; nmq_packet_next_subscription(&list, &filter, &options); n++) {
        options = granted(conn, options);
        int rv = subscribe_one(conn, &filter, n, options, identifier);
        uint8_t code = nmq_sub_codes_for(conn, nmq_sub_codes_of(rv, options));
        uint8_t result = (uint8_t) (rv >= 0 ? rv : 0xff);
        if (nmq_buf_put(codes, (nmq_bytes){&code, 1}) != NMQ_OK ||
            nmq_buf_put(results, (nmq_bytes){&result, 1}) != NMQ_OK) {
            return NMQ_ENOMEM;
        }
    }
    return NMQ_OK;
}

// Notes for each filter its last place in the list. A filter that a packet names often
// counts once, and as new if it was new at its first place. Returns NMQ_OK or NMQ_ENOMEM.
static int
last_places(nmq_bytes list, nmq_map *out, nmq_buf *results)
{
    int rv = NMQ_OK;
    nmq_filter filter;
    uint8_t unused;

    for (uintptr_t i = 1;
         rv == NMQ_OK && nmq_packet_next_subscription(&list, &filter, &unused); i++) {
        uintptr_t before = (uintptr_t) nmq_map_get(out, filter.text);
        if (before != 0 && results->at[before - 1] == 1 && results->at[i - 1] == 0) {
            results->at[i - 1] = 1;
        }
        rv = nmq_map_put(out, filter.text, (void *) i);
    }
    return rv;
}

static uint64_t
rules_version(const nmq_server_conn *conn)
{
    return nmq_rules_version(conn->net.conns->router->rules);
}

// Whether the filter is still allowed. It was, by rules of that version or later.
static bool
is_still_allowed(nmq_server_conn *conn, const nmq_filter *filter, uint8_t options,
                 uint64_t version)
{
    return rules_version(conn) == version ||
           nmq_access_may_keep(conn, act_of(conn, options), filter->filter);
}

// Sends the retained messages of a filter, unless the subscription has ended because it is
// no longer allowed. If it ends meanwhile, no more are sent.
static void
owe(nmq_server_conn *conn, nmq_batch *batch, const nmq_filter *filter,
    const nmq_owed_entry *how, bool is_new, uint32_t *visits, uint64_t version)
{
    nmq_filter mounted;

    if (!is_still_allowed(conn, filter, how->options, version) ||
        nmq_mount_filter(conn, filter, &mounted) != NMQ_OK) {
        return;
    }
    nmq_replay_begin(batch, conn->net.client, &mounted, how->options, how->identifier,
                     is_new, visits);
    if (!is_still_allowed(conn, filter, how->options, version)) {
        nmq_replay_cancel(batch->router->retained, conn->net.client, mounted.filter);
    }
}

// version: of the access rules, before the packet was looked at. Returns NMQ_OK or
// NMQ_ENOMEM.
static int
send_retained(nmq_server_conn *conn, nmq_batch *batch, nmq_bytes list, uint32_t identifier,
              nmq_buf *results, uint64_t version)
{
    nmq_map places = {0};
    uint32_t visits = NMQ_REPLAY_VISITS;
    nmq_filter filter;
    uint8_t options;
    int rv = results->len > 1 ? last_places(list, &places, results) : NMQ_OK;

    for (uintptr_t i = 1;
         rv == NMQ_OK && nmq_packet_next_subscription(&list, &filter, &options); i++) {
        bool last = places.count == 0 || (uintptr_t) nmq_map_get(&places, filter.text) == i;
        if (last && results->at[i - 1] != 0xff) {
            const nmq_owed_entry how = {.options = granted(conn, options),
                                        .identifier = identifier};
            owe(conn, batch, &filter, &how, results->at[i - 1] == 1, &visits, version);
        }
    }
    nmq_map_free(&places);
    return rv;
}

static enum nmq_next
handle(nmq_server_conn *conn, nmq_batch *batch, nmq_packet *packet)
{
    uint32_t identifier =
        nmq_props_number(&packet->props, NMQ_PROP_SUBSCRIPTION_IDENTIFIER, 0);
    nmq_buf codes = {0};
    nmq_buf results = {0};
    enum nmq_next next;
    const uint64_t version = rules_version(conn);

    nmq_fault fault = check_subscribe(conn, packet);
    if (fault.code != 0) {
        nmq_counters_add(batch->router->counters, NMQ_COUNT_SUBSCRIBE_ERRORS, 1);
        return nmq_reply_refuse(conn, batch, fault);
    }
    next = check_rights(conn, batch, packet);
    if (next != NMQ_NEXT_PACKET) {
        return next;
    }
    nmq_batch_end(batch); // the tree changes: not inside a lane
    int rv = subscribe_all(conn, packet->list, identifier, &codes, &results);
    nmq_batch_again(batch);
    if (any_taken(&results)) {
        answer_when_durable(conn, batch);
    }
    if (rv == NMQ_OK) {
        next = put_codes(conn, batch, NMQ_SUBACK, packet->packet_id, &codes);
        rv = send_retained(conn, batch, packet->list, identifier, &results, version);
        next = rv == NMQ_OK ? next : nmq_reply_no_memory(conn);
    } else {
        next = nmq_reply_no_memory(conn);
    }
    nmq_buf_free(&codes);
    nmq_buf_free(&results);
    return next;
}

enum nmq_next
nmq_subscribe_handle(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);
    enum nmq_next next = handle(conn, batch, packet);

    if (next != NMQ_NEXT_LATER) {
        nmq_ask_end(conn);
    }
    return next;
}

// Returns NMQ_OK, NMQ_ENOENT or NMQ_EFILTER.
static int
unsubscribe_one(nmq_server_conn *conn, const nmq_filter *filter)
{
    nmq_filter mounted;

    if (lacks_group(filter) || nmq_mount_filter(conn, filter, &mounted) != NMQ_OK) {
        return NMQ_EFILTER;
    }
    // [MQTT-3.10.4-1]
    return nmq_subscriptions_del(conn->net.conns->router, conn->net.client, &mounted,
                                 NMQ_WHY_CLIENT);
}

// Whether the end of a subscription would never be durable. UNSUBACK of 3.1.1 cannot say
// so, and no client keeps track of what it is subscribed to still: it is disconnected.
static bool
cannot_log(const nmq_server_conn *conn)
{
    return conn->net.client->session->log != NULL &&
           nmq_journal_may(conn->net.conns->router->journal, 0) == NMQ_ESTORE;
}

enum nmq_next
nmq_subscribe_handle_unsubscribe(nmq_conn *net, nmq_batch *batch, nmq_packet *packet)
{
    nmq_server_conn *conn = nmq_server_conn_of(net);
    nmq_bytes list = packet->list;
    nmq_filter filter;
    nmq_buf codes = {0};
    int put = NMQ_OK;

    nmq_fault fault = check_count(conn, packet);
    if (fault.code == 0 && cannot_log(conn)) {
        fault = nmq_reply_unlogged(NMQ_ESTORE);
    }
    if (fault.code != 0) {
        nmq_counters_add(batch->router->counters, NMQ_COUNT_UNSUBSCRIBE_ERRORS, 1);
        return nmq_reply_refuse(conn, batch, fault);
    }
    nmq_batch_end(batch); // the tree changes: not inside a lane
    while (put == NMQ_OK && nmq_packet_next_filter(&list, &filter)) {
        int rv = unsubscribe_one(conn, &filter);
        // [MQTT-3.11.3-2]
        uint8_t code = rv == NMQ_OK        ? NMQ_RC_SUCCESS
                       : rv == NMQ_EFILTER ? NMQ_RC_TOPIC_FILTER_INVALID
                                           : NMQ_RC_NO_SUBSCRIPTION_EXISTED;
        put = nmq_buf_put(&codes, (nmq_bytes){&code, 1});
    }
    nmq_batch_again(batch);
    answer_when_durable(conn, batch);
    enum nmq_next next = put == NMQ_OK
                             ? put_codes(conn, batch, NMQ_UNSUBACK, // [MQTT-3.10.4-4]
                                         packet->packet_id, &codes)
                             : nmq_reply_no_memory(conn);
    nmq_buf_free(&codes);
    return next;
}
