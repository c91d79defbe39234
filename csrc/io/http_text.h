// http_text.h - the head of an HTTP message, as far as an upgrade to WebSocket needs it.
//
// Threads  pure.
// Source   RFC 9110, 5; RFC 9112, 2
#pragma once
#include "base/bytes.h"

bool nmq_http_is(nmq_bytes a, const char *text); // whatever the case of its letters
nmq_bytes nmq_http_trimmed(nmq_bytes in);        // without spaces at its ends

// Cuts what stands before the first `mark` off the front, and the mark; or all of it.
nmq_bytes nmq_http_cut(nmq_bytes *rest, uint8_t mark);

bool nmq_http_has_word(nmq_bytes list, const char *word); // of a list with commas
