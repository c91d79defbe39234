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
#include <stdint.h>

// Looks for the library that nng is in. Returns NMQ_OK or NMQ_ENOENT.
int nmq_tls_library_find(void);

// Has calls of that function go to `instead`. Returns the function's own address, 0 when it
// is not called through the table.
uintptr_t nmq_tls_library_redirect(const char *name, uintptr_t instead);

// The address of a function; 0: there is none of that name.
uintptr_t nmq_tls_library_get(const char *name);
