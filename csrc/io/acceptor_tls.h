// acceptor_tls.h - connections over TLS.
#pragma once
#include "io/stream.h"

// An nmq_listen_fn over endpoint->address and endpoint->tls.
int nmq_acceptor_tls(const nmq_endpoint *endpoint, const nmq_accept *to, nmq_acceptor **out,
                     uint32_t *port);
