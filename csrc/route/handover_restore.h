// handover_restore.h - takes over what handover_save.h wrote.
//
// Threads  none meanwhile: no connection is open.
#pragma once
#include "route/consumer.h"

// Takes over what is in the bytes, where no client is yet. Returns how many
// sessions, NMQ_ENOMEM, or NMQ_EMALFORMED for bytes that nmq_handover_save did not write;
// what came before the fault stays.
int nmq_handover_restore(nmq_sessions *sessions, nmq_consumers *consumers, nmq_bytes in);
