#include "route/event_record.h"

#include "store/message.h"

void
nmq_event_message(const nmq_event *event, nmq_message_view *out)
{
    nmq_bytes topic = nmq_message_topic(event->message);
    nmq_bytes payload = nmq_message_payload(event->message);

    *out = (nmq_message_view){
        .topic_name = (const char *) topic.at,
        .topic_len = topic.len,
        .payload = (const char *) payload.at,
        .payload_len = payload.len,
        .qos = event->message->qos,
        .retain = event->message->retain,
    };
}
