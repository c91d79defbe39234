#include "net/listeners.h"

#include "base/mem.h"
#include "base/status.h"
#include "net/accept.h"

void
nmq_listeners_init(nmq_listeners *all, nmq_conns *conns, nmq_listen_fn *listen)
{
    *all = (nmq_listeners){.conns = conns, .listen = listen};
    (void) pthread_mutex_init(&all->lock, NULL);
}

void
nmq_listeners_fini(nmq_listeners *all)
{
    nmq_free(all->at);
    (void) pthread_mutex_destroy(&all->lock);
}

// Call with the lock.
static int
add(nmq_listeners *all, nmq_listener *listener)
{
    nmq_listener **grown = nmq_resize(all->at, (all->count + 1) * sizeof *all->at);

    if (grown == NULL) {
        return NMQ_ENOMEM;
    }
    all->at = grown;
    grown[all->count++] = listener;
    return NMQ_OK;
}

// Where the listener of that number is; NULL: nowhere. Call with the lock.
static nmq_listener **
place_of(const nmq_listeners *all, uint32_t number)
{
    for (size_t i = 0; i < all->count; i++) {
        if (all->at[i]->number == number) {
            return &all->at[i];
        }
    }
    return NULL;
}

int
nmq_listeners_open(nmq_listeners *all, const nmq_listener_options *options,
                   uint32_t *number, uint32_t *port)
{
    nmq_listener *listener;
    int rv = nmq_listener_new(&all->conns->gate, options, &listener);

    if (rv != NMQ_OK) {
        return rv;
    }
    listener->arg = all->conns;
    (void) pthread_mutex_lock(&all->lock);
    listener->number = ++all->latest;
    rv = add(all, listener);
    if (rv == NMQ_OK) {
        nmq_accept to = nmq_accept_for(listener);
        rv = all->listen(&options->endpoint, &to, &listener->acceptor, port);
        all->count -= rv != NMQ_OK;
    }
    *number = listener->number;
    (void) pthread_mutex_unlock(&all->lock);
    if (rv != NMQ_OK) {
        nmq_listener_unref(listener);
    }
    return rv;
}

int
nmq_listeners_start(nmq_listeners *all, uint32_t number)
{
    (void) pthread_mutex_lock(&all->lock);
    nmq_listener **place = place_of(all, number);
    if (place != NULL) {
        (*place)->acceptor->ops->start((*place)->acceptor);
    }
    (void) pthread_mutex_unlock(&all->lock);
    return place != NULL ? NMQ_OK : NMQ_ENOENT;
}

int
nmq_listeners_close(nmq_listeners *all, uint32_t number)
{
    nmq_listener *listener = NULL;

    (void) pthread_mutex_lock(&all->lock);
    nmq_listener **place = place_of(all, number);
    if (place != NULL) {
        listener = *place;
        *place = all->at[--all->count];
    }
    (void) pthread_mutex_unlock(&all->lock);
    if (listener == NULL) {
        return NMQ_ENOENT;
    }
    listener->acceptor->ops->stop(listener->acceptor);
    nmq_listener_unref(listener);
    return NMQ_OK;
}

int
nmq_listeners_set(nmq_listeners *all, uint32_t number, const nmq_listener_options *options)
{
    nmq_listener_settings *settings;
    int rv = nmq_listener_settings_new(options, &settings);

    if (rv != NMQ_OK) {
        return rv;
    }
    (void) pthread_mutex_lock(&all->lock);
    nmq_listener **place = place_of(all, number);
    if (place != NULL) {
        nmq_listener_set(*place, settings);
    }
    (void) pthread_mutex_unlock(&all->lock);
    if (place == NULL) {
        nmq_listener_settings_unref(settings);
    }
    return place != NULL ? NMQ_OK : NMQ_ENOENT;
}

nmq_listener *
nmq_listeners_find(nmq_listeners *all, uint32_t number)
{
    (void) pthread_mutex_lock(&all->lock);
    nmq_listener **place = place_of(all, number);
    nmq_listener *listener = place != NULL ? nmq_listener_ref(*place) : NULL;
    (void) pthread_mutex_unlock(&all->lock);
    return listener;
}

int
nmq_listeners_set_tls(nmq_listeners *all, uint32_t number, const nmq_tls *tls)
{
    int rv = NMQ_ENOENT;

    (void) pthread_mutex_lock(&all->lock);
    nmq_listener **place = place_of(all, number);
    if (place != NULL) {
        nmq_acceptor *acceptor = (*place)->acceptor;
        rv = acceptor->ops->set_tls(acceptor, tls);
    }
    (void) pthread_mutex_unlock(&all->lock);
    return rv;
}

int
nmq_listeners_stats(nmq_listeners *all, uint32_t number, nmq_listener_stats *out)
{
    (void) pthread_mutex_lock(&all->lock);
    nmq_listener **place = place_of(all, number);
    if (place != NULL) {
        const nmq_listener *l = *place;
        *out = (nmq_listener_stats){
            .open = __atomic_load_n(&l->open, __ATOMIC_RELAXED),
            .accepted = __atomic_load_n(&l->accepted, __ATOMIC_RELAXED),
            .refused = __atomic_load_n(&l->refused, __ATOMIC_RELAXED),
        };
    }
    (void) pthread_mutex_unlock(&all->lock);
    return place != NULL ? NMQ_OK : NMQ_ENOENT;
}

void
nmq_listeners_close_all(nmq_listeners *all)
{
    for (;;) {
        (void) pthread_mutex_lock(&all->lock);
        uint32_t number = all->count > 0 ? all->at[0]->number : 0;
        (void) pthread_mutex_unlock(&all->lock);
        if (number == 0 || nmq_listeners_close(all, number) != NMQ_OK) {
            return;
        }
    }
}
