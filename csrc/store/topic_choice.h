// topic_choice.h - topic filters one of which a topic has to match.
//
// A zeroed one is a valid one that takes every topic.
//
// Owner    the caller, of the filters too.
// Threads  none of its own.
// Cost     has: each filter, until one matches.
#pragma once
#include "base/bytes.h"

typedef struct {
    nmq_bytes filters; // valid ones without $share, each with its 0 behind it; owned
} nmq_topic_choice;

// Returns NMQ_OK, or NMQ_ENOMEM for one that is as it was.
int nmq_topic_choice_set(nmq_topic_choice *choice, nmq_bytes filters);
void nmq_topic_choice_fini(nmq_topic_choice *choice);

bool nmq_topic_choice_has(const nmq_topic_choice *choice, nmq_bytes topic_name);
