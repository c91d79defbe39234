#include "route/page.h"

#include "base/mem.h"

void
nmq_page_free(nmq_page *page)
{
    if (page == NULL) {
        return;
    }
    while (page->blocks != NULL) {
        nmq_page_block *next = page->blocks->next;
        nmq_free(page->blocks);
        page->blocks = next;
    }
    nmq_free((void *) (uintptr_t) page->rows);
    nmq_free(page);
}

const nmq_client_row *
nmq_page_clients(const nmq_page *page)
{
    return page->rows;
}

const nmq_session_row *
nmq_page_sessions(const nmq_page *page)
{
    return page->rows;
}

const nmq_detail_row *
nmq_page_details(const nmq_page *page)
{
    return page->rows;
}

const nmq_subscription_row *
nmq_page_subscriptions(const nmq_page *page)
{
    return page->rows;
}

const nmq_route_row *
nmq_page_routes(const nmq_page *page)
{
    return page->rows;
}

const nmq_retained_row *
nmq_page_retained(const nmq_page *page)
{
    return page->rows;
}

const nmq_consumer_row *
nmq_page_consumers(const nmq_page *page)
{
    return page->rows;
}
