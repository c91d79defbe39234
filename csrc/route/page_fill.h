// page_fill.h - fills the page that answers a query (page.h).
//
// Threads  none of its own.
#pragma once
#include "base/bytes.h"
#include "route/page.h"

// An empty page of rows of that size, NULL: memory is out.
nmq_page *nmq_page_fill_new(size_t row_bytes);

// Adds a zeroed row; the rows before it may move. NULL: memory is out.
void *nmq_page_fill_row(nmq_page *page);

// A copy of the text with a NUL behind it, which stays where it is. NULL: memory is out.
const char *nmq_page_fill_text(nmq_page *page, nmq_bytes text);

// Whether its texts pass NMQ_PAGE_BYTES_MAX.
bool nmq_page_fill_is_heavy(const nmq_page *page);
