// consumer_list.h - which consumers there are (consume.h), in pages. cffi reads this file:
// no macros here.
//
// Threads  thread-safe.
// Cost     the list's lock for as long as the page takes, each client's for its row.
#pragma once
#include <stdint.h>

#include "route/page.h"

typedef struct nmq_consumers nmq_consumers;

// Lists consumers, open and closed, the youngest first: those of a place below `below`, 0:
// all; `limit` at most, 1 or more. page->next is 0 when none is left. Returns NMQ_OK, or
// NMQ_ENOMEM; the page is the caller's: nmq_page_free.
int nmq_consumers_list(nmq_consumers *consumers, uint64_t below, uint32_t limit,
                       nmq_page **out);
