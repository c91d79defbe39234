#include "route/query_topics.h"

static nmq_bytes
bytes_of(nmq_query_text text)
{
    return (nmq_bytes){(const uint8_t *) text.at, text.len};
}

bool
nmq_query_fits_filter(const nmq_query *query, nmq_bytes filter, nmq_bytes group)
{
    const nmq_bytes none = {0};

    return (query->topic_filter.at == NULL ||
            nmq_bytes_equal(bytes_of(query->topic_filter), filter)) &&
           (query->group.at == NULL ||
            nmq_bytes_equal(bytes_of(query->group), group.at != NULL ? group : none)) &&
           (query->topic_name.at == NULL ||
            nmq_filter_matches(filter, bytes_of(query->topic_name))) &&
           (query->below.at == NULL || nmq_filter_matches(bytes_of(query->below), filter));
}
