#include "io/dialer.h"

#include <netdb.h>
#include <string.h>
#include <sys/un.h>

#include "base/container.h"
#include "base/mem.h"
#include "base/status.h"
#include "io/attempt_socket.h"
#include "io/attempt_tls.h"
#include "io/poller.h"
#include "io/resolver.h"
#include "io/stream_ws.h"

enum step { STEP_NAME, STEP_CONNECT, STEP_UPGRADE };

// The work side is one thread at a time: the poller's or the resolver's, whichever has the
// news. It holds a reference until nothing is under way any more.
struct nmq_dial {
    uint32_t refs; // atomic
    nmq_clock *clock;
    nmq_dialled *dialled;
    void *arg;
    nmq_bytes host;       // owned; behind `where`
    nmq_bytes path;       // owned; behind `where`
    nmq_ws_request where; // fixed
    int64_t deadline_ms;  // fixed
    nmq_timer timer;      // holds a reference
    nmq_job job;          // the first step
    nmq_lookup lookup;
    nmq_attempt *attempt;
    const struct addrinfo *next; // work side: the next address to try; NULL: none
    char address[64];            // work side: that is tried, for people
    pthread_mutex_t lock;
    enum step step; // lock
    bool over;      // lock: it has ended; whoever set it tells
    bool is_last;   // lock: the timer is for the deadline
    bool told;      // lock: `dialled` has returned
    pthread_cond_t has_told;
    bool skipped;          // lock: the address has had its share
    nmq_stream *stream;    // lock: in the upgrade, or left over from a dial that ended
    nmq_dial_failure last; // work side: of the address that failed last
};

static void
dial_free(nmq_dial *d)
{
    if (d->stream != NULL) {
        d->stream->ops->close(d->stream);
        d->stream->ops->free(d->stream);
    }
    if (d->attempt != NULL) {
        d->attempt->ops->free(d->attempt);
    }
    if (d->lookup.list != NULL) {
        freeaddrinfo(d->lookup.list);
    }
    nmq_bytes_free(&d->host);
    nmq_bytes_free(&d->path);
    (void) pthread_cond_destroy(&d->has_told);
    (void) pthread_mutex_destroy(&d->lock);
    nmq_free(d);
}

static nmq_dial *
ref(nmq_dial *d)
{
    (void) __atomic_add_fetch(&d->refs, 1, __ATOMIC_RELAXED);
    return d;
}

void
nmq_dial_unref(nmq_dial *dial)
{
    if (dial != NULL && __atomic_sub_fetch(&dial->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        dial_free(dial);
    }
}

// --- how it ends

// It ends, unless it has: only one caller gets true, and tells. Call with the lock.
static bool
end(nmq_dial *d)
{
    bool first = !d->over;

    d->over = true;
    return first;
}

// Whoever ended it, once, with a reference.
static void
tell(nmq_dial *d, nmq_stream *stream, const nmq_dial_failure *failure)
{
    d->dialled(d->arg, stream, stream == NULL ? failure : NULL);
    (void) pthread_mutex_lock(&d->lock);
    d->told = true;
    (void) pthread_cond_broadcast(&d->has_told);
    (void) pthread_mutex_unlock(&d->lock);
}

// The work side is done. Takes its reference, and the stream.
static void
finish(nmq_dial *d, nmq_stream *stream, const nmq_dial_failure *failure)
{
    (void) pthread_mutex_lock(&d->lock);
    bool tells = end(d);
    if (stream != NULL) { // one that nobody is told of stays until nobody looks at it
        d->stream = tells ? NULL : stream;
    }
    (void) pthread_mutex_unlock(&d->lock);
    if (tells) {
        if (nmq_clock_cancel(d->clock, &d->timer)) {
            nmq_dial_unref(d); // the timer's
        }
        tell(d, stream, failure);
    }
    nmq_dial_unref(d); // the work side's
}

// Ends what is under way. Call without the lock, once it is over, with a reference.
static void
abort_work(nmq_dial *d, enum step step, nmq_stream *stream)
{
    if (step == STEP_NAME) {
        if (nmq_resolver_forget(&d->lookup)) {
            nmq_dial_unref(d); // the work side's
        }
    } else if (step == STEP_CONNECT) {
        d->attempt->ops->cancel(d->attempt);
    } else {
        stream->ops->close(stream);
    }
}

// Somebody else than the work side ends it. Call with a reference.
static void
break_off(nmq_dial *d, int status, const char *why)
{
    nmq_dial_failure failure;

    (void) pthread_mutex_lock(&d->lock);
    bool tells = end(d);
    enum step step = d->step;
    nmq_stream *stream = d->stream;
    (void) pthread_mutex_unlock(&d->lock);
    if (!tells) {
        return;
    }
    const char *doing = step == STEP_NAME      ? "looking its name up"
                        : step == STEP_CONNECT ? d->attempt->ops->doing(d->attempt)
                                               : "in the upgrade to WebSocket";
    nmq_dial_failure_set(&failure, &d->where, status, "%s, %s", why, doing);
    abort_work(d, step, stream);
    tell(d, NULL, &failure);
}

void
nmq_dial_cancel(nmq_dial *dial)
{
    if (nmq_clock_cancel(dial->clock, &dial->timer)) {
        nmq_dial_unref(dial); // the timer's
    }
    break_off(dial, NMQ_ECLOSED, "cancelled");
    (void) pthread_mutex_lock(&dial->lock);
    while (!dial->told) {
        (void) pthread_cond_wait(&dial->has_told, &dial->lock);
    }
    (void) pthread_mutex_unlock(&dial->lock);
}

// --- its deadline

// Gives the address that is tried now its share of what is left; all, if it is the last.
// Whoever ends the dial finds the timer armed, or this finds it over.
static void
arm(nmq_dial *d, unsigned addresses)
{
    int64_t now_ms = nmq_clock_now_ms();
    int64_t due_ms = now_ms + (d->deadline_ms - now_ms) / addresses;

    (void) pthread_mutex_lock(&d->lock);
    d->is_last = addresses == 1;
    if (!d->over && nmq_clock_arm(d->clock, &d->timer, due_ms)) { // it was not before
        (void) ref(d);
    }
    (void) pthread_mutex_unlock(&d->lock);
}

static void
fire(nmq_timer *timer)
{
    nmq_dial *d = NMQ_CONTAINER(timer, nmq_dial, timer);

    (void) pthread_mutex_lock(&d->lock);
    bool is_last = d->is_last;
    (void) pthread_mutex_unlock(&d->lock);
    if (is_last) {
        break_off(d, NMQ_ETIMEOUT, "no answer in time");
    } else {
        (void) pthread_mutex_lock(&d->lock);
        bool skips = !d->over && d->step == STEP_CONNECT;
        d->skipped = d->skipped || skips;
        (void) pthread_mutex_unlock(&d->lock);
        if (skips) {
            d->attempt->ops->skip(d->attempt);
        }
        arm(d, 1);
    }
    nmq_dial_unref(d); // the timer's
}

// --- the work side

// Goes to the next step. Returns false when it is over, and there is none.
static bool
enter(nmq_dial *d, enum step step, nmq_stream *stream)
{
    (void) pthread_mutex_lock(&d->lock);
    bool goes_on = !d->over;
    if (goes_on || stream != NULL) {
        d->stream = stream;
    }
    d->step = step;
    d->skipped = false;
    (void) pthread_mutex_unlock(&d->lock);
    return goes_on;
}

static void
upgraded(void *arg, int status, unsigned http_status, const char *why)
{
    nmq_dial *d = arg;
    nmq_stream *stream = d->stream;
    nmq_dial_failure failure = {0};

    if (status == NMQ_OK) {
        finish(d, stream, NULL);
        return;
    }
    nmq_dial_failure_set(&failure, &d->where, status, "%s", why);
    failure.http_status = (uint16_t) http_status;
    stream->ops->close(stream); // it is freed with the dial
    finish(d, NULL, &failure);
}

static void
upgrade(nmq_dial *d, nmq_stream *below)
{
    nmq_dial_failure failure;
    nmq_stream *stream = nmq_stream_ws_new(below);

    if (stream == NULL) {
        below->ops->close(below);
        below->ops->free(below);
    }
    if (stream == NULL || !enter(d, STEP_UPGRADE, stream)) {
        nmq_dial_failure_set(&failure, &d->where, NMQ_ENOMEM, "%s",
                             nmq_status_text(NMQ_ENOMEM));
        finish(d, NULL, &failure);
        return;
    }
    nmq_stream_ws_upgrade(stream, &d->where, upgraded, d);
}

static void try_next(nmq_dial *d);

static void
attempted(void *arg, nmq_stream *stream, int status)
{
    nmq_dial *d = arg;

    (void) pthread_mutex_lock(&d->lock);
    bool skipped = d->skipped;
    (void) pthread_mutex_unlock(&d->lock);
    if (stream != NULL && skipped) { // it came too late, and is shut down
        stream->ops->close(stream);
        stream->ops->free(stream);
        stream = NULL;
    }
    if (stream == NULL) {
        nmq_dial_failure_set(&d->last, &d->where, skipped ? NMQ_ETIMEOUT : status, "%s%s%s",
                             skipped ? "no answer in time" : d->attempt->why,
                             d->address[0] != 0 ? ", from " : "", d->address);
        try_next(d);
    } else if (d->where.path != NULL) {
        upgrade(d, stream);
    } else {
        finish(d, stream, NULL);
    }
}

static unsigned
count(const struct addrinfo *list)
{
    unsigned n = 0;

    for (; list != NULL; list = list->ai_next) {
        n++;
    }
    return n;
}

static void
try_address(nmq_dial *d, const struct sockaddr *address, socklen_t len)
{
    (void) ref(d); // it may all be over before begin returns
    d->attempt->ops->begin(d->attempt, address, len);
    nmq_dial_unref(d);
}

// Tries the next address; where there is none any more, it has failed as the last did.
static void
try_next(nmq_dial *d)
{
    const struct addrinfo *now = d->next;

    if (now == NULL || !enter(d, STEP_CONNECT, NULL)) {
        finish(d, NULL, &d->last);
        return;
    }
    d->next = now->ai_next;
    if (getnameinfo(now->ai_addr, now->ai_addrlen, d->address, sizeof d->address, NULL, 0,
                    NI_NUMERICHOST) != 0) {
        d->address[0] = 0;
    }
    if (d->next != NULL) {
        arm(d, count(now));
    }
    try_address(d, now->ai_addr, now->ai_addrlen);
}

static void
found(nmq_lookup *lookup)
{
    nmq_dial *d = NMQ_CONTAINER(lookup, nmq_dial, lookup);

    if (lookup->error != 0) {
        bool unknown = lookup->error == EAI_NONAME;
        nmq_dial_failure_set(&d->last, &d->where, unknown ? NMQ_ENOENT : NMQ_EIO,
                             "the name cannot be resolved: %s",
                             gai_strerror(lookup->error));
    }
    d->next = lookup->list;
    try_next(d);
}

static void
try_path(nmq_dial *d)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    memcpy(at.sun_path, d->host.at, d->host.len); // it fits, and a NUL follows
    if (enter(d, STEP_CONNECT, NULL)) {
        try_address(d, (const struct sockaddr *) &at, sizeof at);
    } else {
        nmq_dial_unref(d); // the work side's
    }
}

static void
begin(nmq_job *job, nmq_worker *worker)
{
    nmq_dial *d = NMQ_CONTAINER(job, nmq_dial, job);

    (void) worker;
    if (d->where.port == 0) {
        try_path(d);
    } else if (nmq_resolver_has_address(&d->lookup)) {
        found(&d->lookup);
    } else if (nmq_resolver_ask(&d->lookup) != NMQ_OK) {
        nmq_dial_failure_set(&d->last, &d->where, NMQ_ENOMEM, "%s",
                             nmq_status_text(NMQ_ENOMEM));
        finish(d, NULL, &d->last);
    }
}

// --- how it begins

static bool
fits(const nmq_dial_options *o)
{
    size_t len = strlen(o->host);

    return len > 0 && o->timeout_ms > 0 && (o->path == NULL || o->path[0] == '/') &&
           (o->port != 0
                ? len < NI_MAXHOST
                : len < sizeof((struct sockaddr_un *) NULL)->sun_path && o->tls == NULL);
}

static int
fill(nmq_dial *d, const nmq_dial_options *options)
{
    if (nmq_bytes_copy(nmq_bytes_of(options->host), &d->host) != NMQ_OK ||
        (options->path != NULL &&
         nmq_bytes_copy(nmq_bytes_of(options->path), &d->path) != NMQ_OK)) {
        return NMQ_ENOMEM;
    }
    d->where = (nmq_ws_request){(const char *) d->host.at, options->port,
                                options->tls != NULL, (const char *) d->path.at};
    d->lookup.host = d->where.host;
    d->lookup.port = options->port;
    d->attempt = options->tls != NULL ? nmq_attempt_tls_new(options->tls, attempted, d)
                                      : nmq_attempt_socket_new(attempted, d);
    return d->attempt != NULL ? nmq_poller_start() : NMQ_ENOMEM;
}

int
nmq_dial_new(const nmq_dial_options *options, nmq_clock *clock, nmq_dialled *dialled,
             void *arg, nmq_dial **out)
{
    if (!fits(options)) {
        return NMQ_EINVAL;
    }
    nmq_dial *d = nmq_zalloc(sizeof *d);
    if (d == NULL) {
        return NMQ_ENOMEM;
    }
    d->refs = 3; // the caller's, the timer's and the work side's
    d->clock = clock;
    d->dialled = dialled;
    d->arg = arg;
    d->deadline_ms = nmq_clock_now_ms() + options->timeout_ms;
    d->timer.fire = fire;
    d->is_last = true;
    d->lookup.found = found;
    d->job.run = begin;
    (void) pthread_mutex_init(&d->lock, NULL);
    (void) pthread_cond_init(&d->has_told, NULL);
    int rv = fill(d, options);
    if (rv == NMQ_OK && !nmq_clock_arm(clock, &d->timer, d->deadline_ms)) {
        rv = NMQ_ECLOSED;
    }
    if (rv != NMQ_OK) {
        dial_free(d);
        return rv;
    }
    *out = d;
    nmq_poller_post(&d->job);
    return NMQ_OK;
}
