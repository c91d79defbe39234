#include "route/inbox.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"

// How far a queue may go over its bounds while those who publish are about to wait: what
// they have sent already is one batch each, of many small messages.
enum {
    GATHER_COUNT = 1 << 16,
    GATHER_FACTOR = 2, // times its bytes
};

int
nmq_inbox_new(const nmq_link_ops *ops, const void *owner, nmq_client *client,
              nmq_inbox **out)
{
    nmq_inbox *inbox = nmq_zalloc(sizeof *inbox);

    if (inbox == NULL) {
        return NMQ_ENOMEM;
    }
    inbox->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (inbox->fd < 0) {
        nmq_free(inbox);
        return NMQ_EFILES;
    }
    inbox->owner = owner;
    inbox->client = client;
    nmq_link_init(&inbox->link, ops);
    *out = inbox;
    return NMQ_OK;
}

void
nmq_inbox_free(nmq_inbox *inbox)
{
    (void) close(inbox->fd);
    nmq_link_fini(&inbox->link);
    nmq_free(inbox);
}

bool
nmq_inbox_may_gather(nmq_inbox *inbox, const nmq_session *session)
{
    const nmq_queue *queue = &session->queue;

    (void) pthread_mutex_lock(&inbox->link.lock);
    bool stuck = inbox->link.stuck;
    (void) pthread_mutex_unlock(&inbox->link.lock);
    return !stuck && queue->count < (uint64_t) session->queue_max + GATHER_COUNT &&
           (session->queue_max_bytes == 0 ||
            queue->bytes / GATHER_FACTOR < session->queue_max_bytes);
}

static uint64_t
part(uint64_t is, uint64_t max)
{
    return max == 0 ? 0 : is * 2 * NMQ_LOAD_FULL / max;
}

void
nmq_inbox_weigh(nmq_inbox *inbox, const nmq_session *session)
{
    uint64_t by_count = part(session->queue.count, session->queue_max);
    uint64_t by_bytes = part(session->queue.bytes, session->queue_max_bytes);
    uint64_t load = by_count > by_bytes ? by_count : by_bytes;

    inbox->link.load = load < UINT32_MAX ? (uint32_t) load : UINT32_MAX;
    inbox->link.held_bytes = session->queue.bytes;
}

void
nmq_inbox_tell(nmq_inbox *inbox)
{
    static const uint64_t one = 1;

    if (inbox->is_awaited) {
        inbox->is_awaited = false;
        (void) !write(inbox->fd, &one, sizeof one);
    }
}
