#include "serve/question.h"

#include <string.h>

#include "base/status.h"

static int
put(nmq_buf *to, const void *at, size_t len)
{
    return nmq_buf_put(to, (nmq_bytes){at, len});
}

// text NULL: absent.
static int
put_text(nmq_buf *to, const char *text, size_t text_len)
{
    uint32_t len = text != NULL ? (uint32_t) text_len : UINT32_MAX;
    int rv = put(to, &len, sizeof len);

    return rv == NMQ_OK && text != NULL ? put(to, text, text_len) : rv;
}

int
nmq_question_write(nmq_buf *to, const nmq_credentials *from)
{
    int rv = put(to, &from->listener, sizeof from->listener);

    if (rv != NMQ_OK || (rv = put_text(to, from->address, from->address_len)) != NMQ_OK ||
        (rv = put_text(to, from->client_id, from->client_id_len)) != NMQ_OK ||
        (rv = put_text(to, from->user_name, from->user_name_len)) != NMQ_OK ||
        (rv = put_text(to, from->password, from->password_len)) != NMQ_OK ||
        (rv = put_text(to, from->method, from->method_len)) != NMQ_OK) {
        return rv;
    }
    return put_text(to, from->data, from->data_len);
}

static const char *
next_text(const char **at, size_t *len)
{
    uint32_t size;

    memcpy(&size, *at, sizeof size);
    *at += sizeof size;
    if (size == UINT32_MAX) {
        *len = 0;
        return NULL;
    }
    const char *text = *at;
    *len = size;
    *at += size;
    return text;
}

void
nmq_question_read(const char *question, nmq_credentials *to)
{
    const char *at = question;

    memcpy(&to->listener, at, sizeof to->listener);
    at += sizeof to->listener;
    to->address = next_text(&at, &to->address_len);
    to->client_id = next_text(&at, &to->client_id_len);
    to->user_name = next_text(&at, &to->user_name_len);
    to->password = next_text(&at, &to->password_len);
    to->method = next_text(&at, &to->method_len);
    to->data = next_text(&at, &to->data_len);
}
