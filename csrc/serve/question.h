// question.h - the text of a question to Python: who is this client?
//
//     listener's number | 6 x (length, UINT32_MAX: absent | bytes)
//
// It goes from the connection to nmq_event_auth in one record of the ring, whose reader is
// in the same process.
#pragma once
#include "base/bytes.h"
#include "route/event.h"

// Appends the question. Returns NMQ_OK or NMQ_ENOMEM, and `to` may hold part of it.
int nmq_question_write(nmq_buf *to, const nmq_credentials *from);

// Takes a question apart; the texts of `to` are borrowed from it.
void nmq_question_read(const char *question, nmq_credentials *to);
