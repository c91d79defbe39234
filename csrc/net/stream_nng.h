// stream_nng.h - streams over nng: nmq-tcp, tls+nmq-tcp, nmq-ws, nmq-wss, nmq-ipc.
//
// nng is not linked: its functions come as pointers from pynng, by the names listed in
// stream_nng.c and bound through nmq.h. nng's names appear nowhere else.
//
// Source  nng 1.11, nng_stream(5), nng_aio(5).
#pragma once
#include "net/stream.h"

const nmq_transport *nmq_nng_transport(void);
