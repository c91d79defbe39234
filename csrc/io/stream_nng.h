// stream_nng.h - connected sockets and TLS as streams over nng.
#pragma once
#include "io/nng.h"
#include "io/stream.h"

// A stream over `raw`, which it takes unless it returns NULL (memory is out). fd is the
// descriptor below it: it is read and written to as soon as it is ready, and nng waits only
// while it is full; -1 where nng does not tell, and nng does it all. The poller runs where
// there is a descriptor.
nmq_stream *nmq_stream_new(nng_stream *raw, int fd, nmq_peer peer);
