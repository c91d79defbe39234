// Promise: whatever the bytes, a new process takes over what is in them or refuses, works
// on, and gives back all memory; what it took it can hand over again.
//
// An input is a run of changes to what a broker with sessions of every kind saved, so that
// most of it holds together; or it stands between a first and a last record.
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "keeper.h"
#include "store/journal_record.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SAVED_MAX = 1 << 16, AROUND = 256 };

static uint8_t saved[SAVED_MAX];
static size_t saved_len;

static size_t
save(nmq_broker *broker, uint8_t *to, size_t cap)
{
    int fd = memfd_create("handover", MFD_CLOEXEC);

    assert(fd >= 0 && nmq_broker_save(broker, fd) >= 0);
    ssize_t len = pread(fd, to, cap, 0);
    assert(len >= 0);
    (void) close(fd);
    return (size_t) len;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    nmq_broker *broker = fuzz_broker_new(&fuzz_kept_options);

    (void) argc;
    (void) argv;
    assert(broker != NULL);
    fuzz_keep(broker, NULL, NULL);
    saved_len = save(broker, saved, sizeof saved);
    assert(saved_len > 0 && saved_len < SAVED_MAX);
    fuzz_broker_free(broker);
    return 0;
}

// Three bytes change one byte; a last one cuts.
static size_t
change(uint8_t *bytes, nmq_bytes in)
{
    size_t len = saved_len;

    memcpy(bytes, saved, saved_len);
    for (; in.len >= 3; in = (nmq_bytes){in.at + 3, in.len - 3}) {
        size_t at = (size_t) (in.at[0] | in.at[1] << 8) % saved_len;
        bytes[at] = in.at[2];
    }
    if (in.len > 0) {
        len -= in.at[0] % saved_len;
    }
    return len;
}

// The input behind a first record, and the last one behind it.
static size_t
make(uint8_t *bytes, nmq_bytes in)
{
    nmq_buf buf = {0};

    assert(nmq_journal_put(&buf, &(nmq_journal_record){
                                     .kind = NMQ_JOURNAL_BEGIN,
                                     .begin = {.format = NMQ_JOURNAL_FORMAT}}) == NMQ_OK);
    assert(nmq_buf_put(&buf, in) == NMQ_OK);
    assert(nmq_journal_put(&buf, &(nmq_journal_record){.kind = NMQ_JOURNAL_END}) == NMQ_OK);
    assert(buf.len <= in.len + AROUND);
    memcpy(bytes, buf.at, buf.len);
    size_t len = buf.len;
    nmq_buf_free(&buf);
    return len;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t again[SAVED_MAX];

    if (size < 1) {
        return -1;
    }
    nmq_bytes in = {data + 1, size - 1};
    // of exactly its size, so that a read past the end is seen
    uint8_t *bytes = malloc(saved_len + size + AROUND);
    assert(bytes != NULL);
    size_t len = data[0] & 1 ? make(bytes, in) : change(bytes, in);
    uint8_t *exact = realloc(bytes, len + (len == 0));
    assert(exact != NULL);
    nmq_broker *broker = fuzz_broker_new(&fuzz_kept_options);
    assert(broker != NULL);
    int rv = nmq_broker_restore(broker, (const char *) exact, len);
    assert(rv >= 0 || rv == NMQ_EMALFORMED || rv == NMQ_EFILTER || rv == NMQ_EINVAL);
    fuzz_tell(broker, nmq_bytes_of("t"), "x", 2, true);
    fuzz_pass_time(100000);
    (void) save(broker, again, sizeof again);
    fuzz_broker_free(broker);
    free(exact);
    assert(nmq_mem_live() == 0);
    return 0;
}
