#include "io/resolver.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/status.h"

enum { THREADS_MAX = 4 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static nmq_lookup *first; // lock
static unsigned running;  // lock: threads

static int
look_up(nmq_lookup *lookup, int flags)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    char port[8];

    (void) snprintf(port, sizeof port, "%u", (unsigned) lookup->port);
    lookup->list = NULL;
    return getaddrinfo(lookup->host, port, &hints, &lookup->list);
}

bool
nmq_resolver_has_address(nmq_lookup *lookup)
{
    lookup->error = look_up(lookup, AI_NUMERICHOST | AI_NUMERICSERV);
    return lookup->error == 0;
}

// Takes the first lookup off the queue; NULL: there is none, and the thread ends.
static nmq_lookup *
next(void)
{
    (void) pthread_mutex_lock(&lock);
    nmq_lookup *lookup = first;
    if (lookup != NULL) {
        first = lookup->next;
    } else {
        running--;
    }
    (void) pthread_mutex_unlock(&lock);
    return lookup;
}

static void *
run(void *arg)
{
    nmq_lookup *lookup;

    (void) arg;
    while ((lookup = next()) != NULL) {
        lookup->error = look_up(lookup, AI_NUMERICSERV);
        lookup->found(lookup);
    }
    return NULL;
}

static bool
start_thread(void)
{
    pthread_attr_t detached;
    pthread_t thread;

    (void) pthread_attr_init(&detached);
    (void) pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    bool runs = pthread_create(&thread, &detached, run, NULL) == 0;
    (void) pthread_attr_destroy(&detached);
    return runs;
}

int
nmq_resolver_ask(nmq_lookup *lookup)
{
    nmq_lookup **end = &first;

    (void) pthread_mutex_lock(&lock);
    if (running < THREADS_MAX && start_thread()) {
        running++;
    }
    bool is_served = running > 0;
    if (is_served) {
        while (*end != NULL) {
            end = &(*end)->next;
        }
        lookup->next = NULL;
        *end = lookup;
    }
    (void) pthread_mutex_unlock(&lock);
    return is_served ? NMQ_OK : NMQ_ENOMEM;
}

bool
nmq_resolver_forget(nmq_lookup *lookup)
{
    nmq_lookup **at = &first;

    (void) pthread_mutex_lock(&lock);
    while (*at != NULL && *at != lookup) {
        at = &(*at)->next;
    }
    bool waits = *at != NULL;
    if (waits) {
        *at = lookup->next;
    }
    (void) pthread_mutex_unlock(&lock);
    return waits;
}
