#include "base/mem.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

#ifdef NMQ_MEM_COUNT

static long live;
static long budget = -1;

static bool
may_allocate(void)
{
    long left = __atomic_load_n(&budget, __ATOMIC_RELAXED);

    if (left < 0) {
        return true;
    }
    if (left == 0) {
        return false;
    }
    __atomic_sub_fetch(&budget, 1, __ATOMIC_RELAXED);
    return true;
}

static void *
counted(void *at)
{
    if (at != NULL) {
        __atomic_add_fetch(&live, 1, __ATOMIC_RELAXED);
    }
    return at;
}

void *
nmq_alloc(size_t size)
{
    return may_allocate() ? counted(malloc(size == 0 ? 1 : size)) : NULL;
}

void *
nmq_zalloc(size_t size)
{
    return may_allocate() ? counted(calloc(1, size == 0 ? 1 : size)) : NULL;
}

void *
nmq_resize(void *at, size_t size)
{
    if (at == NULL) {
        return nmq_alloc(size);
    }
    return may_allocate() ? realloc(at, size == 0 ? 1 : size) : NULL;
}

void
nmq_free(void *at)
{
    if (at != NULL) {
        __atomic_sub_fetch(&live, 1, __ATOMIC_RELAXED);
    }
    free(at);
}

long
nmq_mem_live(void)
{
    return __atomic_load_n(&live, __ATOMIC_RELAXED);
}

void
nmq_mem_fail_after(long n)
{
    __atomic_store_n(&budget, n, __ATOMIC_RELAXED);
}

#else

void *
nmq_alloc(size_t size)
{
    return malloc(size == 0 ? 1 : size);
}

void *
nmq_zalloc(size_t size)
{
    return calloc(1, size == 0 ? 1 : size);
}

void *
nmq_resize(void *at, size_t size)
{
    return realloc(at, size == 0 ? 1 : size);
}

void
nmq_free(void *at)
{
    free(at);
}

long
nmq_mem_live(void)
{
    return 0;
}

void
nmq_mem_fail_after(long n)
{
    (void) n;
}

#endif

uint64_t
nmq_mem_heap(void)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}
