#include "route/query_run.h"

#include "base/status.h"
#include "route/query_clients.h"
#include "route/query_retained.h"
#include "route/query_routes.h"
#include "route/query_subscriptions.h"

enum {
    CLIENTS = 1 << NMQ_QUERY_CLIENTS | 1 << NMQ_QUERY_SESSIONS | 1 << NMQ_QUERY_DETAILS,
    SUBSCRIPTIONS = 1 << NMQ_QUERY_SUBSCRIPTIONS,
    ROUTES = 1 << NMQ_QUERY_ROUTES,
    RETAINED = 1 << NMQ_QUERY_RETAINED,
};

// The parts of a filter, and which kinds know them.
typedef struct {
    size_t offset;
    int kinds;
} part;

#define PART(name, kinds) {offsetof(nmq_query, name), kinds}

static const part texts[] = {
    PART(client_id, CLIENTS | SUBSCRIPTIONS),
    PART(client_id_like, CLIENTS),
    PART(user_name, CLIENTS),
    PART(user_name_like, CLIENTS),
    PART(address, CLIENTS),
    PART(topic_filter, SUBSCRIPTIONS | ROUTES | RETAINED),
    PART(topic_name, SUBSCRIPTIONS | ROUTES),
    PART(below, SUBSCRIPTIONS | ROUTES),
    PART(group, SUBSCRIPTIONS | ROUTES),
};

static const part ranges[] = {
    PART(version, CLIENTS),         PART(created_at_ms, CLIENTS),
    PART(connected_at_ms, CLIENTS), PART(queued, CLIENTS),
    PART(dropped, CLIENTS),         PART(qos, SUBSCRIPTIONS | RETAINED),
};

static const part flags[] = {
    PART(connected, CLIENTS),
    PART(clean_start, CLIENTS),
};

enum { TEXTS = sizeof texts / sizeof *texts, RANGES = sizeof ranges / sizeof *ranges };
enum { FLAGS = sizeof flags / sizeof *flags };

static const void *
part_of(const nmq_query *query, const part *which)
{
    return (const uint8_t *) query + which->offset;
}

// Looks at each part that is set. Returns whether there is one, or NMQ_EINVAL for one that
// the kind does not know, or that is out of its range.
static int
check_parts(const nmq_query *query)
{
    int kind = 1 << query->kind;
    int known = ~0; // kinds that know all of them
    bool any = false;

    for (int i = 0; i < TEXTS; i++) {
        const nmq_query_text *text = part_of(query, &texts[i]);
        if (text->at != NULL && text->len > NMQ_QUERY_TEXT_MAX) {
            return NMQ_EINVAL;
        }
        any |= text->at != NULL;
        known &= text->at != NULL ? texts[i].kinds : ~0;
    }
    for (int i = 0; i < RANGES; i++) {
        const nmq_query_range *range = part_of(query, &ranges[i]);
        any |= range->is_set;
        known &= range->is_set ? ranges[i].kinds : ~0;
    }
    for (int i = 0; i < FLAGS; i++) {
        uint8_t flag = *(const uint8_t *) part_of(query, &flags[i]);
        if (flag > NMQ_QUERY_YES) {
            return NMQ_EINVAL;
        }
        any |= flag != NMQ_QUERY_ANY;
        known &= flag != NMQ_QUERY_ANY ? flags[i].kinds : ~0;
    }
    return (known & kind) == 0 ? NMQ_EINVAL : any;
}

// Whether the clients asked for are within their bounds.
static bool
are_ids(const nmq_query *query)
{
    if (query->client_ids == NULL) {
        return true;
    }
    if (query->kind != NMQ_QUERY_SUBSCRIPTIONS || query->client_id.at != NULL ||
        query->client_id_count > NMQ_QUERY_IDS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < query->client_id_count; i++) {
        if (query->client_ids[i].len > NMQ_QUERY_TEXT_MAX) {
            return false;
        }
    }
    return true;
}

static bool
is_filter(nmq_query_text text)
{
    nmq_bytes bytes = {(const uint8_t *) text.at, text.len};

    return text.at == NULL || (nmq_utf8_check(bytes) && nmq_filter_check(bytes));
}

static bool
is_topic(nmq_query_text text)
{
    nmq_bytes bytes = {(const uint8_t *) text.at, text.len};

    return text.at == NULL || (nmq_utf8_check(bytes) && nmq_topic_check(bytes));
}

int
nmq_query_run(nmq_sessions *sessions, const nmq_query *query, nmq_page **out)
{
    if (query->kind > NMQ_QUERY_RETAINED || query->limit > NMQ_PAGE_ROWS_MAX ||
        !are_ids(query)) {
        return NMQ_EINVAL;
    }
    int filtered = check_parts(query);
    if (filtered < 0) {
        return filtered;
    }
    filtered |= query->client_ids != NULL;
    if (!is_filter(query->topic_filter) || !is_filter(query->below)) {
        return NMQ_EFILTER;
    }
    if (!is_topic(query->topic_name)) {
        return NMQ_ETOPIC;
    }
    switch (query->kind) {
    case NMQ_QUERY_CLIENTS: return nmq_query_clients(sessions, query, filtered != 0, out);
    case NMQ_QUERY_SESSIONS: return nmq_query_sessions(sessions, query, filtered != 0, out);
    case NMQ_QUERY_DETAILS: return nmq_query_details(sessions, query, filtered != 0, out);
    case NMQ_QUERY_SUBSCRIPTIONS:
        return nmq_query_subscriptions(sessions, query, filtered != 0, out);
    case NMQ_QUERY_ROUTES:
        return nmq_query_routes(sessions->router, query, filtered != 0, out);
    default:
        return nmq_query_retained(sessions->router->retained, query, filtered != 0, out);
    }
}
