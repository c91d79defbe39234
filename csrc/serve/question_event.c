#include "serve/question_event.h"

#include "serve/question_bytes.h"

void
nmq_event_auth(const nmq_event *event, nmq_credentials *out)
{
    nmq_question_read(event->text, out);
}

void
nmq_event_access(const nmq_event *event, nmq_wish *out)
{
    nmq_wish_read(event->text, event->text_len, out);
}

bool
nmq_wish_topic(nmq_wish *wish)
{
    const char *at = wish->topics;

    if (wish->topics_len == 0) {
        return false;
    }
    wish->topic = nmq_question_take(&at, &wish->topic_len);
    wish->topics_len -= (size_t) (at - wish->topics);
    wish->topics = at;
    return true;
}
