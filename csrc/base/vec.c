#include "base/vec.h"

#include "base/mem.h"

void *
nmq_vec_grow(void *at, uint32_t *cap, size_t count, uint32_t least, size_t element_bytes)
{
    size_t want = *cap == 0 ? least : *cap;

    if (at != NULL && count <= *cap) {
        return at;
    }
    while (want < count) {
        want *= 2;
    }
    void *grown = want <= UINT32_MAX ? nmq_resize(at, want * element_bytes) : NULL;
    if (grown != NULL) {
        *cap = (uint32_t) want;
    }
    return grown;
}
