#include "serve/kept.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/status.h"
#include "base/vec.h"

enum { FIRST_TOPICS = 4 };

typedef struct {
    nmq_bytes topic; // owned
    int64_t until_ms;
    int64_t at_ms; // wall clock
    enum nmq_access said;
} kept_answer;

struct nmq_kept {
    kept_answer *at;
    uint32_t cap;
    uint32_t count;
    uint32_t oldest; // once there are NMQ_KEPT_ROWS of them
};

// Call with link.lock.
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
nmq_kept_get(nmq_server_conn *conn, nmq_bytes topic)
{
    (void) pthread_mutex_lock(&conn->net.link.lock);
    const kept_answer *found = find(conn->kept, topic);
    enum nmq_access said = found != NULL && found->until_ms > nmq_clock_now_ms()
                               ? found->said
                               : NMQ_ACCESS_LATER;
    (void) pthread_mutex_unlock(&conn->net.link.lock);
    return said;
}

// Returns the place for another topic, or NULL. Call with link.lock.
static kept_answer *
place(nmq_kept *kept)
{
    if (kept->count == NMQ_KEPT_ROWS) {
        kept_answer *old = &kept->at[kept->oldest];
        kept->oldest = (kept->oldest + 1) % NMQ_KEPT_ROWS;
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

// Returns where the answer about the topic is to be, or NULL. Call with link.lock.
static kept_answer *
find_or_add(nmq_server_conn *conn, nmq_bytes topic)
{
    kept_answer *at = find(conn->kept, topic);
    nmq_bytes copy = {0};

    if (at == NULL) {
        if (topic.len > NMQ_KEPT_TOPIC_BYTES || nmq_bytes_copy(topic, &copy) != NMQ_OK) {
            return NULL;
        }
        if (conn->kept == NULL) {
            conn->kept = nmq_zalloc(sizeof *conn->kept);
        }
        at = conn->kept != NULL ? place(conn->kept) : NULL;
        if (at == NULL) {
            nmq_bytes_free(&copy);
            return NULL;
        }
        at->topic = copy;
    }
    return at;
}

void
nmq_kept_put(nmq_server_conn *conn, nmq_bytes topic, enum nmq_access said, int64_t until_ms)
{
    (void) pthread_mutex_lock(&conn->net.link.lock);
    kept_answer *at = find_or_add(conn, topic);
    if (at != NULL) {
        at->said = said;
        at->until_ms = until_ms;
        at->at_ms = nmq_clock_wall_ms();
    }
    (void) pthread_mutex_unlock(&conn->net.link.lock);
}

static void
fill(nmq_kept_row *row, const kept_answer *answer, int64_t left_ms)
{
    memcpy(row->topic, answer->topic.at, answer->topic.len);
    row->topic_len = answer->topic.len;
    row->said = (uint8_t) answer->said;
    row->at_ms = answer->at_ms;
    row->left_ms = (uint32_t) left_ms;
}

uint32_t
nmq_kept_rows(nmq_server_conn *conn, nmq_kept_row *rows)
{
    int64_t now_ms = nmq_clock_now_ms();
    uint32_t count = 0;

    (void) pthread_mutex_lock(&conn->net.link.lock);
    const nmq_kept *kept = conn->kept;
    for (uint32_t i = 0; kept != NULL && i < kept->count; i++) {
        if (kept->at[i].until_ms > now_ms) {
            fill(&rows[count++], &kept->at[i], kept->at[i].until_ms - now_ms);
        }
    }
    (void) pthread_mutex_unlock(&conn->net.link.lock);
    return count;
}

void
nmq_kept_free(nmq_server_conn *conn)
{
    (void) pthread_mutex_lock(&conn->net.link.lock);
    nmq_kept *kept = conn->kept;
    conn->kept = NULL;
    (void) pthread_mutex_unlock(&conn->net.link.lock);
    if (kept == NULL) {
        return;
    }
    for (uint32_t i = 0; i < kept->count; i++) {
        nmq_bytes_free(&kept->at[i].topic);
    }
    nmq_free(kept->at);
    nmq_free(kept);
}
