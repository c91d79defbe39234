#include "serve/question_bytes.h"

#include <string.h>

#include "base/status.h"

static int
put(nmq_buf *out, const char *text, size_t len)
{
    uint32_t size = text != NULL ? (uint32_t) len : UINT32_MAX;
    int rv = nmq_buf_put(out, (nmq_bytes){(const uint8_t *) &size, sizeof size});

    if (rv == NMQ_OK && text != NULL) {
        rv = nmq_buf_put(out, (nmq_bytes){(const uint8_t *) text, len});
    }
    return rv;
}

int
nmq_question_write(nmq_buf *out, const nmq_credentials *asks)
{
    const nmq_bytes listener = {(const uint8_t *) &asks->listener, sizeof asks->listener};

    return nmq_buf_put(out, listener) == NMQ_OK &&
                   put(out, asks->address, asks->address_len) == NMQ_OK &&
                   put(out, asks->client_id, asks->client_id_len) == NMQ_OK &&
                   put(out, asks->user_name, asks->user_name_len) == NMQ_OK &&
                   put(out, asks->password, asks->password_len) == NMQ_OK &&
                   put(out, asks->method, asks->method_len) == NMQ_OK &&
                   put(out, asks->data, asks->data_len) == NMQ_OK
               ? NMQ_OK
               : NMQ_ENOMEM;
}

const char *
nmq_question_take(const char **at, size_t *len)
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
nmq_question_read(const char *text, nmq_credentials *out)
{
    const char *at = text;

    memcpy(&out->listener, at, sizeof out->listener);
    at += sizeof out->listener;
    out->address = nmq_question_take(&at, &out->address_len);
    out->client_id = nmq_question_take(&at, &out->client_id_len);
    out->user_name = nmq_question_take(&at, &out->user_name_len);
    out->password = nmq_question_take(&at, &out->password_len);
    out->method = nmq_question_take(&at, &out->method_len);
    out->data = nmq_question_take(&at, &out->data_len);
}

int
nmq_wish_write(nmq_buf *out, const nmq_wish *wish)
{
    const nmq_bytes listener = {(const uint8_t *) &wish->listener, sizeof wish->listener};
    const uint8_t publish = wish->publish;

    return nmq_buf_put(out, listener) == NMQ_OK &&
                   nmq_buf_put(out, (nmq_bytes){&publish, 1}) == NMQ_OK &&
                   put(out, wish->address, wish->address_len) == NMQ_OK &&
                   put(out, wish->client_id, wish->client_id_len) == NMQ_OK &&
                   put(out, wish->user_name, wish->user_name_len) == NMQ_OK
               ? NMQ_OK
               : NMQ_ENOMEM;
}

int
nmq_wish_write_topic(nmq_buf *out, nmq_bytes topic)
{
    return put(out, (const char *) topic.at, topic.len);
}

void
nmq_wish_read(const char *text, size_t len, nmq_wish *out)
{
    const char *at = text;

    memcpy(&out->listener, at, sizeof out->listener);
    at += sizeof out->listener;
    out->publish = *at++ != 0;
    out->address = nmq_question_take(&at, &out->address_len);
    out->client_id = nmq_question_take(&at, &out->client_id_len);
    out->user_name = nmq_question_take(&at, &out->user_name_len);
    out->topics = at;
    out->topics_len = len - (size_t) (at - text);
}
