// main.c - a load of MQTT 3.1.1, and what it cost the broker: one thread, epoll.
//
//     load KEY=VALUE ...      one line of JSON on stdout
//
// The CPU time and the memory of process `pid` are read from /proc.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "modes.h"

options opt = {
    .mode = "flow",
    .layout = "pairs",
    .transport = "tcp",
    .publishers = 50,
    .subscribers = 50,
    .messages = 10000,
    .bytes = 64,
    .window = 64,
    .hold_ms = 500,
    .give_up_ms = 5000,
    .clean = 1,
};

static const struct {
    const char *name;
    const char **text;
    unsigned *number;
} keys[] = {
    {"mode", &opt.mode, NULL},
    {"layout", &opt.layout, NULL},
    {"transport", &opt.transport, NULL},
    {"port", NULL, &opt.port},
    {"pid", NULL, &opt.pid},
    {"qos", NULL, &opt.qos},
    {"pubs", NULL, &opt.publishers},
    {"subs", NULL, &opt.subscribers},
    {"messages", NULL, &opt.messages},
    {"bytes", NULL, &opt.bytes},
    {"window", NULL, &opt.window},
    {"rate", NULL, &opt.rate},
    {"hold_ms", NULL, &opt.hold_ms},
    {"give_up_ms", NULL, &opt.give_up_ms},
    {"clean", NULL, &opt.clean},
};

static const struct {
    const char *name;
    int (*run)(void);
} modes[] = {
    {"flow", mode_flow},         {"hold", mode_hold},       {"churn", mode_churn},
    {"retained", mode_retained}, {"offline", mode_offline},
};

static bool
set(char *argument)
{
    char *value = strchr(argument, '=');

    if (value == NULL) {
        return false;
    }
    *value++ = 0;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(keys[i].name, argument) != 0) {
            continue;
        }
        if (keys[i].text != NULL) {
            *keys[i].text = value;
        } else {
            *keys[i].number = (unsigned) strtoul(value, NULL, 10);
        }
        return true;
    }
    return false;
}

int
main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (!set(argv[i])) {
            fprintf(stderr, "load: no such key: %s\n", argv[i]);
            return 2;
        }
    }
    if (opt.bytes < sizeof(stamp) || opt.port == 0 || opt.pid == 0) {
        fputs("load: port= and pid= are needed, and 16 bytes or more\n", stderr);
        return 2;
    }
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(modes[i].name, opt.mode) == 0) {
            return modes[i].run();
        }
    }
    fprintf(stderr, "load: no such mode: %s\n", opt.mode);
    return 2;
}
