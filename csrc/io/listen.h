// listen.h - the transports of our own: which acceptor an endpoint gets.
#pragma once
#include "io/stream.h"

// nmq_listen_fn: a plain socket, or TLS.
int nmq_listen(const nmq_endpoint *endpoint, const nmq_accept *to, nmq_acceptor **out,
               uint32_t *port);
