#include "store/topic_choice.h"

#include <string.h>

#include "base/status.h"
#include "mqtt/topic.h"

int
nmq_topic_choice_set(nmq_topic_choice *choice, nmq_bytes filters)
{
    nmq_bytes copy = {0};

    if (filters.len > 0 && nmq_bytes_copy(filters, &copy) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    nmq_topic_choice_fini(choice);
    choice->filters = copy;
    return NMQ_OK;
}

void
nmq_topic_choice_fini(nmq_topic_choice *choice)
{
    nmq_bytes_free(&choice->filters);
    choice->filters = (nmq_bytes){0};
}

bool
nmq_topic_choice_has(const nmq_topic_choice *choice, nmq_bytes topic_name)
{
    nmq_bytes rest = choice->filters;
    bool has = rest.len == 0;

    while (!has && rest.len > 0) {
        const nmq_bytes filter = {rest.at, strlen((const char *) rest.at)};
        has = nmq_filter_matches(filter, topic_name);
        rest.at += filter.len + 1;
        rest.len -= filter.len + 1;
    }
    return has;
}
