// resolver.h - names to addresses, while nobody waits who has other work.
//
//     ask ──> [queue] ──a thread of the resolver: getaddrinfo──> found
//
// getaddrinfo may take half a minute where a server of names is gone, and there is no way
// to break it off. So it runs in a few threads of its own, which come when there is
// something to look up and go when there is not.
//
// Owner    a lookup is the caller's, and must stay until found is called or forget has
//          returned true.
// Threads  thread-safe.
#pragma once
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct nmq_lookup {
    struct nmq_lookup *next;                  // in the queue
    void (*found)(struct nmq_lookup *lookup); // once, on a thread of the resolver
    const char *host;                         // a name or an address
    uint16_t port;
    int error;             // once it is over: of getaddrinfo; 0: found
    struct addrinfo *list; // found; the caller's: freeaddrinfo
} nmq_lookup;

// Where host is an address there is nothing to look up: returns true, and list is set.
bool nmq_resolver_has_address(nmq_lookup *lookup);

// Has found called. Returns NMQ_OK, or NMQ_ENOMEM and it is not.
int nmq_resolver_ask(nmq_lookup *lookup);

// Takes the lookup back if no thread has begun with it. Returns whether it is the caller's
// again; else found is called.
bool nmq_resolver_forget(nmq_lookup *lookup);
