// listeners.h - all places where clients of one broker come in, by number.
//
// Threads  thread-safe; one lock, alone.
#pragma once
#include "net/conn.h"

typedef struct {
    nmq_conns *conns;
    nmq_listen_fn *listen;
    pthread_mutex_t lock;
    nmq_listener **at; // lock; a reference each
    size_t count;      // lock
    uint32_t latest;   // lock: the latest number
} nmq_listeners;

void nmq_listeners_init(nmq_listeners *all, nmq_conns *conns, nmq_listen_fn *listen);
void nmq_listeners_fini(nmq_listeners *all); // after nmq_listeners_close_all

// Each does what the function of nmq.h says that is named beside it.
int nmq_listeners_open(nmq_listeners *all, const nmq_listener_options *options,
                       uint32_t *number, uint32_t *port);     // nmq_broker_listen
int nmq_listeners_start(nmq_listeners *all, uint32_t number); // nmq_broker_accept
int nmq_listeners_close(nmq_listeners *all, uint32_t number); // nmq_broker_unlisten
int nmq_listeners_set(nmq_listeners *all, uint32_t number,
                      const nmq_listener_options *options); // ..._set_listener
int nmq_listeners_set_tls(nmq_listeners *all, uint32_t number,
                          const nmq_tls *tls); // nmq_broker_set_tls
int nmq_listeners_stats(nmq_listeners *all, uint32_t number,
                        nmq_listener_stats *out); // ..._listener_stats
void nmq_listeners_close_all(nmq_listeners *all);

// Returns a reference to the listener of that number, or NULL.
nmq_listener *nmq_listeners_find(nmq_listeners *all, uint32_t number);
