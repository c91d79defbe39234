// modes.h - what the load generator can do. Each prints one line of JSON and returns the
// program's exit status: 0, or 1 when something was lost.
#pragma once

int mode_flow(void);     // publishers to subscribers: pairs, fan or wild
int mode_hold(void);     // open -s connections and hold them
int mode_retained(void); // -n topics, then a "#" subscriber
int mode_churn(void);    // connect, subscribe, publish, hear it, leave
int mode_offline(void);  // queue for kept sessions, then deliver

// --- what a mode measures (measure.c)

#include <stdint.h>

typedef struct {
    double wall_s;
    double cpu_s; // of the broker
} moment;

moment measure_now(void);

// Of the broker: VmRSS or VmHWM, in KiB; and VmHWM starts again.
long measure_memory_kib(const char *field);
void measure_reset_peak(void);

// Latencies, within 3 %.
void measure_latency(uint64_t ns);
double measure_latency_us(double share); // 0.5: the median
