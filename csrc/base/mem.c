#include "base/mem.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/counters.h"

// musl has no __GLIBC_PREREQ, and an #if with it does not parse there: it has an #if of its
// own.
#ifdef __GLIBC__
#if __GLIBC_PREREQ(2, 33)
#define HAVE_MALLINFO2
#endif
#endif

enum { HELD_BYTES, FOREIGN_BYTES };
enum { LOOK_EVERY_BYTES = 1 << 18, BLOCK_HEAD_BYTES = sizeof(size_t) };

static nmq_counters held;
static uint64_t other;                   // atomic
static _Thread_local size_t since_look;  // bytes that this thread has taken
static _Thread_local uint64_t net_taken; // bytes that it has taken and not given back

#ifdef NMQ_MEM_COUNT

static long live;
static long budget = -1;
static bool once; // whether one fails, or all after it

static bool
may_allocate(void)
{
    long left = __atomic_load_n(&budget, __ATOMIC_RELAXED);

    if (left < 0) {
        return true;
    }
    if (left == 0) {
        if (__atomic_load_n(&once, __ATOMIC_RELAXED)) {
            __atomic_store_n(&budget, -1, __ATOMIC_RELAXED);
        }
        return false;
    }
    __atomic_sub_fetch(&budget, 1, __ATOMIC_RELAXED);
    return true;
}

static void
count_live(long more)
{
    __atomic_add_fetch(&live, more, __ATOMIC_RELAXED);
}

long
nmq_mem_live(void)
{
    return __atomic_load_n(&live, __ATOMIC_RELAXED);
}

static void
fail(long n, bool one)
{
    __atomic_store_n(&once, one, __ATOMIC_RELAXED);
    __atomic_store_n(&budget, n, __ATOMIC_RELAXED);
}

void
nmq_mem_fail_after(long n)
{
    fail(n, false);
}

void
nmq_mem_fail_once(long n)
{
    fail(n, true);
}

#else

static bool
may_allocate(void)
{
    return true;
}

static void
count_live(long more)
{
    (void) more;
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

void
nmq_mem_fail_once(long n)
{
    (void) n;
}

#endif

static void *
taken(void *at)
{
    size_t size = malloc_usable_size(at) + BLOCK_HEAD_BYTES;

    if (at != NULL) {
        since_look += size;
        net_taken += size;
        nmq_counters_add(&held, HELD_BYTES, size);
        count_live(1);
    }
    return at;
}

static void
given_back(size_t usable)
{
    size_t size = usable + BLOCK_HEAD_BYTES;

    net_taken -= size;
    nmq_counters_add(&held, HELD_BYTES, 0 - (uint64_t) size);
    count_live(-1);
}

void *
nmq_alloc(size_t size)
{
    return may_allocate() ? taken(malloc(size == 0 ? 1 : size)) : NULL;
}

void *
nmq_zalloc(size_t size)
{
    return may_allocate() ? taken(calloc(1, size == 0 ? 1 : size)) : NULL;
}

void *
nmq_resize(void *at, size_t size)
{
    size_t before = malloc_usable_size(at);
    void *moved = may_allocate() ? realloc(at, size == 0 ? 1 : size) : NULL;

    if (moved != NULL && at != NULL) {
        given_back(before);
    }
    return taken(moved);
}

void
nmq_free(void *at)
{
    if (at != NULL) {
        given_back(malloc_usable_size(at));
    }
    free(at);
}

uint64_t
nmq_mem_held(void)
{
    return nmq_counters_sum(&held, HELD_BYTES);
}

uint64_t
nmq_mem_taken(void)
{
    return net_taken;
}

void
nmq_mem_foreign(int64_t bytes)
{
    nmq_counters_add(&held, FOREIGN_BYTES, (uint64_t) bytes);
}

uint64_t
nmq_mem_foreign_held(void)
{
    return nmq_counters_sum(&held, FOREIGN_BYTES);
}

void
nmq_mem_set_other(uint64_t bytes)
{
    __atomic_store_n(&other, bytes, __ATOMIC_RELAXED);
}

uint64_t
nmq_mem_other(void)
{
    return __atomic_load_n(&other, __ATOMIC_RELAXED);
}

uint64_t
nmq_mem_resident(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%*u %llu", &pages) != 1) {
        pages = 0;
    }
    (void) fclose(file);
    return pages * (uint64_t) sysconf(_SC_PAGESIZE);
}

bool
nmq_mem_due(void)
{
    bool due = since_look >= LOOK_EVERY_BYTES;

    since_look = due ? 0 : since_look;
    return due;
}

uint64_t
nmq_mem_heap(void)
{
#ifdef HAVE_MALLINFO2
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
#else
    return 0;
#endif
}

void
nmq_mem_trim(void)
{
#ifdef __GLIBC__
    (void) malloc_trim(0);
#endif
}

void
nmq_mem_set_arenas(int count)
{
#ifdef __GLIBC__
    (void) mallopt(M_ARENA_MAX, count);
#else
    (void) count;
#endif
}

void
nmq_mem_set_dumpable(bool dumpable)
{
    (void) prctl(PR_SET_DUMPABLE, dumpable ? 1UL : 0UL, 0UL, 0UL, 0UL);
}
