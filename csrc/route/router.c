#include "route/router.h"

#include "base/status.h"
#include "store/tree_routes.h"

int
nmq_router_init(nmq_router *router)
{
    nmq_trail_draw(router->id);
    router->subscriptions.entry_bytes = sizeof(nmq_sub_place);
    router->lanes = nmq_lanes_new();
    router->tree = nmq_tree_new();
    nmq_watch_init(&router->watch, router->counters);
    return router->lanes != NULL && router->tree != NULL ? NMQ_OK : NMQ_ENOMEM;
}

void
nmq_router_fini(nmq_router *router)
{
    nmq_places_free(&router->subscriptions);
    nmq_tree_free(router->tree);
    nmq_lanes_free(router->lanes);
    nmq_watch_fini(&router->watch);
}

void
nmq_router_stats(nmq_router *router, nmq_stats *out)
{
    nmq_lane *lane = nmq_lanes_enter(router->lanes);

    out->subscriptions = nmq_tree_count(router->tree);
    out->shared_subscriptions = nmq_tree_shared_count(router->tree);
    out->routes = nmq_routes_of(router->tree)->count;
    out->subscriptions_max = router->subscriptions_max;
    out->shared_subscriptions_max = router->shared_max;
    out->routes_max = router->routes_max;
    nmq_lanes_leave(lane);
}
