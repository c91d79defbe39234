// endpoint.h - where a transport listens, and whether it speaks TLS there. cffi reads this
// file: no macros here.
#pragma once
#include "io/tls.h" // cffi reads it too

// Texts are borrowed for the call.
typedef struct {
    int fd;              // a bound socket, TCP or Unix; not used with TLS
    const nmq_tls *tls;  // NULL: no TLS
    const char *address; // ADDRESS:PORT with TLS, port 0 takes a free one
} nmq_endpoint;
