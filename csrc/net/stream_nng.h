// stream_nng.h - connected sockets and TLS as streams over nng.
#pragma once
#include "net/nng.h"
#include "net/stream.h"

// A stream over `raw`, which it takes unless it returns NULL (memory is out). fd is the
// descriptor below it: sends go there at once, and nng waits only when it is full; -1 where
// nng does not tell.
nmq_stream *nmq_stream_new(nng_stream *raw, int fd, nmq_peer peer);
