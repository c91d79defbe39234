#include "route/query_subscriptions.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"
#include "route/query_topics.h"
#include "store/session_subs.h"

enum { GATHER = 4096 }; // subscriptions of one client noted while the tree is frozen

typedef struct {
    nmq_walk walk;
    const nmq_query *query;
    nmq_router *router;
} search;

static bool
fits(const nmq_query *q, const nmq_session_sub *sub)
{
    const nmq_filter filter = nmq_session_sub_filter(sub);
    uint8_t qos = sub->options & NMQ_SUB_QOS;

    return (!q->qos.is_set || (qos >= q->qos.least && qos <= q->qos.most)) &&
           nmq_query_fits_filter(q, filter.filter, filter.group);
}

// Looks at a subscription, which may become a row. Call with the tree frozen.
static void
look_at(search *s, const nmq_sub_place *at, uint32_t place)
{
    const nmq_session *session = at->client->session;
    const nmq_session_sub *sub = &session->subs[at->index];

    if (!fits(s->query, sub) || !nmq_walk_wants(&s->walk, place)) {
        return;
    }
    nmq_subscription_row *row = nmq_walk_row(&s->walk);
    if (row == NULL) {
        return;
    }
    *row = (nmq_subscription_row){
        .client_id = nmq_walk_text(&s->walk, session->client_id),
        .client_id_len = session->client_id.len,
        .text = nmq_walk_text(&s->walk, sub->text),
        .text_len = sub->text.len,
        .group_len = sub->group_len,
        .identifier = sub->identifier,
        .options = sub->options,
    };
}

static void
look_at_all(search *s)
{
    const nmq_places *places = &s->router->subscriptions;
    uint32_t place;

    while (nmq_walk_step(&s->walk)) {
        nmq_lanes_freeze(s->router->lanes);
        while (nmq_walk_next(&s->walk, places, &place)) {
            look_at(s, nmq_places_at(places, place), place);
        }
        nmq_lanes_thaw(s->router->lanes);
    }
}

// --- of some clients

// Where a subscription lies, and of which client it is.
typedef struct {
    uint32_t place;
    uint32_t client;
} found;

typedef struct {
    nmq_client **clients; // a reference each; NULL: it is not known
    uint32_t client_count;
    found *at;
    uint32_t count;
    uint32_t cap;
} gathered;

// Notes the places of those of a client before index *from, up to GATHER of them. Returns
// whether there are more; NMQ_ENOMEM.
static int
gather_some(const search *s, gathered *out, uint32_t client, uint32_t *from)
{
    const nmq_session *session = out->clients[client]->session;

    nmq_lanes_freeze(s->router->lanes);
    *from = *from < session->sub_count ? *from : session->sub_count;
    uint32_t to = *from > GATHER ? *from - GATHER : 0;
    found *grown =
        nmq_vec_grow(out->at, &out->cap, out->count + *from - to, 1, sizeof *grown);
    if (grown != NULL) {
        out->at = grown;
        for (uint32_t i = *from; i > to; i--) {
            grown[out->count++] = (found){session->subs[i - 1].place, client};
        }
    }
    nmq_lanes_thaw(s->router->lanes);
    *from = to;
    return grown == NULL ? NMQ_ENOMEM : to > 0;
}

// By place; of one place, which another client may have taken meanwhile, by client.
static int
by_place(const void *a, const void *b)
{
    const found *x = a;
    const found *y = b;

    return x->place != y->place ? (x->place < y->place ? -1 : 1)
                                : (x->client > y->client) - (x->client < y->client);
}

// Leaves each out that is noted twice.
static void
sort(gathered *all)
{
    uint32_t kept = 0;

    if (all->count == 0) {
        return;
    }
    qsort(all->at, all->count, sizeof *all->at, by_place);
    for (uint32_t i = 1; i < all->count; i++) {
        if (by_place(&all->at[i], &all->at[kept]) != 0) {
            all->at[++kept] = all->at[i];
        }
    }
    all->count = kept + 1;
}

// All places of the clients' subscriptions, in order. From the last one of each down: what
// is given up meanwhile has the last put in its place, which is then noted twice, and not
// missed. Returns NMQ_OK or NMQ_ENOMEM.
static int
gather(const search *s, gathered *out)
{
    int rv = NMQ_OK;

    for (uint32_t i = 0; i < out->client_count && rv == NMQ_OK; i++) {
        uint32_t from = UINT32_MAX;
        rv = out->clients[i] != NULL;
        while (rv == 1) {
            rv = gather_some(s, out, i, &from);
        }
    }
    sort(out);
    return rv;
}

// Whether a page that begins at the cursor has passed the place.
static bool
is_passed(const nmq_query *q, uint32_t place)
{
    return q->cursor != 0 && (q->backward ? place >= q->cursor : place < q->cursor - 1);
}

static void
look_at_gathered(search *s, const gathered *all)
{
    const nmq_places *places = &s->router->subscriptions;
    uint32_t n = 0;

    while (nmq_walk_step(&s->walk)) {
        nmq_lanes_freeze(s->router->lanes);
        for (; n < all->count && s->walk.left > 0 && !s->walk.over; n++) {
            const found *next = &all->at[s->query->backward ? all->count - 1 - n : n];
            const nmq_sub_place *at = nmq_places_at(places, next->place);
            s->walk.left--;
            if (!is_passed(s->query, next->place) && at != NULL &&
                at->client == all->clients[next->client] &&
                !nmq_walk_ends_at(&s->walk, next->place)) {
                look_at(s, at, next->place);
            }
        }
        nmq_lanes_thaw(s->router->lanes);
        s->walk.over |= n == all->count;
    }
}

static void
look_at_some(search *s, nmq_sessions *sessions, const nmq_query_text *ids, uint32_t count)
{
    gathered all = {.clients = nmq_zalloc((count + 1) * sizeof *all.clients)};

    for (; all.clients != NULL && all.client_count < count; all.client_count++) {
        const nmq_query_text *id = &ids[all.client_count];
        all.clients[all.client_count] = nmq_registry_find(
            &sessions->registry, (nmq_bytes){(const uint8_t *) id->at, id->len});
    }
    if (all.clients != NULL && gather(s, &all) == NMQ_OK) {
        look_at_gathered(s, &all);
    } else {
        nmq_walk_fail(&s->walk);
    }
    for (uint32_t i = 0; i < all.client_count; i++) {
        nmq_client_unref(all.clients[i]);
    }
    nmq_free(all.clients);
    nmq_free(all.at);
}

int
nmq_query_subscriptions(nmq_sessions *sessions, const nmq_query *query, bool filtered,
                        nmq_page **out)
{
    search s = {.query = query, .router = sessions->router};

    nmq_walk_begin(&s.walk, query, filtered, sizeof(nmq_subscription_row));
    if (query->client_id.at != NULL) {
        look_at_some(&s, sessions, &query->client_id, 1);
    } else if (query->client_ids != NULL) {
        look_at_some(&s, sessions, query->client_ids, query->client_id_count);
    } else {
        look_at_all(&s);
    }
    return nmq_walk_end(&s.walk, out);
}
