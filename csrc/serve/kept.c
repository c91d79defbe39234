#include "serve/kept.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"

enum {
    TOPICS_MAX = 32,
    TOPIC_BYTES_MAX = 256,
    FIRST_TOPICS = 4,
};

typedef struct {
    nmq_bytes topic; // owned
    int64_t until_ms;
    enum nmq_access said;
} kept_answer;

struct nmq_kept {
    kept_answer *at;
    uint32_t cap;
    uint32_t count;
    uint32_t oldest; // once there are TOPICS_MAX of them
};

static kept_answer *
find(const nmq_kept *kept, nmq_bytes topic)
{
    for (uint32_t i = 0; kept != NULL && i < kept->count; i++) {
        if (nmq_bytes_equal(kept->at[i].topic, topic)) {
            return &kept->at[i];
        }
    }
    return NULL;
}

enum nmq_access
nmq_kept_get(const nmq_server_conn *conn, nmq_bytes topic)
{
    const kept_answer *found = find(conn->kept, topic);

    return found != NULL && found->until_ms > nmq_clock_now_ms() ? found->said
                                                                 : NMQ_ACCESS_LATER;
}

// Returns the place for another topic, or NULL.
static kept_answer *
place(nmq_kept *kept)
{
    if (kept->count == TOPICS_MAX) {
        kept_answer *old = &kept->at[kept->oldest];
        kept->oldest = (kept->oldest + 1) % TOPICS_MAX;
        nmq_bytes_free(&old->topic);
        return old;
    }
    kept_answer *grown = nmq_vec_grow(kept->at, &kept->cap, (size_t) kept->count + 1,
                                      FIRST_TOPICS, sizeof *kept->at);
    if (grown == NULL) {
        return NULL;
    }
    kept->at = grown;
    grown[kept->count] = (kept_answer){0};
    return &grown[kept->count++];
}

void
nmq_kept_put(nmq_server_conn *conn, nmq_bytes topic, enum nmq_access said, int64_t until_ms)
{
    kept_answer *at = find(conn->kept, topic);
    nmq_bytes copy = {0};

    if (at == NULL) {
        if (topic.len > TOPIC_BYTES_MAX || nmq_bytes_copy(topic, &copy) != NMQ_OK) {
            return;
        }
        if (conn->kept == NULL) {
            conn->kept = nmq_zalloc(sizeof *conn->kept);
        }
        at = conn->kept != NULL ? place(conn->kept) : NULL;
        if (at == NULL) {
            nmq_bytes_free(&copy);
            return;
        }
        at->topic = copy;
    }
    at->said = said;
    at->until_ms = until_ms;
}

void
nmq_kept_free(nmq_server_conn *conn)
{
    nmq_kept *kept = conn->kept;

    if (kept == NULL) {
        return;
    }
    for (uint32_t i = 0; i < kept->count; i++) {
        nmq_bytes_free(&kept->at[i].topic);
    }
    nmq_free(kept->at);
    nmq_free(kept);
    conn->kept = NULL;
}
