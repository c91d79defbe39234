#include "store/commit_gather.h"

// Looks in the time of a sync, and the least time between two.
enum { LOOKS = 16, LEAST_NS = 20000 };

void
nmq_commit_gather_take(nmq_commit_gather *gather, uint64_t asked)
{
    gather->let_go = asked - gather->taken;
    gather->taken = asked;
}

void
nmq_commit_gather_end(nmq_commit_gather *gather, uint64_t asked, int64_t began_ns,
                      int64_t now_ns)
{
    gather->expected = asked + gather->let_go;
    gather->ended_ns = now_ns;
    gather->sync_ns = now_ns - began_ns;
}

// Whether more have come since the last look than would have been committed meanwhile.
static bool
is_worth_it(const nmq_commit_gather *gather, uint64_t asked, int64_t now_ns)
{
    double came = (double) (asked - gather->seen);
    double came_ns = (double) (now_ns - gather->seen_ns);
    double all = (double) (asked - gather->taken);
    double all_ns = (double) (now_ns - gather->ended_ns + gather->sync_ns);

    return came * all_ns > all * came_ns;
}

int64_t
nmq_commit_gather_look(nmq_commit_gather *gather, int64_t least_ns, uint64_t asked,
                       int64_t now_ns, bool again)
{
    int64_t step_ns = gather->sync_ns / LOOKS;
    int64_t most_ns = least_ns >= 0 ? least_ns : gather->sync_ns;
    int64_t until_ns = gather->ended_ns + most_ns;

    if (gather->ended_ns == 0 || now_ns >= until_ns) {
        return 0;
    }
    if (least_ns >= 0) {
        return until_ns;
    }
    if (asked >= gather->expected || (again && !is_worth_it(gather, asked, now_ns))) {
        return 0;
    }
    gather->seen = asked;
    gather->seen_ns = now_ns;
    return now_ns + (step_ns > LEAST_NS ? step_ns : LEAST_NS);
}
