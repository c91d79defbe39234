// question_event.h - reads the questions (question.h) of events. cffi reads this file: no
// macros here.
//
// Owner    what is read borrows from the event.
#pragma once
#include "route/event_record.h"
#include "serve/question.h"

void nmq_event_auth(const nmq_event *event, nmq_credentials *out); // NMQ_EVENT_AUTH
void nmq_event_access(const nmq_event *event, nmq_wish *out);      // NMQ_EVENT_ACCESS

// Takes the next topic off, to wish->topic: a Topic Name, or a Topic Filter without its
// $share, as the client knows them. Returns false at the end.
bool nmq_wish_topic(nmq_wish *wish);
