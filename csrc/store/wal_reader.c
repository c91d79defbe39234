#include "store/wal_reader.h"

#include "base/mem.h"
#include "base/status.h"

enum { WINDOW_BYTES = 2 * NMQ_WAL_BLOCK_BYTES };

static void
close_file(nmq_wal_reader *r)
{
    if (r->is_open) {
        r->segments->disk->ops->close(r->segments->disk, r->file);
        r->is_open = false;
    }
    r->window_len = 0;
}

// Returns 0 or an errno.
static int
open_file(nmq_wal_reader *r)
{
    char name[NMQ_WAL_NAME_BYTES];

    if (r->is_open) {
        return 0;
    }
    nmq_wal_segment_name(r->segments->at[r->index].number, name);
    int error = r->segments->disk->ops->open(r->segments->disk, name, false, &r->file);
    r->is_open = error == 0;
    return error;
}

// Bytes of the file from its place on.
static uint64_t
room(const nmq_wal_reader *r)
{
    return r->segments->at[r->index].bytes - r->at;
}

// Has `len` bytes of its place in the window; there are so many in the file. Returns
// NMQ_OK, NMQ_ENOMEM or NMQ_EIO.
static int
fill(nmq_wal_reader *r, size_t len)
{
    if (r->at >= r->window_at && r->at + len <= r->window_at + r->window_len) {
        return NMQ_OK;
    }
    if (r->window == NULL && (r->window = nmq_alloc(WINDOW_BYTES)) == NULL) {
        return NMQ_ENOMEM;
    }
    size_t whole = room(r) < WINDOW_BYTES ? (size_t) room(r) : WINDOW_BYTES;
    int error = open_file(r);
    if (error == 0) {
        error = r->segments->disk->ops->read(r->segments->disk, r->file, r->at, r->window,
                                             whole);
    }
    r->window_at = r->at;
    r->window_len = error == 0 ? whole : 0;
    r->segments->error = error != 0 ? error : r->segments->error;
    return error == 0 ? NMQ_OK : NMQ_EIO;
}

int
nmq_wal_reader_look(nmq_wal_reader *reader, nmq_wal_block *block, const uint8_t **bytes)
{
    int rv = fill(reader, NMQ_WAL_PAGE_BYTES);
    *block = (nmq_wal_block){0};
    if (rv != NMQ_OK) {
        return rv;
    }
    const uint8_t *head = reader->window + (reader->at - reader->window_at);
    if (!nmq_wal_block_read(head, room(reader), block)) {
        return 0;
    }
    rv = fill(reader, nmq_wal_block_span(block->len));
    if (rv != NMQ_OK) {
        return rv;
    }
    head = reader->window + (reader->at - reader->window_at);
    *bytes = head + NMQ_WAL_HEAD_BYTES;
    return nmq_wal_block_is_whole(block, head);
}

void
nmq_wal_reader_pass(nmq_wal_reader *reader, size_t bytes)
{
    reader->at += bytes;
    while (!nmq_wal_reader_is_at_end(reader) &&
           reader->at + NMQ_WAL_PAGE_BYTES > reader->segments->at[reader->index].bytes) {
        close_file(reader);
        reader->index++;
        reader->at = 0;
    }
}

void
nmq_wal_reader_fini(nmq_wal_reader *reader)
{
    close_file(reader);
    nmq_free(reader->window);
    reader->window = NULL;
}
