// broker_durability.c - a broker whose kept state is in a folder: nmq.h says what each
// function does.
#include <string.h>

#include "base/status.h"
#include "broker_struct.h"
#include "store/disk_folder.h"

// Bytes of changes that are not written, before who publishes is to wait.
#define FULL_BYTES (UINT64_C(8) << 20)

static nmq_durability_options
options_of(const nmq_durability_keys *keys)
{
    return (nmq_durability_options){.log = {.segment_bytes = keys->segment_bytes,
                                            .bytes_max = keys->max_bytes,
                                            .skip = keys->skip},
                                    .full_bytes = FULL_BYTES,
                                    .gather_ms = keys->gather_ms,
                                    .interval_ms = keys->interval_ms,
                                    .hold_ms = keys->hold_ms,
                                    .on_error = keys->on_error,
                                    .topics =
                                        nmq_broker_slice(keys->topics, keys->topics_len),
                                    .folder = keys->location};
}

int
nmq_broker_durability_open(nmq_broker *broker, const nmq_durability_keys *keys,
                           const char *left, size_t left_len, nmq_durability_found *found)
{
    nmq_durability_options options = options_of(keys);

    options.left = nmq_broker_slice(left, left_len);
    memset(found, 0, sizeof *found);
    int rv = nmq_disk_folder_open(keys->location, &broker->disk, &found->error);
    if (rv != NMQ_OK) {
        return rv;
    }
    rv = nmq_durability_open(&broker->sessions, &broker->consumers, broker->disk, &options,
                             &found->log, &found->error, &broker->durability);
    found->took_over = rv >= 0 && nmq_durability_took_over(broker->durability);
    if (broker->durability == NULL) {
        nmq_disk_folder_close(broker->disk);
        broker->disk = NULL;
    }
    return rv;
}

int
nmq_broker_durability_set(nmq_broker *broker, const nmq_durability_keys *keys)
{
    const nmq_durability_options options = options_of(keys);

    if (broker->durability == NULL) {
        return NMQ_ENOENT;
    }
    return nmq_durability_set(broker->durability, &options);
}

int
nmq_broker_durability_look(nmq_broker *broker, nmq_durability_state *out)
{
    if (broker->durability == NULL) {
        return NMQ_ENOENT;
    }
    out->waits = nmq_durability_is_full(broker->durability);
    out->status = nmq_durability_report(broker->durability, &out->stats, &out->error);
    return NMQ_OK;
}

void
nmq_broker_durability_close(nmq_broker *broker)
{
    if (broker->durability != NULL) {
        nmq_durability_stop(broker->durability);
    }
}
