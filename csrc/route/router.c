#include "route/router.h"

#include "base/status.h"

int
nmq_router_init(nmq_router *router)
{
    router->lanes = nmq_lanes_new();
    router->tree = nmq_tree_new();
    return router->lanes != NULL && router->tree != NULL ? NMQ_OK : NMQ_ENOMEM;
}

void
nmq_router_fini(nmq_router *router)
{
    nmq_tree_free(router->tree);
    nmq_lanes_free(router->lanes);
}
