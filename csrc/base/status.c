#include "base/status.h"

static const char *const texts[] = {
    "success",
    "out of memory",
    "malformed bytes",
    "no such object",
    "not a valid topic filter",
    "not a valid topic name",
    "argument out of range",
    "closed",
    "address already in use",
    "address not usable",
    "permission denied",
    "transport failed",
    "over a limit",
    "certificate or key not usable",
    "memory is short",
    "too few descriptors are left",
    "timed out",
    "refused by the other end",
    "no room on the disk",
    "damaged on the disk",
    "written by a later version",
    "what is to be kept cannot be written any more",
};

const char *
nmq_status_text(int status)
{
    int n = (int) (sizeof texts / sizeof *texts);

    return status <= 0 && -status < n ? texts[-status] : "unknown status";
}
