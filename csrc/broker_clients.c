// broker_clients.c - what a program tells a broker about clients: nmq.h says what each
// does.
#include "base/status.h"
#include "broker_struct.h"
#include "net/memory.h"
#include "route/assign.h"
#include "route/may.h"
#include "route/publish_own.h"
#include "route/revoke.h"
#include "serve/ask.h"
#include "serve/auth.h"
#include "serve/steer.h"

int
nmq_broker_publish(nmq_broker *broker, const nmq_publication *publication)
{
    int taken = nmq_publish_own(&broker->sessions, publication);

    nmq_memory_check(&broker->conns);
    return taken;
}

int
nmq_broker_subscribe(nmq_broker *broker, const char *client_id, size_t client_id_len,
                     const char *filter, size_t filter_len, uint8_t options,
                     uint32_t identifier)
{
    return nmq_assign_put(&broker->sessions, nmq_broker_slice(client_id, client_id_len),
                          nmq_broker_slice(filter, filter_len), options, identifier);
}

int
nmq_broker_unsubscribe(nmq_broker *broker, const char *client_id, size_t client_id_len,
                       const char *filter, size_t filter_len)
{
    return nmq_assign_del(&broker->sessions, nmq_broker_slice(client_id, client_id_len),
                          nmq_broker_slice(filter, filter_len));
}

int
nmq_broker_kick(nmq_broker *broker, const char *client_id, size_t client_id_len,
                uint8_t reason_code)
{
    return nmq_revoke_connection(&broker->sessions,
                                 nmq_broker_slice(client_id, client_id_len), reason_code);
}

int
nmq_broker_discard(nmq_broker *broker, const char *client_id, size_t client_id_len,
                   uint8_t reason_code)
{
    return nmq_revoke_session(&broker->sessions, nmq_broker_slice(client_id, client_id_len),
                              reason_code);
}

int
nmq_broker_set_keep_alive(nmq_broker *broker, const char *client_id, size_t client_id_len,
                          uint16_t keep_alive_s)
{
    return nmq_steer_keep_alive(&broker->sessions,
                                nmq_broker_slice(client_id, client_id_len), keep_alive_s);
}

int
nmq_broker_set_rates(nmq_broker *broker, const char *client_id, size_t client_id_len,
                     int64_t messages, int64_t bytes)
{
    nmq_own_rates rates = {
        .own = (uint8_t) ((messages >= 0 ? NMQ_OWN_MESSAGE_RATE : 0) |
                          (bytes >= 0 ? NMQ_OWN_BYTE_RATE : 0)),
        .messages = messages > 0 ? (uint32_t) messages : 0,
        .bytes = bytes > 0 ? (uint32_t) bytes : 0,
    };

    return messages > UINT32_MAX || bytes > UINT32_MAX
               ? NMQ_EINVAL
               : nmq_steer_rates(&broker->sessions,
                                 nmq_broker_slice(client_id, client_id_len), &rates);
}

int
nmq_broker_kept_answers(nmq_broker *broker, const char *client_id, size_t client_id_len,
                        nmq_kept_row *rows)
{
    return nmq_steer_kept(&broker->sessions, nmq_broker_slice(client_id, client_id_len),
                          rows);
}

int
nmq_broker_forget_answers(nmq_broker *broker, const char *client_id, size_t client_id_len)
{
    if (client_id == NULL) {
        nmq_steer_forget_all(&broker->conns);
        return NMQ_OK;
    }
    return nmq_steer_forget(&broker->sessions, nmq_broker_slice(client_id, client_id_len));
}

int
nmq_broker_may(nmq_broker *broker, const nmq_acl_trial *trial, bool mounted,
               nmq_acl_ruling *out, size_t *mount_len)
{
    return nmq_may(&broker->sessions, trial, mounted, out, mount_len);
}

int
nmq_broker_answer(nmq_broker *broker, const nmq_answer *answer)
{
    return nmq_auth_answer(&broker->conns, answer);
}

int
nmq_broker_decide(nmq_broker *broker, const nmq_verdicts *verdicts)
{
    return nmq_ask_answer(&broker->conns, verdicts);
}

void
nmq_broker_set_acl(nmq_broker *broker, nmq_acl *acl)
{
    nmq_rules_set(&broker->rules, acl);
}

int
nmq_broker_judge(nmq_broker *broker)
{
    return nmq_revoke_rights(&broker->sessions);
}

int
nmq_broker_kick_users(nmq_broker *broker, const nmq_kick *whom)
{
    return nmq_revoke_users(&broker->sessions, whom);
}

int
nmq_broker_ban(nmq_broker *broker, enum nmq_ban_kind kind, const char *who, size_t who_len,
               int64_t until_ms)
{
    return nmq_bans_put(broker->bans, kind, nmq_broker_slice(who, who_len), until_ms);
}

int
nmq_broker_unban(nmq_broker *broker, enum nmq_ban_kind kind, const char *who,
                 size_t who_len)
{
    return nmq_bans_del(broker->bans, kind, nmq_broker_slice(who, who_len));
}

int
nmq_broker_kick_banned(nmq_broker *broker, const char *client_id, size_t client_id_len)
{
    return nmq_revoke_banned(&broker->sessions, nmq_broker_slice(client_id, client_id_len));
}
