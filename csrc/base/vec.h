// vec.h - an array that grows by doubling.
//
//     grown = nmq_vec_grow(list->at, &list->cap, list->count + 1, 16, sizeof *list->at);
//
// Owner    the caller's: freed with nmq_free.
#pragma once
#include <stddef.h>
#include <stdint.h>

// Makes room for `count` elements of element_bytes each in an array that has room for *cap;
// `least` is the first capacity. Returns the array, which may have moved, and sets *cap; or
// NULL when memory is out, and nothing has changed.
void *nmq_vec_grow(void *at, uint32_t *cap, size_t count, uint32_t least,
                   size_t element_bytes);
