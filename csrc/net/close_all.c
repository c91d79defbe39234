#include "net/close_all.h"

#include "base/mem.h"
#include "net/linger.h"
#include "net/send.h"

void
nmq_close_listener(nmq_conns *conns, uint32_t listener, uint8_t reason_code)
{
    size_t count;
    nmq_conn **all = nmq_conns_all(conns, &count);

    for (size_t i = 0; i < count; i++) {
        if (all[i]->listener != NULL && all[i]->listener->number == listener) {
            nmq_send_disconnect(&all[i]->link, reason_code);
        }
        nmq_link_unref(&all[i]->link);
    }
    nmq_free(all);
}

// hard: what waits is not sent.
static void
disconnect_all(nmq_conns *conns, uint8_t reason_code, bool hard)
{
    size_t count;
    nmq_conn **all = nmq_conns_all(conns, &count);

    for (size_t i = 0; i < count; i++) {
        nmq_send_disconnect(&all[i]->link, reason_code);
        if (hard) {
            all[i]->stream->ops->close(all[i]->stream);
            nmq_link_relieve(&all[i]->link, 0, true);
        }
        nmq_link_unref(&all[i]->link);
    }
    nmq_free(all);
}

void
nmq_close_all(nmq_conns *conns, uint8_t reason_code, uint32_t timeout_ms)
{
    nmq_conns_close(conns);
    disconnect_all(conns, reason_code, false);
    if (!nmq_conns_wait_freed(conns, timeout_ms)) {
        disconnect_all(conns, reason_code, true);
        (void) nmq_conns_wait_freed(conns, NMQ_LINGER_MS * 2);
    }
}
