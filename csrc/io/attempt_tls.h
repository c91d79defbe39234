// attempt_tls.h - connects over TLS, through nng.
#pragma once
#include "io/attempt.h"

// `tls` is a client's; the attempt keeps what it needs of it. Returns NULL when memory is
// out.
nmq_attempt *nmq_attempt_tls_new(const nmq_tls *tls, nmq_attempt_ended *ended, void *arg);
