#include "io/dial_failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void
nmq_dial_failure_set(nmq_dial_failure *failure, const nmq_ws_request *where, int status,
                     const char *why, ...)
{
    static const char *const schemes[2][2] = {{"tcp", "ws"}, {"tls+tcp", "wss"}};
    bool v6 = strchr(where->host, ':') != NULL;
    char port[8] = "";
    va_list args;

    if (where->port != 0) {
        (void) snprintf(port, sizeof port, ":%u", (unsigned) where->port);
    }
    failure->status = status;
    failure->http_status = 0;
    int n = snprintf(failure->text, sizeof failure->text, "%s://%s%.255s%s%s%.128s: ",
                     where->port == 0 ? "ipc" : schemes[where->tls][where->path != NULL],
                     v6 ? "[" : "", where->host, v6 ? "]" : "", port,
                     where->path != NULL ? where->path : "");
    va_start(args, why);
    (void) vsnprintf(failure->text + n, sizeof failure->text - (size_t) n, why, args);
    va_end(args);
}
