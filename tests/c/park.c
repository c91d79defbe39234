// Promise: a connection goes on once, when the last reason is over, whatever the order and
// whichever thread; its answer is taken once; one that closes waits for nothing.
#include "park.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "net/park.h"

enum { REASONS = 6, ENDERS = 3, ROUNDS = 2000 };

static unsigned ran;   // atomic: jobs
static unsigned taken; // atomic: answers
static bool freed;     // atomic

static void
run(nmq_job *job, nmq_worker *worker)
{
    nmq_conn *conn = (nmq_conn *) (void *) ((uint8_t *) job - offsetof(nmq_conn, job));

    (void) worker;
    (void) pthread_mutex_lock(&conn->link.lock);
    conn->job_does = 0;
    (void) pthread_mutex_unlock(&conn->link.lock);
    nmq_conn_set_recv(conn, NMQ_RECV_HANDLING);
    nmq_link_unref(&conn->link);
    (void) __atomic_add_fetch(&ran, 1, __ATOMIC_RELEASE);
}

static void
free_link(nmq_link *link)
{
    nmq_link_fini(link);
    __atomic_store_n(&freed, true, __ATOMIC_RELEASE);
}

static const nmq_link_ops ops = {.free = free_link};

static void
begin_conn(nmq_conn *conn)
{
    *conn = (nmq_conn){.job.run = run};
    nmq_link_init(&conn->link, &ops);
    ran = 0;
}

static void
wait_for_jobs(unsigned count)
{
    while (__atomic_load_n(&ran, __ATOMIC_ACQUIRE) < count) {
        (void) sched_yield();
    }
}

static void
end_conn(nmq_conn *conn)
{
    freed = false;
    nmq_link_unref(&conn->link);
    assert(freed); // no reference is left over
}

// --- one thread

// Begins the reasons in `set`, ends those in `early` before the connection rests and the
// others after, the `first` of them first.
static void
check_order(unsigned set, unsigned early, unsigned first)
{
    nmq_conn conn;

    begin_conn(&conn);
    for (unsigned n = 0; n < REASONS; n++) {
        if ((set >> n & 1) != 0) {
            nmq_park_begin(&conn, (enum nmq_park_reason)(1u << n), 0);
        }
    }
    nmq_park_end(&conn, (enum nmq_park_reason) early);
    assert(nmq_conn_recv(&conn) == NMQ_RECV_HANDLING); // it is the receive side's still
    nmq_park_rest(&conn);
    for (unsigned n = 0; n < REASONS && (set & ~early) != 0; n++) {
        unsigned one = 1u << (n + first) % REASONS;
        assert(nmq_conn_recv(&conn) == NMQ_RECV_PARKED);
        nmq_park_end(&conn, (enum nmq_park_reason) one);
        set &= ~one;
    }
    wait_for_jobs(1);
    assert(nmq_conn_recv(&conn) == NMQ_RECV_HANDLING && conn.parked_for == 0);
    end_conn(&conn);
    assert(ran == 1);
}

static bool
refuse(nmq_conn *conn, const void *arg)
{
    (void) conn;
    (void) arg;
    return false;
}

// An answer to another question ends nothing; one that is to close does not wait.
static void
check_ends(void)
{
    nmq_conn conn;
    int64_t due_ms;

    begin_conn(&conn);
    nmq_park_begin(&conn, NMQ_PARK_QUESTION, 0);
    nmq_park_rest(&conn);
    assert(!nmq_park_end_if(&conn, NMQ_PARK_QUESTION, refuse, NULL));
    assert(!nmq_park_end_if(&conn, NMQ_PARK_RATE, refuse, NULL));
    assert(nmq_park_reasons(&conn, &due_ms) == NMQ_PARK_QUESTION && due_ms == 0);
    assert(nmq_conn_recv(&conn) == NMQ_RECV_PARKED);
    (void) pthread_mutex_lock(&conn.link.lock);
    assert(nmq_conn_begin_close(&conn));
    (void) pthread_mutex_unlock(&conn.link.lock);
    nmq_park_end(&conn, NMQ_PARK_ALL);
    wait_for_jobs(1);
    nmq_park_begin(&conn, NMQ_PARK_MEMORY, 0);
    nmq_park_rest(&conn);
    wait_for_jobs(2);
    end_conn(&conn);
}

// --- several

typedef struct {
    nmq_conn *conn;
    pthread_barrier_t begin, over;
} meeting;

typedef struct {
    meeting *meeting;
    unsigned number;
} ender;

static bool
take(nmq_conn *conn, const void *arg)
{
    (void) conn;
    (void) arg;
    (void) __atomic_add_fetch(&taken, 1, __ATOMIC_RELAXED);
    return true;
}

static void *
end_reasons(void *arg)
{
    const ender *self = arg;
    meeting *m = self->meeting;
    unsigned seed = self->number;

    for (int round = 0; round < ROUNDS; round++) {
        (void) pthread_barrier_wait(&m->begin);
        for (int n = rand_r(&seed) % 64; n > 0; n--) {
            (void) sched_yield();
        }
        if (round % 8 == 7 && self->number == 0) {
            (void) pthread_mutex_lock(&m->conn->link.lock);
            (void) nmq_conn_begin_close(m->conn);
            (void) pthread_mutex_unlock(&m->conn->link.lock);
            nmq_park_end(m->conn, NMQ_PARK_ALL);
        } else if (self->number == 0) {
            nmq_park_end(m->conn, NMQ_PARK_SLOW);
            nmq_park_end(m->conn, NMQ_PARK_RATE);
        } else { // two answer
            (void) nmq_park_end_if(m->conn, NMQ_PARK_QUESTION, take, NULL);
        }
        (void) pthread_barrier_wait(&m->over);
    }
    return NULL;
}

static void
check_threads(void)
{
    nmq_conn conn;
    meeting m = {.conn = &conn};
    pthread_t threads[ENDERS];
    ender enders[ENDERS];

    (void) pthread_barrier_init(&m.begin, NULL, ENDERS + 1);
    (void) pthread_barrier_init(&m.over, NULL, ENDERS + 1);
    for (unsigned n = 0; n < ENDERS; n++) {
        enders[n] = (ender){&m, n};
        assert(pthread_create(&threads[n], NULL, end_reasons, &enders[n]) == 0);
    }
    for (int round = 0; round < ROUNDS; round++) {
        begin_conn(&conn);
        taken = 0;
        nmq_park_begin(&conn, NMQ_PARK_SLOW, 0);
        nmq_park_begin(&conn, NMQ_PARK_RATE, 0);
        nmq_park_begin(&conn, NMQ_PARK_QUESTION, 0);
        (void) pthread_barrier_wait(&m.begin);
        nmq_park_rest(&conn);
        (void) pthread_barrier_wait(&m.over);
        wait_for_jobs(1);
        assert(taken == 1 || (round % 8 == 7 && taken == 0));
        end_conn(&conn);
        assert(ran == 1);
    }
    for (unsigned n = 0; n < ENDERS; n++) {
        (void) pthread_join(threads[n], NULL);
    }
    (void) pthread_barrier_destroy(&m.begin);
    (void) pthread_barrier_destroy(&m.over);
}

void
check_park(void)
{
    for (unsigned set = 1; set <= NMQ_PARK_ALL; set++) {
        for (unsigned early = set;; early = (early - 1) & set) {
            for (unsigned first = 0; first < REASONS; first++) {
                check_order(set, early, first);
            }
            if (early == 0) {
                break;
            }
        }
    }
    check_ends();
    check_threads();
}
