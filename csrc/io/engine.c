#include "io/engine.h"

#include <string.h>

#include "io/nng.h"
#include "io/poller.h"

#define NAME(result, name, args) "nng_" #name,

static const char *const names[] = {NNG_FUNCTIONS(NAME)};

size_t
nmq_engine_count(void)
{
    return sizeof names / sizeof *names;
}

const char *
nmq_engine_name(size_t index)
{
    return index < nmq_engine_count() ? names[index] : NULL;
}

void
nmq_engine_bind(size_t index, void *function)
{
    // All members are function pointers; POSIX lets a void pointer carry one.
    if (index < nmq_engine_count()) {
        memcpy((char *) &nng + index * sizeof(void *), &function, sizeof function);
    }
}

void
nmq_engine_threads(uint32_t count)
{
    nmq_poller_set_threads(count);
    nng.init_set_parameter(NNG_INIT_NUM_TASK_THREADS, count);
    nng.init_set_parameter(NNG_INIT_MAX_TASK_THREADS, count);
    nng.init_set_parameter(NNG_INIT_NUM_POLLER_THREADS, 1);
    nng.init_set_parameter(NNG_INIT_NUM_EXPIRE_THREADS, 1);
    nng.init_set_parameter(NNG_INIT_NUM_RESOLVER_THREADS, 1);
}
