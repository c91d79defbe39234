// steering.h - a program changes clients beside everything else that stress.c does.
#pragma once
#include "broker.h"

// Steers clients that come and go, publishes as one of them, ends sessions, and counts the
// messages of a topic for a while.
void steering_round(nmq_broker *broker, int round);
