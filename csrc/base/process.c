#include "base/process.h"

#include "base/descriptors.h"
#include "base/mem.h"

uint64_t
nmq_heap_bytes(void)
{
    return nmq_mem_heap();
}

uint64_t
nmq_held_bytes(void)
{
    return nmq_mem_held() + nmq_mem_foreign_held();
}

void
nmq_set_other_bytes(uint64_t bytes)
{
    nmq_mem_set_other(bytes);
}

bool
nmq_has_descriptors(uint32_t keep)
{
    return nmq_descriptors_left(keep);
}

void
nmq_trim_memory(void)
{
    nmq_mem_trim();
}

void
nmq_set_arenas(uint32_t count)
{
    nmq_mem_set_arenas((int) count);
}

void
nmq_set_dumpable(bool dumpable)
{
    nmq_mem_set_dumpable(dumpable);
}
