// nng_socket.h - what the core needs of nng for plain sockets, without nng: for programs
// that run without Python. TLS is not among it.
#pragma once

// Binds it. Before the first broker that listens on a socket.
void nng_socket_bind(void);
