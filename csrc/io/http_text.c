#include "io/http_text.h"

#include <string.h>
#include <strings.h>

bool
nmq_http_is(nmq_bytes a, const char *text)
{
    return a.len == strlen(text) && strncasecmp((const char *) a.at, text, a.len) == 0;
}

nmq_bytes
nmq_http_trimmed(nmq_bytes in)
{
    while (in.len > 0 && (in.at[0] == ' ' || in.at[0] == '\t')) {
        in = (nmq_bytes){in.at + 1, in.len - 1};
    }
    while (in.len > 0 && (in.at[in.len - 1] == ' ' || in.at[in.len - 1] == '\t')) {
        in.len--;
    }
    return in;
}

nmq_bytes
nmq_http_cut(nmq_bytes *rest, uint8_t mark)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->at, mark, rest->len) : NULL;
    nmq_bytes part = *rest;

    if (end == NULL) {
        *rest = (nmq_bytes){0};
        return part;
    }
    part.len = (size_t) (end - rest->at);
    *rest = (nmq_bytes){end + 1, rest->len - part.len - 1};
    return part;
}

bool
nmq_http_has_word(nmq_bytes list, const char *word)
{
    while (list.len > 0) {
        if (nmq_http_is(nmq_http_trimmed(nmq_http_cut(&list, ',')), word)) {
            return true;
        }
    }
    return false;
}
