#include "io/poller.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/status.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t wanted = 2; // lock
static uint32_t running;    // atomic; written with lock
static int epoll_fd = -1;   // written once, before the first thread starts

static pthread_mutex_t job_lock = PTHREAD_MUTEX_INITIALIZER;
static nmq_job *first_job; // job_lock
static nmq_job *last_job;  // job_lock
static uint32_t busy;      // job_lock: threads that run one
static bool is_waiting;    // job_lock: the source below waits
static void run_job(nmq_source *source, nmq_worker *worker);
// Always readable: its turn comes after that of sockets which were ready before.
static nmq_source job_source = {.ready = run_job, .fd = -1};

// One event at a time: the others stay for threads that have nothing to do.
static bool
handle_one(nmq_worker *worker, int timeout_ms)
{
    struct epoll_event event;

    if (epoll_wait(epoll_fd, &event, 1, timeout_ms) != 1) {
        return false;
    }
    nmq_source *source = event.data.ptr;
    (void) __atomic_load_n(&source->is_known, __ATOMIC_ACQUIRE); // see wait
    source->ready(source, worker);
    return true;
}

static void *
run(void *arg)
{
    nmq_worker worker = {0};

    (void) arg;
    for (;;) {
        for (int timeout_ms = -1;
             handle_one(&worker, timeout_ms) && nmq_worker_wants_more(&worker);) {
            timeout_ms = 0;
        }
        nmq_worker_flush(&worker);
    }
    return NULL;
}

void
nmq_poller_set_threads(uint32_t count)
{
    (void) pthread_mutex_lock(&lock);
    wanted = count;
    (void) pthread_mutex_unlock(&lock);
}

static int
start_thread(void)
{
    pthread_attr_t detached;
    pthread_t thread;

    (void) pthread_attr_init(&detached);
    (void) pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int rv = pthread_create(&thread, &detached, run, NULL);
    (void) pthread_attr_destroy(&detached);
    return rv == 0 ? NMQ_OK : NMQ_ENOMEM;
}

int
nmq_poller_start(void)
{
    int rv = NMQ_OK;

    (void) pthread_mutex_lock(&lock);
    if (epoll_fd < 0) {
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    }
    if (job_source.fd < 0) {
        job_source.fd = eventfd(1, EFD_CLOEXEC);
    }
    if (epoll_fd < 0 || job_source.fd < 0) {
        rv = NMQ_ENOMEM;
    }
    while (rv == NMQ_OK && running < wanted) {
        rv = start_thread();
        (void) __atomic_add_fetch(&running, rv == NMQ_OK, __ATOMIC_RELAXED);
    }
    if (running > 0) { // fewer than wanted will do
        rv = NMQ_OK;
    }
    (void) pthread_mutex_unlock(&lock);
    return rv;
}

// One thread at a time has a source: the descriptor is switched off by its event, and on
// again here.
static inline int
wait_for(nmq_source *source, uint32_t what)
{
    struct epoll_event event = {.events = what | EPOLLONESHOT, .data.ptr = source};
    int op = source->is_known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    // Another thread may have the event at once: it sees all that was written until here.
    __atomic_store_n(&source->is_known, true, __ATOMIC_RELEASE);
    if (epoll_ctl(epoll_fd, op, source->fd, &event) != 0) {
        source->is_known = op == EPOLL_CTL_MOD;
        return NMQ_ENOMEM;
    }
    return NMQ_OK;
}

int
nmq_poller_wait(nmq_source *source)
{
    return wait_for(source, EPOLLIN);
}

int
nmq_poller_wait_writable(nmq_source *source)
{
    return wait_for(source, EPOLLOUT);
}

void
nmq_poller_forget(nmq_source *source)
{
    (void) epoll_ctl(epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
    source->is_known = false;
}

// Has a thread look for jobs, if there are some for it. Call with job_lock.
static void
call_for_jobs(void)
{
    uint32_t threads = __atomic_load_n(&running, __ATOMIC_RELAXED);
    uint32_t most = threads > 1 ? threads - 1 : 1;

    if (!is_waiting && first_job != NULL && busy < most) {
        is_waiting = nmq_poller_wait(&job_source) == NMQ_OK;
    }
}

static void
run_job(nmq_source *source, nmq_worker *worker)
{
    (void) source;
    (void) pthread_mutex_lock(&job_lock);
    is_waiting = false;
    nmq_job *job = first_job;
    if (job != NULL) {
        first_job = job->next;
        busy++;
    }
    call_for_jobs();
    (void) pthread_mutex_unlock(&job_lock);
    if (job == NULL) {
        return;
    }
    job->next = NULL;
    job->run(job, worker);
    (void) pthread_mutex_lock(&job_lock);
    busy--;
    call_for_jobs();
    (void) pthread_mutex_unlock(&job_lock);
}

void
nmq_poller_post(nmq_job *job)
{
    (void) nmq_poller_start();
    (void) pthread_mutex_lock(&job_lock);
    job->next = NULL;
    *(first_job != NULL ? &last_job->next : &first_job) = job;
    last_job = job;
    call_for_jobs();
    (void) pthread_mutex_unlock(&job_lock);
}
