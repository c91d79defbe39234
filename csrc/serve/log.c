#include "serve/log.h"

#include <stdio.h>

#include "mqtt/reason.h"

enum { WHO_BYTES = NMQ_LOG_TEXT_BYTES + 64 };

// What an operator changes to let such a client in.
static const struct {
    uint8_t code;
    const char *text;
} advice[] = {
    {NMQ_RC_BAD_USER_NAME_OR_PASSWORD,
     "look at its password, at the users in the configuration (auth.N.login, "
     "auth.password_file), and at auth.chain and allow_anonymous"},
    {NMQ_RC_NOT_AUTHORIZED,
     "look at the users in the configuration (auth.N.login), the rules (acl.rule.N) and "
     "allow_anonymous"},
    {NMQ_RC_BAD_AUTHENTICATION_METHOD, "a broker with users knows SCRAM-SHA-256"},
    {NMQ_RC_CLIENT_ID_NOT_VALID, "give the client another client identifier"},
    {NMQ_RC_UNSUPPORTED_PROTOCOL_VERSION, "the client has to speak MQTT 3.1, 3.1.1 or 5.0"},
    {NMQ_RC_PACKET_TOO_LARGE, "max_packet_size and max_connect_size limit what it sends, "
                              "client_max_packet_size and the client limit what it gets"},
    {NMQ_RC_BANNED, "take the ban of its client identifier, user name or address back"},
    {NMQ_RC_SERVER_BUSY, "too many logins wait to be hashed, or fail for this address and "
                         "user"},
};

static const char *
advice_for(uint8_t code)
{
    for (size_t i = 0; i < sizeof advice / sizeof *advice; i++) {
        if (advice[i].code == code) {
            return advice[i].text;
        }
    }
    return NULL;
}

// Writes "user 'NAME'", or that there is none.
static const char *
user_text(nmq_bytes name, char text[WHO_BYTES])
{
    if (name.at == NULL) {
        return "no user name";
    }
    (void) snprintf(text, WHO_BYTES, "user '%s'", nmq_log_quoted(name).text);
    return text;
}

void
nmq_log_connected(const nmq_server_conn *conn, const nmq_attach *attach,
                  bool session_present)
{
    const nmq_log *log = conn->net.conns->log;
    static const char *const versions[] = {
        [NMQ_V31] = "3.1", [NMQ_V311] = "3.1.1", [NMQ_V5] = "5.0"};
    char user[WHO_BYTES];

    if (!nmq_log_wants(log, NMQ_LOG_INFO)) {
        return;
    }
    nmq_bytes listener = conn->net.settings->url;
    nmq_log_write(log, NMQ_LOG_INFO,
                  "%s: client '%s' connected: %s, MQTT %s, keep alive %u s, %s session, "
                  "listener '%.*s'",
                  nmq_conn_name(&conn->net).text, nmq_log_quoted(attach->client_id).text,
                  user_text(attach->user_name, user), versions[attach->version],
                  attach->keep_alive_s, session_present ? "kept" : "new",
                  (int) listener.len, (const char *) listener.at);
}

void
nmq_log_refused(const nmq_server_conn *conn, nmq_fault fault)
{
    const nmq_log *log = conn->net.conns->log;
    char user[WHO_BYTES];
    char who[2 * WHO_BYTES] = "";

    if (!nmq_log_wants(log, NMQ_LOG_INFO)) {
        return;
    }
    if (conn->connect != NULL) {
        const nmq_connect *c = conn->connect;
        (void) snprintf(who, sizeof who, " client '%s', %s",
                        nmq_log_quoted(c->client_id).text,
                        user_text(nmq_server_conn_said_name(conn, c), user));
    }
    const char *what_to_do = advice_for(fault.code);
    nmq_log_write(log, NMQ_LOG_INFO, "%s: refused%s: %s%s%s%s%s",
                  nmq_conn_name(&conn->net).text, who, nmq_reason_text(fault.code),
                  fault.why != NULL ? ", " : "", fault.why != NULL ? fault.why : "",
                  what_to_do != NULL ? "; " : "", what_to_do != NULL ? what_to_do : "");
}
