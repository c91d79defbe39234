// question_bytes.h - a question (question.h) as the text of an note.
//
//     listener's number, then texts: a length (UINT32_MAX: not there) and the bytes
//     login: six.  wish: 1 or 0 for publish, three, and a text for each topic
//
// Threads  pure.
#pragma once
#include "base/bytes.h"
#include "serve/question.h"

// Appends the question. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_question_write(nmq_buf *out, const nmq_credentials *asks);

// Reads what nmq_question_write wrote; *out borrows from it.
void nmq_question_read(const char *text, nmq_credentials *out);

// The same for a wish: what comes before its topics, and then each of them.
int nmq_wish_write(nmq_buf *out, const nmq_wish *wish);
int nmq_wish_write_topic(nmq_buf *out, nmq_bytes topic);
void nmq_wish_read(const char *text, size_t len, nmq_wish *out);

// Takes the next text off *at. Returns it with its length, or NULL.
const char *nmq_question_take(const char **at, size_t *len);
