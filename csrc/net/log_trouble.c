#include "net/log_trouble.h"

#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "net/durability_keys.h"

enum { TEXT_BYTES = 768 };

// What happens from now on where the log can never be written again, and what to do.
static const char *
for_good(uint8_t on_error)
{
    switch (on_error) {
    case NMQ_DURABILITY_STOP:
        return "the broker stops (durability.on_error = stop); nothing that was "
               "acknowledged "
               "is lost. See to the disk, and start it again";
    case NMQ_DURABILITY_DEGRADE:
        return "from now on messages are acknowledged WITHOUT being on a disk "
               "(durability.on_error = degrade): they are lost with the process. See to "
               "the "
               "disk, and start the broker again";
    default:
        return "nothing that is to be kept is accepted any more; QoS 0, and sessions that "
               "end with their connection, go on (durability.on_error = refuse). See to "
               "the "
               "disk, and start the broker again";
    }
}

static const char *const until_room =
    "messages, sessions and subscriptions that are to be kept are refused until there is "
    "room; what was accepted is still sent";

static void
write_line(const nmq_log_trouble *t, char line[TEXT_BYTES])
{
    const char *folder = t->folder;
    const char *why = t->error != 0 ? strerror(t->error) : nmq_status_text(t->status);

    switch (t->status) {
    case NMQ_OK:
        (void) snprintf(line, TEXT_BYTES, "durability: the log in '%s' has room again",
                        folder);
        break;
    case NMQ_ENOSPC:
        (void) snprintf(
            line, TEXT_BYTES, "durability: the log in '%s' %s%s%s: %s. %s", folder,
            t->error != 0 ? "cannot grow (" : "has come to durability.max_size",
            t->error != 0 ? why : "", t->error != 0 ? ")" : "", until_room,
            t->error != 0 ? "Make room on its disk"
                          : "Have subscribers take their messages, or raise it");
        break;
    case NMQ_ENOMEM:
        (void) snprintf(line, TEXT_BYTES,
                        "durability: the log in '%s' cannot grow (%s): %s", folder, why,
                        until_room);
        break;
    default:
        (void) snprintf(line, TEXT_BYTES, "durability: the log in '%s' has failed (%s): %s",
                        folder, t->status == NMQ_ESTORE ? nmq_status_text(NMQ_ENOMEM) : why,
                        for_good(t->on_error));
        break;
    }
}

static enum nmq_why
why_of(int status)
{
    return status == NMQ_ENOSPC   ? NMQ_WHY_STORE_FULL
           : status == NMQ_ENOMEM ? NMQ_WHY_MEMORY
                                  : NMQ_WHY_STORE_FAILED;
}

static void
tell_watchers(nmq_watch *watch, const nmq_log_trouble *t, const char *line)
{
    bool is_over = t->status == NMQ_OK;
    const nmq_event event = {.kind = is_over ? NMQ_EVENT_STORE_RECOVERED
                                             : NMQ_EVENT_STORE_TROUBLE,
                             .why = why_of(is_over ? t->before : t->status),
                             .text = is_over ? (nmq_bytes){0} : nmq_bytes_of(line),
                             .numbers = {(uint32_t) t->error}};

    nmq_watch_tell(watch, &event);
}

void
nmq_log_trouble_tell(nmq_router *router, const nmq_log_trouble *trouble)
{
    bool failed = trouble->status == NMQ_EIO || trouble->status == NMQ_ESTORE;
    const nmq_note note = {.kind = NMQ_NOTE_DURABILITY,
                           .code = trouble->status,
                           .number = (uint64_t) trouble->error};
    char line[TEXT_BYTES];

    write_line(trouble, line);
    nmq_counters_add(router->counters, NMQ_COUNT_DURABILITY_FAILED, failed);
    nmq_log_write(router->log, trouble->status == NMQ_OK ? NMQ_LOG_INFO : NMQ_LOG_ERROR,
                  "%s", line);
    (void) nmq_note_put(router->notes, &note, nmq_bytes_of(line));
    tell_watchers(&router->watch, trouble, line);
}
