// Promise: whatever some clients send, over MQTT and WebSocket, in whatever pieces, while
// time passes, memory runs out, questions are answered or not and the broker's owner does
// what he may: it says nothing but well-formed packets, every connection comes to its end,
// and all memory is given back.
//
// The input is a run of commands, of which the first byte names one of four ends.
#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/status.h"
#include "end.h"
#include "mqtt/encode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXTS = 8 };

static nmq_bytes in; // of the input, not used yet
static nmq_broker *broker;
static uint64_t tap;   // 0: none
static nmq_feed *feed; // of the tap
static uint64_t watch; // 0: none
static nmq_feed *told; // of the watch
static long scarce;    // allocations that the next piece may make; -1: any number

static const char *const topics[TEXTS] = {"t",      "t/u", "t/u/v", "",
                                          "$SYS/x", "x",   "/",     "t/"};
static const char *const filters[TEXTS] = {"t",          "t/#", "+/u",    "#",
                                           "$share/g/t", "+",   "$SYS/#", "$share/h/#"};
static const char *const ids[TEXTS] = {"a", "b", "c", "", "a", "b", "+", "$share"};

static uint8_t
next(void)
{
    if (in.len == 0) {
        return 0;
    }
    in.len--;
    return *in.at++;
}

static nmq_bytes
next_bytes(void)
{
    size_t len = (size_t) next() << 8;

    len |= next();
    len = len < in.len ? len : in.len;
    nmq_bytes taken = {in.at, len};
    in = (nmq_bytes){in.at + len, in.len - len};
    return taken;
}

static void
options_of(nmq_options *o, uint8_t variant)
{
    *o = (nmq_options){
        .window = variant & 1 ? 2 : 20,
        .queue_max = variant & 2 ? 3 : 100,
        .queue_max_bytes = variant & 4 ? 4096 : 0,
        .subscriptions_max = 50,
        .message_rate = variant & 128 ? 3 : 0,
        .memory_max_bytes = variant & 4 ? 2 << 20 : 0,
        .packet_max_bytes = variant & 8 ? 128 : 16384,
        .send_packet_max_bytes = 16384,
        .user_properties_max = 8,
        .topic_levels_max = 8,
        .topic_alias_max = 65535,
        .send_topic_alias_max = 65535,
        .receive_maximum = 10,
        .qos_max = variant & 16 ? 1 : 2,
        .retain_available = true,
        .wildcards_available = true,
        .shared_available = true,
        .subscription_ids_available = true,
        .empty_client_ids = true,
        .outbox_max_bytes = variant & 32 ? 1024 : 8192,
        .hold_ms = 1000,
        .connect_timeout_ms = 10000,
        .answer_timeout_ms = 5000,
        .keep_alive_permille = 1500,
        .retry_interval_s = 20,
        .expiry_max_s = variant & 64 ? 30 : UINT32_MAX,
        .response_information = "r/",
        .log_level = 100,
    };
}

static void
move(void)
{
    nmq_mem_fail_after(scarce);
    fuzz_pump();
    nmq_mem_fail_after(-1);
    scarce = -1;
}

static void
say(unsigned end, nmq_bytes bytes)
{
    nmq_mem_fail_after(scarce);
    bool open = fuzz_open(end);
    nmq_mem_fail_after(-1);
    if (open) {
        fuzz_say(end, bytes);
    }
}

// --- packets that the input need not spell

static void
say_packet(unsigned end, uint8_t version, const nmq_packet *packet)
{
    nmq_buf out = {0};

    if (nmq_encode(&out, version, packet) == NMQ_OK) {
        say(end, (nmq_bytes){out.at, out.len});
    }
    nmq_buf_free(&out);
    move();
}

static void
say_connect(unsigned end)
{
    nmq_packet packet = {.type = NMQ_CONNECT};
    nmq_connect *c = &packet.connect;
    uint8_t flags = next();

    c->version = flags & 1 ? NMQ_V5 : NMQ_V311;
    c->clean_start = flags & 2;
    c->client_id = nmq_bytes_of(ids[next() % TEXTS]);
    c->keep_alive_s = flags & 4 ? 20 : 0;
    c->has_will = flags & 8;
    c->will_qos = next() % 3;
    c->will_retain = flags & 16;
    c->will_topic = nmq_bytes_of(c->has_will ? topics[next() % 3] : "");
    c->will_payload = nmq_bytes_of(c->has_will ? "gone" : "");
    if (c->version == NMQ_V5) {
        nmq_props_set_number(&packet.props, NMQ_PROP_SESSION_EXPIRY_INTERVAL, next());
        nmq_props_set_number(&packet.props, NMQ_PROP_TOPIC_ALIAS_MAXIMUM, next() % 4);
        nmq_props_set_number(&packet.props, NMQ_PROP_RECEIVE_MAXIMUM, next() % 8 + 1u);
        if (flags & 64) {
            nmq_props_set_text(&packet.props, NMQ_PROP_AUTHENTICATION_METHOD,
                               nmq_bytes_of("m"));
        }
        if (c->has_will && (flags & 32)) {
            nmq_props_set_number(&c->will_props, NMQ_PROP_WILL_DELAY_INTERVAL, next());
        }
    }
    say_packet(end, c->version, &packet);
}

static void
say_subscribe(unsigned end)
{
    uint8_t which = next();
    const char *filter = filters[which % TEXTS];
    uint8_t list[32] = {0, (uint8_t) strlen(filter)};
    nmq_packet packet = {.packet_id = 7};
    bool leaves = which & 64;

    memcpy(list + 2, filter, strlen(filter));
    list[2 + strlen(filter)] = next() & (which & 128 ? 0x2f : 3);
    packet.type = leaves ? NMQ_UNSUBSCRIBE : NMQ_SUBSCRIBE;
    packet.list = (nmq_bytes){list, strlen(filter) + (leaves ? 2 : 3)};
    if ((which & 128) && !leaves) {
        nmq_props_set_number(&packet.props, NMQ_PROP_SUBSCRIPTION_IDENTIFIER, next() + 1u);
    }
    say_packet(end, which & 128 ? NMQ_V5 : NMQ_V311, &packet);
}

static void
say_publish(unsigned end)
{
    static const uint8_t payload[6000];
    uint8_t which = next();
    uint8_t how = next();
    nmq_packet packet = {.type = NMQ_PUBLISH, .packet_id = next() + 1u};

    packet.publish = (nmq_publish){
        .qos = how % 3,
        .retain = how & 64,
        .topic_name = nmq_bytes_of(topics[which % TEXTS]),
        .payload = {payload, how & 32 ? sizeof payload : how & 16},
    };
    if ((which & 64) && (which & 128)) {
        nmq_props_set_number(&packet.props, NMQ_PROP_TOPIC_ALIAS, next() * 257u);
    }
    if ((how & 8) && (which & 128)) {
        nmq_props_set_number(&packet.props, NMQ_PROP_MESSAGE_EXPIRY_INTERVAL, next());
    }
    say_packet(end, which & 128 ? NMQ_V5 : NMQ_V311, &packet);
}

static void
say_ack(unsigned end)
{
    uint8_t which = next();
    nmq_packet packet = {.type = NMQ_PUBACK + which % 4, .packet_id = next() + 1u};

    packet.reason_code = which & 64 ? 0x80 : 0;
    say_packet(end, which & 128 ? NMQ_V5 : NMQ_V311, &packet);
}

// PINGREQ, DISCONNECT or AUTH.
static void
say_little(unsigned end)
{
    uint8_t which = next();
    nmq_packet packet = {.type = which & 2 ? NMQ_DISCONNECT : NMQ_PINGREQ};

    if (which % 4 == 1) {
        packet.type = NMQ_AUTH;
        packet.reason_code = which & 64 ? 0x19 : 0x18;
        nmq_props_set_text(&packet.props, NMQ_PROP_AUTHENTICATION_METHOD,
                           nmq_bytes_of(which & 32 ? "other" : "m"));
    } else if (which & 64) {
        packet.reason_code = 4; // DISCONNECT with will
    }
    say_packet(end, which & 128 ? NMQ_V5 : NMQ_V311, &packet);
}

// --- what its owner does

static void
owner_publishes(void)
{
    const char *topic = topics[next() % TEXTS];
    uint8_t how = next();
    const uint8_t block[] = {2, next(), next()}; // properties, mostly none that are good
    const nmq_publication publication = {
        .topic_name = topic,
        .topic_len = strlen(topic),
        .payload = "x",
        .payload_len = how & 1,
        .props = (const char *) block,
        .props_len = how & 8 ? sizeof block : 0,
        .expiry_interval_s = how,
        .expires = how & 16,
        .qos = how % 3,
        .retain = how & 64,
    };

    (void) nmq_broker_publish(broker, &publication);
}

// The rows of that kind, all on one page.
static uint32_t
rows_of(uint8_t kind)
{
    const nmq_query query = {.kind = kind, .limit = NMQ_PAGE_ROWS_MAX};
    nmq_page *page = NULL;

    assert(nmq_broker_query(broker, &query, &page) == NMQ_OK);
    uint32_t count = page->count;
    assert(page->next == 0 && page->total == count);
    nmq_page_free(page);
    return count;
}

static void
owner_looks(void)
{
    nmq_stats stats;

    nmq_broker_stats(broker, &stats);
    assert(rows_of(NMQ_QUERY_CLIENTS) == stats.clients);
    assert(rows_of(NMQ_QUERY_SESSIONS) == stats.clients);
    assert(rows_of(NMQ_QUERY_SUBSCRIPTIONS) + (tap != 0) == stats.subscriptions);
    assert(rows_of(NMQ_QUERY_ROUTES) <= stats.subscriptions);
    assert(rows_of(NMQ_QUERY_RETAINED) == stats.retained);
}

static void
end_feed(void)
{
    nmq_feed_unref(feed);
    feed = NULL;
    tap = 0;
}

static void
owner_taps(void)
{
    const char *filter = filters[next() % TEXTS];

    if (tap != 0) {
        assert(nmq_broker_tap_close(broker, tap) == NMQ_OK);
        end_feed();
    } else if (nmq_broker_tap_open(broker, filter, strlen(filter), 2, &tap, &feed) !=
               NMQ_OK) {
        tap = 0;
    }
}

static void
end_told(void)
{
    nmq_feed_unref(told);
    told = NULL;
    watch = 0;
}

// Asks for some kinds of events, or for none any more.
static void
owner_watches(void)
{
    if (watch != 0) {
        assert(nmq_broker_watch_close(broker, watch) == NMQ_OK);
        end_told();
    } else if (nmq_broker_watch_open(broker, next() * 8u, &watch, &told) != NMQ_OK) {
        watch = 0;
    }
}

// Looks at whole records, whatever was published or has happened.
static void
look_at_chunk(nmq_chunk *chunk)
{
    size_t len = 0;
    const char *at = chunk != NULL ? nmq_chunk_read(chunk, &len) : NULL;

    while (len > 0) {
        uint32_t size;
        assert(len >= sizeof size);
        memcpy(&size, at, sizeof size);
        assert(size >= sizeof size && size <= len);
        at += size;
        len -= size;
    }
    nmq_chunk_free(chunk);
}

static void
owner_reads(void)
{
    nmq_chunk *chunk = NULL;

    if (watch != 0) {
        look_at_chunk(nmq_feed_take(told));
    }
    if (tap == 0) {
        return;
    }
    if (nmq_broker_tap_retained(broker, tap, &chunk) == 0 && chunk == NULL) {
        chunk = nmq_feed_take(feed);
    }
    look_at_chunk(chunk);
}

static void
owner_sets_rules(uint8_t what)
{
    static const nmq_acl_topic names[] = {
        {.text = "t/%c/#"}, {.text = "t/u"},
        {.text = "%u/#"},   {.text = "+/u", .kind = NMQ_ACL_TOPIC_LITERAL},
        {.text = "x-%i"},
    };
    nmq_acl_rule rule = {
        .allow = what & 1,
        .publish = what & 2,
        .subscribe = what & 4,
        .client_id = what & 8 ? "a" : NULL,
        .topics = names,
        .qos_set = what >> 5 & 3,
        .retain_set = what >> 6,
        .topic_count = 5,
    };
    nmq_acl_rules rules = {.at = &rule, .count = 1, .otherwise = what & 1};

    rules.deny_disconnects = what & 16;
    rules.asks = (what & 6) == 0;
    nmq_broker_set_acl(broker, nmq_acl_new(&rules));
}

static void
owner_acts(uint8_t what)
{
    const char *id = ids[what % TEXTS];
    nmq_options options;

    switch (what >> 5) {
    case 0:
        owner_looks();
        owner_reads();
        break;
    case 1:
        owner_taps();
        owner_watches();
        break;
    case 2: (void) nmq_broker_kick(broker, id, strlen(id), 0x98); break;
    case 3:
        options_of(&options, next());
        assert(nmq_broker_set_options(broker, &options) == NMQ_OK);
        break;
    case 4: nmq_broker_disconnect(broker, what % 4 + 1u, 0x8b); break;
    case 5: owner_sets_rules(what); break;
    default: owner_publishes(); break;
    }
}

static size_t
room_of(uint8_t n)
{
    return n >= 128 ? SIZE_MAX : n * 16u;
}

static void
command(void)
{
    uint8_t op = next();
    unsigned end = op >> 4 & 3;

    switch (op & 15) {
    case 0: say(end, next_bytes()); break;
    case 1: fuzz_pass_time(INT64_C(1) << next() % 18); break;
    case 2: fuzz_set_room(end, room_of(next())); break;
    case 3: fuzz_drop(end); break;
    case 4: fuzz_answer(broker, next()); break;
    case 5: owner_acts(next()); break;
    case 6: scarce = next(); break;
    case 7: say(end, next_bytes()); return; // it goes out with the next
    case 8:
    case 9: say_connect(end); break;
    case 10:
    case 11: say_subscribe(end); break;
    case 12:
    case 13: say_publish(end); break;
    case 14: say_ack(end); break;
    default: say_little(end); break;
    }
    if (scarce < 0 || (op & 15) != 6) {
        move();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    nmq_options options;

    in = (nmq_bytes){data, size};
    tap = watch = 0;
    scarce = -1;
    options_of(&options, next());
    broker = fuzz_broker_new(&options);
    assert(broker != NULL);
    while (in.len > 0) {
        command();
    }
    fuzz_broker_free(broker);
    end_feed();
    end_told();
    assert(nmq_mem_live() == 0);
    return 0;
}
