// poller.h - threads that wait for sockets to become readable.
//
//     wait(source) ──readable or hung up──> source.ready(source, worker), once ──>
//     wait(source) ... post(job) ──a thread has time──> job.run(job, worker), once
//
// nng would read in its one poller thread and hand each result to a task thread: a second
// wake-up for every read. Here the thread that wakes up reads, decodes, routes and sends.
//
// Owner    the caller owns the source; it must stay from wait until ready is called.
// Threads  thread-safe. One set of threads a process, started at the first use; it stays.
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/worker.h"

typedef struct nmq_source {
    void (*ready)(struct nmq_source *source, nmq_worker *worker); // on one of the threads
    int fd;
    bool is_known; // atomic: set by wait, false at first
} nmq_source;

// How many threads there shall be, 1 or more. Works before the first start only.
void nmq_poller_set_threads(uint32_t count);

// Starts the threads unless they run. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_poller_start(void);

// Work for one of the threads, after what waits for them. All threads but
// one at most run such work, so that sockets are always read.
typedef struct nmq_job {
    struct nmq_job *next;
    void (*run)(struct nmq_job *job, nmq_worker *worker); // it may post the job again
} nmq_job;

// Has job->run called once. The job is the caller's, and must stay until then; it is not
// posted already. Threads are started if there are none. Call without a lock.
void nmq_poller_post(nmq_job *job);

// Has ready called once, as soon as fd is readable or its peer is gone; now, if it is. A
// descriptor leaves when it is closed. Returns NMQ_OK, or NMQ_ENOMEM and ready is not
// called.
int nmq_poller_wait(nmq_source *source);

// The same until fd is writable: a socket that connects is, once it has or has failed.
int nmq_poller_wait_writable(nmq_source *source);

// Takes the descriptor of a source that does not wait out, so that another source may have
// it, or it may be closed.
void nmq_poller_forget(nmq_source *source);
