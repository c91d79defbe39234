// acceptor.h - what the two ways to get nng's streams have in common.
//
//     acceptor_socket   a thread of ours accepts on a listening socket and hands each
//                       connection to nng: the backlog, the descriptor and the peer are
//                       ours to know, and the socket can come from systemd or from a
//                       process before this one
//     acceptor_tls      nng's own listener
#pragma once

enum {
    NMQ_ACCEPT_BACKLOG = 4096, // connections that wait to be accepted
    NMQ_ACCEPT_PAUSE_MS = 20,  // after an error that would come again at once
    NMQ_ACCEPT_IDLE_S = 60,    // of silence, before TCP asks whether the peer is there
    NMQ_ACCEPT_ASK_S = 15,     // between two such questions
    NMQ_ACCEPT_ASKS = 4,       // without an answer: the connection is over
    NMQ_ACCEPT_KEEP = 16,      // descriptors that clients leave to the rest of the process
};

// Has TCP ask silent peers of the connections that the listening socket accepts whether
// they are still there. No timer of ours looks after a client without Keep Alive.
void nmq_acceptor_keep_alive(int fd);
