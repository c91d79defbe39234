#include "serve/question_note.h"

#include "serve/question_bytes.h"

void
nmq_note_auth(const nmq_note *note, nmq_credentials *out)
{
    nmq_question_read(note->text, out);
}

void
nmq_note_access(const nmq_note *note, nmq_wish *out)
{
    nmq_wish_read(note->text, note->text_len, out);
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
