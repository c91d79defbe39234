#include "store/session_subs.h"

#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"

enum { FEW = 8 }; // up to so many subscriptions are searched one by one

// A long list has an index: text -> one more than its place.

static void
drop_index(nmq_session *s)
{
    if (s->sub_index != NULL) {
        nmq_map_free(s->sub_index);
        nmq_free(s->sub_index);
        s->sub_index = NULL;
    }
}

void
nmq_session_subs_free(nmq_session *session)
{
    for (uint32_t i = 0; i < session->sub_count; i++) {
        nmq_bytes_free(&session->subs[i].text);
    }
    nmq_free(session->subs);
    drop_index(session);
}

static nmq_session_sub *
find(const nmq_session *s, nmq_bytes text)
{
    if (s->sub_index != NULL) {
        uintptr_t place = (uintptr_t) nmq_map_get(s->sub_index, text);
        return place != 0 ? &s->subs[place - 1] : NULL;
    }
    for (uint32_t i = 0; i < s->sub_count; i++) {
        if (nmq_bytes_equal(s->subs[i].text, text)) {
            return &s->subs[i];
        }
    }
    return NULL;
}

const nmq_session_sub *
nmq_session_sub_find(const nmq_session *session, nmq_bytes text)
{
    return find(session, text);
}

// Returns NMQ_OK or NMQ_ENOMEM.
static int
put_index(nmq_session *s, uint32_t at)
{
    return nmq_map_put(s->sub_index, s->subs[at].text, (void *) (uintptr_t) (at + 1));
}

static int
make_index(nmq_session *s)
{
    int rv = NMQ_OK;

    s->sub_index = nmq_zalloc(sizeof *s->sub_index);
    if (s->sub_index == NULL) {
        return NMQ_ENOMEM;
    }
    for (uint32_t i = 0; i < s->sub_count && rv == NMQ_OK; i++) {
        rv = put_index(s, i);
    }
    if (rv != NMQ_OK) {
        drop_index(s);
    }
    return rv;
}

static int
reserve(nmq_session *s)
{
    bool more = s->sub_count == s->sub_cap;
    nmq_session_sub *grown =
        nmq_vec_grow(s->subs, &s->sub_cap, s->sub_count + 1, 1, sizeof *grown);

    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    s->subs = grown;
    return more && s->sub_cap > FEW && s->sub_index == NULL ? make_index(s) : NMQ_OK;
}

int
nmq_session_sub_put(nmq_session *session, const nmq_filter *filter, uint8_t options,
                    uint32_t identifier, bool is_new)
{
    nmq_session_sub *sub = is_new ? NULL : find(session, filter->text);
    nmq_bytes copy;

    if (sub != NULL) {
        sub->options = options;
        sub->identifier = identifier;
        return NMQ_OK;
    }
    if (reserve(session) != NMQ_OK || nmq_bytes_copy(filter->text, &copy) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    session->subs[session->sub_count] = (nmq_session_sub){
        .text = copy,
        .identifier = identifier,
        .group_len = (uint16_t) filter->group.len,
        .options = options,
    };
    if (session->sub_index != NULL && put_index(session, session->sub_count) != NMQ_OK) {
        nmq_bytes_free(&copy);
        return NMQ_ENOMEM;
    }
    session->sub_count++;
    return NMQ_OK;
}

nmq_filter
nmq_session_sub_filter(const nmq_session_sub *sub)
{
    return nmq_filter_join(sub->text, sub->group_len);
}

// Gives back memory that few subscriptions do not need. Without memory for the smaller
// index, they are searched one by one until there are more.
static void
shrink(nmq_session *s)
{
    uint32_t cap = s->sub_count == 0 ? 0 : s->sub_cap / 2;

    drop_index(s);
    if (cap == 0) { // an idle session is small
        nmq_free(s->subs);
        s->subs = NULL;
        s->sub_cap = 0;
        return;
    }
    nmq_session_sub *smaller = nmq_resize(s->subs, cap * sizeof *smaller);
    if (smaller != NULL) {
        s->subs = smaller;
        s->sub_cap = cap;
    }
    if (s->sub_cap > FEW) {
        (void) make_index(s);
    }
}

void
nmq_session_sub_del(nmq_session *session, nmq_bytes text)
{
    nmq_session_sub *sub = find(session, text);

    if (sub == NULL) {
        return;
    }
    nmq_bytes old = sub->text;
    uint32_t last = --session->sub_count;
    if (session->sub_index != NULL) {
        (void) nmq_map_del(session->sub_index, old);
    }
    *sub = session->subs[last];
    if (session->sub_index != NULL && sub != &session->subs[last]) {
        // the key is there: nothing is allocated
        (void) put_index(session, (uint32_t) (sub - session->subs));
    }
    nmq_bytes_free(&old);
    if (last == 0 || (session->sub_cap > FEW && last <= session->sub_cap / 4)) {
        shrink(session);
    }
}
