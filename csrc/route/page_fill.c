#include "route/page_fill.h"

#include <string.h>

#include "base/mem.h"
#include "base/vec.h"

enum { BLOCK_BYTES = 8192, FIRST_ROWS = 16 };

nmq_page *
nmq_page_fill_new(size_t row_bytes)
{
    nmq_page *page = nmq_zalloc(sizeof *page);

    if (page != NULL) {
        page->row_bytes = row_bytes;
    }
    return page;
}

void *
nmq_page_fill_row(nmq_page *page)
{
    uint8_t *rows = nmq_vec_grow((void *) (uintptr_t) page->rows, &page->row_cap,
                                 page->count + 1, FIRST_ROWS, page->row_bytes);

    if (rows == NULL) {
        return NULL;
    }
    page->rows = rows;
    return memset(rows + page->count++ * page->row_bytes, 0, page->row_bytes);
}

const char *
nmq_page_fill_text(nmq_page *page, nmq_bytes text)
{
    nmq_page_block *block = page->blocks;

    if (block == NULL || block->cap - block->len <= text.len) {
        size_t cap = text.len < BLOCK_BYTES ? BLOCK_BYTES : text.len + 1;
        block = nmq_alloc(sizeof *block + cap);
        if (block == NULL) {
            return NULL;
        }
        *block = (nmq_page_block){.next = page->blocks, .cap = cap};
        page->blocks = block;
    }
    char *at = (char *) (block + 1) + block->len;
    if (text.len > 0) {
        memcpy(at, text.at, text.len);
    }
    at[text.len] = 0;
    block->len += text.len + 1;
    page->text_bytes += text.len + 1;
    return at;
}

bool
nmq_page_fill_is_heavy(const nmq_page *page)
{
    return page->text_bytes > NMQ_PAGE_BYTES_MAX;
}
