// descriptors.h - how many descriptors the process has left.
//
// The kernel gives the lowest free number, so a number close to the bound says that all
// below it are in use.
//
// Threads  thread-safe. Cost: three system calls.
#pragma once
#include <stdbool.h>

// Whether one more descriptor can be had and `keep` more after it.
bool nmq_descriptors_left(unsigned keep);
