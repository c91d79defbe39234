// tls_library.h - the Mbed TLS inside pynng: its functions, and the calls between them.
//
//     nng ──calls──> [ table ] ──> mbedtls_ssl_handshake
//                        └───────> a function of ours, which calls that one
//
// Mbed TLS has no hook for what is needed here and nng hides its engine; what is left is
// the table through which a library calls its own functions.
//
// Threads  at the start, before the library is used.
// Source   System V ABI, procedure linkage table
#pragma once
#include <stdbool.h>
#include <stdint.h>

// Looks for the library that nng is in. Returns NMQ_OK or NMQ_ENOENT.
int nmq_tls_library_find(void);

// Makes calls of that function go to `instead`. *own, a function pointer, is set to the
// function's own address before that. Returns false when it is not called through the
// table; then *own is NULL.
bool nmq_tls_library_redirect(const char *name, uintptr_t instead, void *own);

// The address of a function; 0: there is none of that name.
uintptr_t nmq_tls_library_get(const char *name);
