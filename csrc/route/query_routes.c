#include "route/query_routes.h"

#include "base/status.h"
#include "route/query_topics.h"
#include "store/tree_routes.h"

// Fills a row of the page.
static void
fill(nmq_walk *walk, const nmq_route *route)
{
    nmq_route_row *row = nmq_walk_row(walk);

    if (row == NULL) {
        return;
    }
    *row = (nmq_route_row){
        .filter = nmq_walk_text(walk, route->filter),
        .filter_len = route->filter.len,
        .group_len = route->group.len,
        .subscriptions = route->subscriptions,
    };
    if (route->group.at != NULL) {
        row->group = nmq_walk_text(walk, route->group);
    }
}

int
nmq_query_routes(nmq_router *router, const nmq_query *query, bool filtered, nmq_page **out)
{
    const nmq_places *places = nmq_routes_of(router->tree);
    nmq_walk walk;
    nmq_route route;
    nmq_buf text = {0};
    uint32_t place;

    nmq_walk_begin(&walk, query, filtered, sizeof(nmq_route_row));
    while (nmq_walk_step(&walk)) {
        nmq_lanes_freeze(router->lanes);
        while (nmq_walk_next(&walk, places, &place)) {
            if (nmq_routes_read(router->tree, place, &text, &route) != NMQ_OK) {
                nmq_walk_fail(&walk);
            } else if (nmq_query_fits_filter(query, route.filter, route.group) &&
                       nmq_walk_wants(&walk, place)) {
                fill(&walk, &route);
            }
        }
        nmq_lanes_thaw(router->lanes);
    }
    nmq_buf_free(&text);
    return nmq_walk_end(&walk, out);
}
