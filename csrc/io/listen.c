#include "io/listen.h"

#include "io/acceptor_socket.h"
#include "io/acceptor_tls.h"

int
nmq_listen(const nmq_endpoint *endpoint, const nmq_accept *to, nmq_acceptor **out,
           uint32_t *port)
{
    return endpoint->tls != NULL ? nmq_acceptor_tls(endpoint, to, out, port)
                                 : nmq_acceptor_socket(endpoint, to, out, port);
}
