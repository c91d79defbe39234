// acceptor_socket.h - connections of a listening socket, TCP or Unix.
#pragma once
#include "io/stream.h"

// An nmq_listen_fn over endpoint->fd.
int nmq_acceptor_socket(const nmq_endpoint *endpoint, const nmq_accept *to,
                        nmq_acceptor **out, uint32_t *port);
