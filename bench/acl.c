// acl.c - what access rules cost: time to compile, at CONNECT and at a message, and bytes.
//
//     acl RULES      one line of JSON on stdout
//
// `strangers`: each rule names another client than the one that publishes. `patterns`: all
// rules are for everybody, a third of them with "+", a third with "#", a third with "%c",
// and the topics are taken from all over them, so that caches are cold; `again` is one
// topic. `subscribe` is of a filter with "+". `bytes` are those of a connection's view.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "base/status.h"
#include "route/acl.h"

enum { TEXT = 64, ASKED = 1000000, CONNECTS = 10000, SUBSCRIBES = 1000 };

typedef struct {
    unsigned count;
    nmq_acl_rule *rules;
    nmq_acl_topic *topics;
    char (*texts)[2][TEXT];
} given;

static double
now_s(void)
{
    struct timespec t;

    (void) clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void *
must(void *made)
{
    if (made == NULL) {
        abort();
    }
    return made;
}

static void
print_ns(const char *name, double begun_s, unsigned count)
{
    printf("\"%s_ns\":%.1f,", name, (now_s() - begun_s) * 1e9 / count);
}

static given
make(unsigned count, bool strangers)
{
    static const char *const kinds[] = {"site/%u/+/state", "site/%u/#",
                                        "site/%u/%%c/state"};
    given g = {
        .count = count,
        .rules = must(calloc(count, sizeof *g.rules)),
        .topics = must(calloc(count, sizeof *g.topics)),
        .texts = must(calloc(count, sizeof *g.texts)),
    };

    for (unsigned i = 0; i < count; i++) {
        (void) snprintf(g.texts[i][0], TEXT, "client-%u", i);
        (void) snprintf(g.texts[i][1], TEXT, kinds[i % 3], i);
        g.topics[i].text = g.texts[i][1];
        g.rules[i] = (nmq_acl_rule){
            .allow = i % 2 == 0,
            .publish = true,
            .subscribe = true,
            .client_id = strangers ? g.texts[i][0] : NULL,
            .topics = &g.topics[i],
            .topic_count = 1,
        };
    }
    return g;
}

static void
free_given(given *g)
{
    free(g->rules);
    free(g->topics);
    free(g->texts);
}

static nmq_bytes
topic_of(unsigned i, char text[TEXT])
{
    (void) snprintf(text, TEXT, "site/%u/me/state", i);
    return nmq_bytes_of(text);
}

static void
judge(nmq_acl_view *view, unsigned count, const char *name, bool again)
{
    char (*texts)[TEXT] = must(calloc(count, sizeof *texts));
    nmq_bytes *topics = must(calloc(count, sizeof *topics));
    unsigned allowed = 0;

    for (unsigned i = 0; i < count; i++) {
        topics[i] = topic_of(i, texts[i]);
    }
    double begun_s = now_s();
    for (unsigned i = 0; i < ASKED; i++) {
        unsigned n = again ? count / 2 : i * 7919u % count;
        allowed += nmq_acl_judge(view, NMQ_ACL_PUBLISH & 1, topics[n]) == NMQ_ACCESS_ALLOW;
    }
    print_ns(name, begun_s, ASKED);
    printf("\"%s_allowed\":%u,", name, allowed);
    free(texts);
    free(topics);
}

static void
run(unsigned count, bool strangers)
{
    static const nmq_peer peer = {.address = {127, 0, 0, 1}, .address_len = 4};
    const nmq_acl_subject subject = {.client_id = nmq_bytes_of("me"), .peer = &peer};
    given g = make(count, strangers);
    const nmq_acl_rules rules = {.at = g.rules, .count = count};
    nmq_acl_view view = {0};
    uint64_t before = nmq_mem_taken();
    double begun_s = now_s();
    nmq_acl *acl = must(nmq_acl_new(&rules));

    printf("\"%s\":{\"compile_ms\":%.2f,", strangers ? "strangers" : "patterns",
           (now_s() - begun_s) * 1e3);
    printf("\"compiled_bytes\":%llu,", (unsigned long long) (nmq_mem_taken() - before));
    before = nmq_mem_taken();
    begun_s = now_s();
    for (unsigned i = 0; i < CONNECTS; i++) {
        (void) nmq_acl_view_make(&view, nmq_acl_ref(acl), &subject);
    }
    print_ns("connect", begun_s, CONNECTS);
    printf("\"bytes\":%llu,",
           (unsigned long long) (nmq_mem_taken() - before + sizeof view));
    judge(&view, count, "publish", false);
    judge(&view, count, "again", true);
    begun_s = now_s();
    for (unsigned i = 0; i < SUBSCRIBES; i++) {
        view.last = (nmq_acl_last){0}; // else it is remembered
        (void) nmq_acl_judge(&view, NMQ_ACL_SUBSCRIBE & 0x40,
                             nmq_bytes_of("site/+/me/state"));
    }
    print_ns("subscribe", begun_s, SUBSCRIBES);
    nmq_acl_view_free(&view);
    begun_s = now_s();
    nmq_acl_unref(acl);
    printf("\"free_ms\":%.2f}", (now_s() - begun_s) * 1e3);
    free_given(&g);
}

int
main(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned) atoi(argv[1]) : 10000;

    printf("{\"rules\":%u,", count);
    run(count, true);
    printf(",");
    run(count, false);
    printf("}\n");
    return 0;
}
