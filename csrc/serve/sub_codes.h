// sub_codes.h - the codes of SUBACK and UNSUBACK, and what they say besides.
//
// Threads  none of its own.
#pragma once
#include "serve/server_conn.h"

// The code for what nmq_subscriptions_put has returned, or NMQ_EACCESS; options: that were
// granted.
uint8_t nmq_sub_codes_of(int rv, uint8_t options);

// The same as the client's version knows it.
uint8_t nmq_sub_codes_for(const nmq_server_conn *conn, uint8_t code);

// Why the first that failed did; NULL: none did, or there is no more to say.
const char *nmq_sub_codes_why(const nmq_buf *codes);
