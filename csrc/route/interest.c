#include "route/interest.h"

#include "base/clock.h"
#include "base/status.h"
#include "store/tree_routes.h"

enum { AT_ONCE = 64 }; // filters told while the tree is locked

// Call with all lanes.
static void
take_out(nmq_router *router, const nmq_interest *interest)
{
    nmq_interest **at = &router->interests;

    while (*at != NULL && *at != interest) {
        at = &(*at)->next;
    }
    if (*at != NULL) {
        *at = interest->next;
    }
}

// Tells some of the routes that are there. Returns 1: there are more; NMQ_OK or NMQ_ENOMEM.
static int
tell_some(nmq_router *router, nmq_interest *interest, nmq_buf *text)
{
    const nmq_places *routes = nmq_routes_of(router->tree);
    nmq_route route;

    for (int i = 0; i < AT_ONCE; i++) {
        uint32_t place = nmq_places_next(routes, interest->told);
        if (place == NMQ_NO_PLACE) {
            interest->told = NMQ_NO_PLACE;
            return NMQ_OK;
        }
        if (nmq_routes_read(router->tree, place, text, &route) != NMQ_OK) {
            take_out(router, interest);
            return NMQ_ENOMEM;
        }
        interest->told = place + 1;
        interest->changed(interest, route.filter, route.group, true);
    }
    return 1;
}

int
nmq_interest_add(nmq_router *router, nmq_interest *interest)
{
    nmq_buf text = {0};
    int rv = 1;

    interest->told = 0;
    nmq_lanes_lock_all(router->lanes);
    interest->next = router->interests;
    router->interests = interest;
    while ((rv = tell_some(router, interest, &text)) == 1) {
        nmq_lanes_unlock_all(router->lanes);
        nmq_clock_pause();
        nmq_lanes_lock_all(router->lanes);
    }
    nmq_lanes_unlock_all(router->lanes);
    nmq_buf_free(&text);
    return rv;
}

void
nmq_interest_remove(nmq_router *router, nmq_interest *interest)
{
    nmq_lanes_lock_all(router->lanes);
    take_out(router, interest);
    nmq_lanes_unlock_all(router->lanes);
}

// Tells Python, unless there is another route of the filter.
static void
tell_event(nmq_router *router, const nmq_filter *filter, bool first)
{
    const nmq_event event = {
        .kind = first ? NMQ_EVENT_FIRST_SUBSCRIPTION : NMQ_EVENT_LAST_SUBSCRIPTION,
        .text = filter->filter,
    };

    if (nmq_watch_wants(&router->watch, event.kind) &&
        nmq_tree_route_count(router->tree, filter) == (first ? 1 : 0)) {
        nmq_watch_tell(&router->watch, &event);
    }
}

void
nmq_interest_tell(nmq_router *router, const nmq_filter *filter, uint32_t place, bool first)
{
    nmq_interest *next;

    for (nmq_interest *i = router->interests; i != NULL; i = next) {
        next = i->next;
        if (place < i->told) { // else it is told when its turn comes, or never was
            i->changed(i, filter->filter, filter->group, first);
        }
    }
    tell_event(router, filter, first);
}
