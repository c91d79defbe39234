#include "base/metrics.h"

void
nmq_metrics_sum(const nmq_counters *counters, nmq_stats *out)
{
    *out = (nmq_stats){
#define COUNTER(id, name, topics, load, help)                                              \
    .name = nmq_counters_sum(counters, NMQ_COUNT_##id),
#define LEVEL(id, name, topics, help) .name = nmq_counters_sum(counters, NMQ_COUNT_##id),
#define SUM(name, first, last, topics, load, help)                                         \
    .name = nmq_counters_total(counters, NMQ_COUNT_##first, NMQ_COUNT_##last),
#include "metrics.def"
    };
}
