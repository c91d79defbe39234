// attempt_tls.h - connects over TLS, through nng.
#pragma once
#include "io/attempt.h"
#include "io/nng.h"

// `config` is a client's; the attempt takes a reference of nng's. Returns NULL when memory
// is out.
nmq_attempt *nmq_attempt_tls_new(nng_tls_config *config, nmq_attempt_ended *ended,
                                 void *arg);
