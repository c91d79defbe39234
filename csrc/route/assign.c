#include "route/assign.h"

#include "base/live.h"
#include "base/status.h"
#include "mqtt/varint.h"
#include "route/replay.h"
#include "route/subscriptions.h"

// A filter on its way into one session.
typedef struct {
    nmq_sessions *sessions;
    nmq_client *client; // a reference; its `moving` is held
    nmq_filter filter;  // as the client knows it
    nmq_filter mounted; // as the broker knows it; in text
    nmq_buf text;
} assignment;

static bool
options_fit(const nmq_filter *filter, uint8_t options, uint32_t identifier)
{
    unsigned handling = (unsigned) (options & NMQ_SUB_RETAIN_HANDLING) >> 4;
    bool shared = filter->group.at != NULL;

    return (options & 0xc0) == 0 && (options & NMQ_SUB_QOS) <= 2 && handling <= 2 &&
           identifier <= NMQ_VARINT_MAX &&
           !(shared && (options & NMQ_SUB_NO_LOCAL) != 0); // [MQTT-3.8.3-4]
}

// Whether this broker serves such filters.
static bool
is_available(const nmq_options *options, const nmq_filter *filter)
{
    return (filter->group.at == NULL || NMQ_LIVE(options->shared_available)) &&
           (NMQ_LIVE(options->wildcards_available) ||
            !nmq_filter_has_wildcard(filter->filter)) &&
           nmq_topic_levels_fit(filter->text, NMQ_LIVE(options->topic_levels_max)) &&
           !nmq_bytes_equal(filter->text, nmq_bytes_of("$share"));
}

// Whether the rules in force allow it. A later change judges the session when this is over.
static int
is_allowed(const assignment *a, uint8_t options)
{
    nmq_rules *rules = a->sessions->router->rules;
    nmq_client *client = a->client;
    uint64_t version;
    nmq_acl *acl = nmq_rules_get(rules, &version);

    (void) pthread_mutex_lock(&client->lock);
    const nmq_acl_subject subject = {client->session->client_id, client->user_name,
                                     &client->peer, client->superuser, client->own};
    bool permitted = nmq_acl_permits(
        acl, &subject, nmq_acl_subscribe(options & NMQ_SUB_QOS), a->filter.filter);
    (void) pthread_mutex_unlock(&client->lock);
    nmq_acl_unref(acl);
    return permitted ? NMQ_OK : NMQ_EACCESS;
}

// Puts the filter below the mount point that the session has.
static int
mount(assignment *a)
{
    nmq_client *client = a->client;
    const nmq_filter in = a->filter;
    size_t before = (size_t) (in.filter.at - in.text.at); // "$share/GROUP/"

    (void) pthread_mutex_lock(&client->lock);
    int rv = nmq_topic_mount(client->session->mount, in.text, before, &a->text);
    (void) pthread_mutex_unlock(&client->lock);
    if (rv == NMQ_OK) {
        a->mounted = nmq_filter_join((nmq_bytes){a->text.at, a->text.len}, in.group.len);
    }
    return rv;
}

// Finds the client and keeps others from moving or judging its session until `end`.
static int
begin(assignment *a, nmq_bytes client_id, nmq_bytes filter)
{
    if (!nmq_utf8_check(filter) || nmq_filter_parse(filter, &a->filter) != NMQ_OK) {
        return NMQ_EFILTER;
    }
    a->client = nmq_registry_find(&a->sessions->registry, client_id);
    if (a->client == NULL) {
        return NMQ_ENOENT;
    }
    (void) pthread_mutex_lock(&a->client->moving);
    return mount(a);
}

static void
end(assignment *a)
{
    if (a->client != NULL) {
        (void) pthread_mutex_unlock(&a->client->moving);
    }
    nmq_client_unref(a->client);
    nmq_buf_free(&a->text);
}

static void
send_retained(const assignment *a, uint8_t options, uint32_t identifier, bool is_new)
{
    uint32_t visits = NMQ_REPLAY_VISITS;
    nmq_batch batch;

    nmq_batch_begin(&batch, a->sessions->router, NULL, nmq_clock_now_ms());
    nmq_replay_begin(&batch, a->client, &a->mounted, options, identifier, is_new, &visits);
    nmq_batch_end(&batch);
    nmq_link_unref(batch.congested);
}

static uint8_t
granted(const nmq_options *options, uint8_t asked)
{
    uint8_t max = NMQ_LIVE(options->qos_max);

    return (asked & NMQ_SUB_QOS) > max ? (uint8_t) ((asked & ~NMQ_SUB_QOS) | max) : asked;
}

int
nmq_assign_put(nmq_sessions *sessions, nmq_bytes client_id, nmq_bytes filter,
               uint8_t options, uint32_t identifier)
{
    nmq_router *router = sessions->router;
    assignment a = {.sessions = sessions};
    int rv = begin(&a, client_id, filter);

    options = granted(router->options, options);
    if (rv == NMQ_OK && !options_fit(&a.filter, options, identifier)) {
        rv = NMQ_EINVAL;
    } else if (rv == NMQ_OK) {
        rv = is_available(router->options, &a.filter) ? is_allowed(&a, options)
                                                      : NMQ_EFILTER;
    }
    if (rv == NMQ_OK) {
        rv = nmq_subscriptions_put(router, a.client, &a.mounted, options, identifier);
        nmq_counters_add(router->counters, NMQ_COUNT_SUBSCRIPTIONS_REFUSED,
                         rv == NMQ_ETOOBIG);
    }
    if (rv >= 0) {
        send_retained(&a, options, identifier, rv == 1);
        rv = options & NMQ_SUB_QOS;
    } else if (rv == NMQ_ECLOSED) { // its session has ended meanwhile
        rv = NMQ_ENOENT;
    }
    end(&a);
    return rv;
}

int
nmq_assign_del(nmq_sessions *sessions, nmq_bytes client_id, nmq_bytes filter)
{
    assignment a = {.sessions = sessions};
    int rv = begin(&a, client_id, filter);

    if (rv == NMQ_OK) {
        rv = nmq_subscriptions_del(sessions->router, a.client, &a.mounted, NMQ_WHY_PROGRAM);
        rv = rv == NMQ_ENOENT ? NMQ_ECLOSED : rv;
    }
    end(&a);
    return rv;
}
