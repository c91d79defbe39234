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

// --- of one client

// Where its subscriptions lie.
typedef struct {
    uint32_t *at;
    uint32_t count;
    uint32_t cap;
} gathered;

// Notes the places of those before index *from, up to GATHER of them. Returns whether there
// are more; NMQ_ENOMEM.
static int
gather_some(const search *s, const nmq_client *client, uint32_t *from, gathered *out)
{
    const nmq_session *session = client->session;
    nmq_lanes_freeze(s->router->lanes);

    *from = *from < session->sub_count ? *from : session->sub_count;
    uint32_t to = *from > GATHER ? *from - GATHER : 0;
    uint32_t *grown =
        nmq_vec_grow(out->at, &out->cap, out->count + *from - to, 1, sizeof *grown);
    if (grown != NULL) {
        out->at = grown;
        for (uint32_t i = *from; i > to; i--) {
            grown[out->count++] = session->subs[i - 1].place;
        }
    }
    nmq_lanes_thaw(s->router->lanes);
    *from = to;
    return grown == NULL ? NMQ_ENOMEM : to > 0;
}

static int
by_place(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a;
    uint32_t y = *(const uint32_t *) b;

    return x < y ? -1 : x > y;
}

// All places of the client's subscriptions, in order. From the last one down: what is given
// up meanwhile has the last put in its place, which is then noted twice, and not missed.
static int
gather(const search *s, const nmq_client *client, gathered *out)
{
    uint32_t from = UINT32_MAX;
    uint32_t kept = 0;
    int rv = 1;

    while (rv == 1) {
        rv = gather_some(s, client, &from, out);
    }
    if (rv == NMQ_OK && out->count > 0) {
        qsort(out->at, out->count, sizeof *out->at, by_place);
        for (uint32_t i = 1; i < out->count; i++) {
            if (out->at[i] != out->at[kept]) {
                out->at[++kept] = out->at[i];
            }
        }
        out->count = kept + 1;
    }
    return rv;
}

// Whether a page that begins at the cursor has passed the place.
static bool
is_passed(const nmq_query *q, uint32_t place)
{
    return q->cursor != 0 && (q->backward ? place >= q->cursor : place < q->cursor - 1);
}

static void
look_at_gathered(search *s, const nmq_client *client, const gathered *all)
{
    const nmq_places *places = &s->router->subscriptions;
    uint32_t n = 0;

    while (nmq_walk_step(&s->walk)) {
        nmq_lanes_freeze(s->router->lanes);
        for (; n < all->count && s->walk.left > 0 && !s->walk.over; n++) {
            uint32_t place = all->at[s->query->backward ? all->count - 1 - n : n];
            const nmq_sub_place *at = nmq_places_at(places, place);
            s->walk.left--;
            if (!is_passed(s->query, place) && at != NULL && at->client == client &&
                !nmq_walk_ends_at(&s->walk, place)) {
                look_at(s, at, place);
            }
        }
        nmq_lanes_thaw(s->router->lanes);
        s->walk.over |= n == all->count;
    }
}

static void
look_at_one(search *s, nmq_client *client)
{
    gathered all = {0};

    if (client != NULL && gather(s, client, &all) == NMQ_OK) {
        look_at_gathered(s, client, &all);
    } else if (client != NULL) {
        nmq_walk_fail(&s->walk);
    }
    nmq_free(all.at);
    nmq_client_unref(client);
}

int
nmq_query_subscriptions(nmq_sessions *sessions, const nmq_query *query, bool filtered,
                        nmq_page **out)
{
    search s = {.query = query, .router = sessions->router};

    nmq_walk_begin(&s.walk, query, filtered, sizeof(nmq_subscription_row));
    if (query->client_id.at != NULL) {
        nmq_bytes id = {(const uint8_t *) query->client_id.at, query->client_id.len};
        look_at_one(&s, nmq_registry_find(&sessions->registry, id));
    } else {
        look_at_all(&s);
    }
    return nmq_walk_end(&s.walk, out);
}
