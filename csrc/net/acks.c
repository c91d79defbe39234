#include "net/acks.h"

void
nmq_acks_count_unexpected(const nmq_conn *conn, uint8_t type, bool in_use)
{
    unsigned which =
        type == NMQ_PUBACK   ? (in_use ? NMQ_COUNT_PUBACK_IN_USE : NMQ_COUNT_PUBACK_MISSED)
        : type == NMQ_PUBREC ? (in_use ? NMQ_COUNT_PUBREC_IN_USE : NMQ_COUNT_PUBREC_MISSED)
        : in_use             ? NMQ_COUNT_PUBCOMP_IN_USE
                             : NMQ_COUNT_PUBCOMP_MISSED;

    nmq_counters_add(conn->conns->counters, which, 1);
}
