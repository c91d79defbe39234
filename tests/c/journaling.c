#include "journaling.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "journal_memory.h"
#include "store/journal_record.h"

static test_journal *journal;
static pthread_t committer;
static bool over; // atomic

static void *
commit(void *arg)
{
    unsigned round = 0;

    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        uint64_t number = test_journal_take(journal);
        (void) usleep(200 * (round++ % 8)); // as a disk that is slow now and then
        test_journal_settle(journal, number);
        test_journal_set_full(journal, round % 16 == 0);
    }
    return arg;
}

void
journaling_begin(nmq_broker *broker)
{
    journal = test_journal_new(broker);
    assert(journal != NULL);
    assert(pthread_create(&committer, NULL, commit, NULL) == 0);
}

// Returns how many sessions the log has had, ended ones too.
static uint64_t
sessions_of(nmq_bytes log)
{
    nmq_journal_record record;
    uint64_t most = 0;

    while (nmq_journal_get(&log, &record) == NMQ_OK) {
        if (record.kind == NMQ_JOURNAL_SESSION && record.session.number > most) {
            most = record.session.number;
        }
    }
    return most;
}

// How many sessions a broker would hand over.
static int
kept(nmq_broker *broker)
{
    int fd = memfd_create("kept", MFD_CLOEXEC);
    int count = nmq_broker_save(broker, fd);

    (void) close(fd);
    return count;
}

void
journaling_check(nmq_broker *broker)
{
    const nmq_options options = {
        .window = 20,
        .queue_max = 100000,
        .packet_max_bytes = 65536,
        .send_packet_max_bytes = 65536,
        .topic_levels_max = 10,
        .receive_maximum = 100,
        .qos_max = 2,
        .retain_available = true,
        .wildcards_available = true,
        .shared_available = true,
        .subscription_ids_available = true,
        .outbox_max_bytes = 65536,
        .keep_alive_permille = 1500,
        .expiry_max_s = UINT32_MAX,
        .log_level = 100,
    };
    nmq_broker *again = NULL;
    nmq_buf whole = {0};
    size_t len;

    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    (void) pthread_join(committer, NULL);
    test_journal_settle(journal, test_journal_take(journal));
    const char *bytes = test_journal_bytes(journal, &len);
    const nmq_bytes log = {(const uint8_t *) bytes, len};
    const nmq_journal_record end = {.kind = NMQ_JOURNAL_END,
                                    .end = {.sessions = sessions_of(log)}};
    assert(nmq_buf_put(&whole, log) == NMQ_OK && nmq_journal_put(&whole, &end) == NMQ_OK);
    assert(nmq_broker_new(&options, &again) == NMQ_OK);
    int restored = nmq_broker_restore(again, (const char *) whole.at, whole.len);
    printf("journaling: %zu bytes, %d sessions\n", len, restored);
    assert(restored >= 0 && restored >= kept(broker)); // some expire meanwhile
    nmq_broker_free(again);
    nmq_buf_free(&whole);
}

void
journaling_end(void)
{
    test_journal_free(journal);
}
