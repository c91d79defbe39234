// question_bytes.h - a question (question.h) as the text of an note.
//
//     listener's number, then six times a length (UINT32_MAX: not there) and the bytes
//
// Threads  pure.
#pragma once
#include "base/bytes.h"
#include "serve/question.h"

// Appends the question. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_question_write(nmq_buf *out, const nmq_credentials *asks);

// Reads what nmq_question_write wrote; *out borrows from it.
void nmq_question_read(const char *text, nmq_credentials *out);
