#include "serve/banned.h"

#include "base/clock.h"
#include "mqtt/reason.h"
#include "route/bans.h"
#include "serve/tell.h"

bool
nmq_banned_is(const nmq_server_conn *conn, nmq_bytes client_id, nmq_bytes user_name)
{
    nmq_bans *bans = conn->net.conns->router->bans;

    if (nmq_bans_count(bans) == 0) { // the usual case
        return false;
    }
    int64_t now_ms = nmq_clock_wall_ms();
    return nmq_bans_has(bans, NMQ_BAN_CLIENT_ID, client_id, now_ms) ||
           nmq_bans_has(bans, NMQ_BAN_USER_NAME, user_name, now_ms) ||
           nmq_bans_has_peer(bans, &conn->net.stream->peer, now_ms);
}

nmq_fault
nmq_banned_check(const nmq_server_conn *conn, nmq_bytes client_id, nmq_bytes user_name)
{
    const nmq_fault fault = {NMQ_RC_BANNED, NULL};

    if (!nmq_banned_is(conn, client_id, user_name)) {
        return (nmq_fault){0};
    }
    nmq_counters_add(conn->net.conns->counters, NMQ_COUNT_REFUSED_BANNED, 1);
    nmq_tell_auth_failed(conn, fault);
    return fault;
}
