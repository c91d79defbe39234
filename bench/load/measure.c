// measure.c - the broker's CPU time and memory out of /proc, and a histogram.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "modes.h"

enum { PARTS = 32, CELLS = 64 * PARTS };

static uint64_t cells[CELLS], count;

static FILE *
proc(const char *name, const char *how)
{
    char path[64];

    (void) snprintf(path, sizeof path, "/proc/%u/%s", opt.pid, name);
    FILE *file = fopen(path, how);
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    return file;
}

moment
measure_now(void)
{
    char line[1024] = "";
    unsigned long user = 0, system = 0;
    FILE *file = proc("stat", "r");

    char *got = fgets(line, sizeof line, file);
    (void) fclose(file);
    const char *end = got != NULL ? strrchr(line, ')') : NULL;
    // Behind the command's closing bracket utime and stime are the 12th and 13th fields.
    if (end == NULL ||
        sscanf(end + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system) != 2) {
        fputs("load: /proc/PID/stat cannot be read\n", stderr);
        exit(2);
    }
    return (moment){(double) now_ns() / 1e9,
                    (double) (user + system) / (double) sysconf(_SC_CLK_TCK)};
}

long
measure_memory_kib(const char *field)
{
    char line[256];
    long kib = 0;
    FILE *file = proc("status", "r");

    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0) {
            kib = strtol(line + strlen(field) + 1, NULL, 10);
        }
    }
    (void) fclose(file);
    return kib;
}

void
measure_reset_peak(void)
{
    FILE *file = proc("clear_refs", "w");

    (void) fputs("5", file);
    (void) fclose(file);
}

// A cell is a power of two and a thirty-second part of it.
void
measure_latency(uint64_t ns)
{
    unsigned power = ns < PARTS ? 0 : 63 - (unsigned) __builtin_clzll(ns) - 5;

    cells[power * PARTS + (ns >> power)]++;
    count++;
}

double
measure_latency_us(double share)
{
    uint64_t want = (uint64_t) (share * (double) count), seen = 0;

    for (unsigned i = 0; i < CELLS; i++) {
        seen += cells[i];
        if (seen > want) {
            unsigned power = i < 2 * PARTS ? 0 : i / PARTS - 1;
            return (double) ((uint64_t) (i - power * PARTS) << power) / 1e3;
        }
    }
    return 0;
}
