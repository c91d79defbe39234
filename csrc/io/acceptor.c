#include "io/acceptor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum {
    IDLE_S = 60, // of silence, before TCP asks whether the peer is there
    ASK_S = 15,  // between two such questions
    ASKS = 4,    // without an answer: the connection is over
};

void
nmq_acceptor_keep_alive(int fd)
{
    const int on = 1, idle_s = IDLE_S, ask_s = ASK_S, asks = ASKS;

    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &ask_s, sizeof ask_s);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &asks, sizeof asks);
    (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}
