#include "bridging.h"

#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/status.h"
#include "broker.h"
#include "nng_socket.h"

enum { RESTLESS = 3, ROUNDS = 60, MESSAGES = 3000, WAIT_MS = 20000, LOOKS = 4000 };

static const nmq_options options = {
    .window = 20,
    .queue_max = 10000,
    .packet_max_bytes = 65536,
    .send_packet_max_bytes = 65536,
    .topic_levels_max = 10,
    .receive_maximum = 100,
    .qos_max = 2,
    .retain_available = true,
    .wildcards_available = true,
    .shared_available = true,
    .subscription_ids_available = true,
    .empty_client_ids = true,
    .outbox_max_bytes = 65536,
    .hold_ms = 5000,
    .connect_timeout_ms = 10000,
    .keep_alive_permille = 1500,
    .expiry_max_s = UINT32_MAX,
    .log_level = 40,
};

static nmq_broker *far, *near;
static uint16_t port;
static bool over; // atomic

static void
listen_there(void)
{
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint32_t number, at;

    assert(fd >= 0 && bind(fd, (const struct sockaddr *) &any, sizeof any) == 0);
    const nmq_listener_options listener = {.endpoint = {.fd = fd}};
    assert(nmq_broker_listen(far, &listener, &number, &at) == NMQ_OK);
    assert(nmq_broker_accept(far, number) == NMQ_OK);
    port = (uint16_t) at;
}

static uint64_t
put(const char *name, uint8_t version, bool filtered)
{
    const nmq_bridge_forward forward = {.filter = filtered ? "out/+" : "out/#",
                                        .filter_len = 5,
                                        .local = "out/",
                                        .local_len = 4,
                                        .remote = "edge/",
                                        .remote_len = 5,
                                        .qos = 2};
    const nmq_bridge_subscription subscription = {.filter = filtered ? "cmd/+" : "cmd/#",
                                                  .filter_len = 5,
                                                  .local = "in/",
                                                  .local_len = 3,
                                                  .qos = 2};
    const nmq_bridge_options bridge = {.name = name,
                                       .name_len = strlen(name),
                                       .client_id = name,
                                       .client_id_len = strlen(name),
                                       .version = version,
                                       .session_expiry_s = 300,
                                       .keep_alive_s = 60,
                                       .receive_maximum = 50,
                                       .queue_max = 1000000,
                                       .forwards = &forward,
                                       .forward_count = 1,
                                       .subscriptions = &subscription,
                                       .subscription_count = 1};
    uint64_t number;

    assert(nmq_bridges_put(nmq_broker_bridges(near), &bridge, &number) == NMQ_OK);
    return number;
}

static void
dial(uint64_t number)
{
    assert(nmq_bridges_dial(nmq_broker_bridges(near), number, "127.0.0.1", port, NULL, NULL,
                            WAIT_MS) == NMQ_OK);
}

// A bridge that is never left alone.
static void *
be_restless(void *arg)
{
    unsigned which = *(const unsigned *) arg;
    unsigned seed = which + 1;
    char name[16];

    (void) snprintf(name, sizeof name, "restless%u", which);
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t number = put(name, which % 2 ? 4 : 5, round % 2);
        dial(number);
        (void) poll(NULL, 0, rand_r(&seed) % 20);
        switch (rand_r(&seed) % 3) {
        case 0: (void) nmq_bridges_hang_up(nmq_broker_bridges(near), number); break;
        case 1:
            assert(nmq_bridges_end(nmq_broker_bridges(near), name, strlen(name)) == NMQ_OK);
            break;
        default: break; // it is dialled again while it is up
        }
    }
    return NULL;
}

static void *
look(void *arg)
{
    nmq_bridges *bridges = nmq_broker_bridges(near);
    nmq_bridge_news news;
    nmq_bridge_stats stats;

    (void) arg;
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        while (nmq_bridges_next(bridges, &news)) {
            (void) nmq_bridges_stats(bridges, news.number, &stats);
        }
        (void) poll(NULL, 0, 1);
    }
    return NULL;
}

static void *
publish(void *arg)
{
    nmq_broker *where = arg;
    const char *topic = where == near ? "out/x" : "cmd/x";

    for (unsigned n = 0; n < MESSAGES; n++) {
        const nmq_publication publication = {.topic_name = topic,
                                             .topic_len = 5,
                                             .payload = (const char *) &n,
                                             .payload_len = sizeof n,
                                             .qos = (uint8_t) (n % 3)};
        assert(nmq_broker_publish(where, &publication) >= 0);
    }
    return NULL;
}

static void
await_end(uint64_t number)
{
    nmq_bridge_stats stats = {.waiting = 1};

    for (unsigned looks = 0; stats.waiting + stats.in_flight > 0; looks++) {
        assert(looks < LOOKS);
        (void) poll(NULL, 0, 5);
        assert(nmq_bridges_stats(nmq_broker_bridges(near), number, &stats) == NMQ_OK);
    }
    assert(stats.acked == MESSAGES - MESSAGES / 3);
}

void
bridging_run(void)
{
    unsigned which[RESTLESS];
    pthread_t threads[RESTLESS + 3];
    unsigned count = 0;

    nng_socket_bind();
    assert(nmq_broker_new(&options, &far) == NMQ_OK);
    assert(nmq_broker_new(&options, &near) == NMQ_OK);
    listen_there();
    __atomic_store_n(&over, false, __ATOMIC_RELAXED);
    uint64_t steady = put("steady", 5, false);
    dial(steady);
    for (; count < RESTLESS; count++) {
        which[count] = count;
        assert(pthread_create(&threads[count], NULL, be_restless, &which[count]) == 0);
    }
    assert(pthread_create(&threads[count++], NULL, publish, near) == 0);
    assert(pthread_create(&threads[count++], NULL, publish, far) == 0);
    assert(pthread_create(&threads[count], NULL, look, NULL) == 0);
    for (unsigned i = 0; i < count; i++) {
        assert(pthread_join(threads[i], NULL) == 0);
    }
    await_end(steady);
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    assert(pthread_join(threads[count], NULL) == 0);
    nmq_broker_shutdown(near, WAIT_MS); // while bridges are up
    nmq_broker_free(near);
    nmq_broker_shutdown(far, WAIT_MS);
    nmq_broker_free(far);
    for (int ms = 0; nmq_mem_live() != 0 && ms < WAIT_MS; ms++) {
        (void) usleep(1000); // whoever told of the end may still free
    }
    printf("bridging: %d rounds of %d bridges; alive: %ld\n", ROUNDS, RESTLESS,
           nmq_mem_live());
}
