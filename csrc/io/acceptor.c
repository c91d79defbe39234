#include "io/acceptor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

void
nmq_acceptor_keep_alive(int fd)
{
    const int on = 1, idle_s = NMQ_ACCEPT_IDLE_S, ask_s = NMQ_ACCEPT_ASK_S,
              asks = NMQ_ACCEPT_ASKS;

    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &ask_s, sizeof ask_s);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &asks, sizeof asks);
    (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}
