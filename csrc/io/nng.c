#include "io/nng.h"

#include <string.h>

#include "base/status.h"
#include "io/poller.h"
#include "nmq.h"

#define NAME(result, name, args) "nng_" #name,

nmq_nng_table nng;

static const char *const names[] = {NNG_FUNCTIONS(NAME)};

size_t
nmq_nng_count(void)
{
    return sizeof names / sizeof *names;
}

const char *
nmq_nng_name(size_t index)
{
    return index < nmq_nng_count() ? names[index] : NULL;
}

void
nmq_nng_bind(size_t index, void *function)
{
    // All members are function pointers; POSIX lets a void pointer carry one.
    if (index < nmq_nng_count()) {
        memcpy((char *) &nng + index * sizeof(void *), &function, sizeof function);
    }
}

void
nmq_net_threads(uint32_t task_threads)
{
    nmq_poller_set_threads(task_threads);
    nng.init_set_parameter(NNG_INIT_NUM_TASK_THREADS, task_threads);
    nng.init_set_parameter(NNG_INIT_MAX_TASK_THREADS, task_threads);
    nng.init_set_parameter(NNG_INIT_NUM_POLLER_THREADS, 1);
    nng.init_set_parameter(NNG_INIT_NUM_EXPIRE_THREADS, 1);
    nng.init_set_parameter(NNG_INIT_NUM_RESOLVER_THREADS, 1);
}

int
nmq_nng_status(int rv)
{
    switch (rv) {
    case 0: return NMQ_OK;
    case NNG_ENOMEM: return NMQ_ENOMEM;
    case NNG_EADDRINUSE: return NMQ_EADDRINUSE;
    case NNG_EADDRINVAL: return NMQ_EADDR;
    case NNG_EPERM: return NMQ_EACCESS;
    case NNG_ENOFILES: return NMQ_EFILES;
    case NNG_ECRYPTO: return NMQ_ECRYPTO;
    default: return NMQ_EIO;
    }
}
