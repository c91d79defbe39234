// poller.c - the jobs of io/poller.h without threads: they run when a target lets them.
#include "io/poller.h"

#include "base/status.h"
#include "end.h"

static nmq_job *first;
static nmq_job *last;

void
nmq_poller_set_threads(uint32_t count)
{
    (void) count;
}

int
nmq_poller_start(void)
{
    return NMQ_OK;
}

int
nmq_poller_wait(nmq_source *source)
{
    (void) source;
    return NMQ_ENOMEM; // no target has a socket
}

int
nmq_poller_wait_writable(nmq_source *source)
{
    (void) source;
    return NMQ_ENOMEM;
}

void
nmq_poller_forget(nmq_source *source)
{
    (void) source;
}

void
nmq_poller_post(nmq_job *job)
{
    job->next = NULL;
    *(first != NULL ? &last->next : &first) = job;
    last = job;
}

bool
fuzz_run_job(void)
{
    nmq_job *job = first;

    if (job != NULL) {
        first = job->next;
        job->run(job, NULL);
    }
    return job != NULL;
}
