// attempt_socket.h - connects to a TCP or a Unix socket.
#pragma once
#include "io/attempt.h"

// Returns NULL when memory is out.
nmq_attempt *nmq_attempt_socket_new(nmq_attempt_ended *ended, void *arg);
