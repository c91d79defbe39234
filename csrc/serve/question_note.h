// question_note.h - reads the questions (question.h) of notes. cffi reads this file: no
// macros here.
//
// Owner    what is read borrows from the note.
#pragma once
#include "route/note_record.h"
#include "serve/question.h"

void nmq_note_auth(const nmq_note *note, nmq_credentials *out); // NMQ_NOTE_AUTH
void nmq_note_access(const nmq_note *note, nmq_wish *out);      // NMQ_NOTE_ACCESS

// Takes the next topic off, to wish->topic: a Topic Name, or a Topic Filter without its
// $share, as the client knows them. Returns false at the end.
bool nmq_wish_topic(nmq_wish *wish);
