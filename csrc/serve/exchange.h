// exchange.h - what a connection keeps while it finds out who its client is: the question
// to Python, its answer, and an Authentication Method that may go on (MQTT 5.0, 4.12).
//
//     CONNECT or AUTH ──ask──> parked ──answer──> admitted, or AUTH (auth.h)
//
// The CONNECT is kept until its client is in.
//
// Owner    the connection; secrets are wiped when they are freed.
// Threads  the receive side, where nothing else is said.
#pragma once
#include "serve/question.h"
#include "serve/server_conn.h"

struct nmq_exchange {
    nmq_buf connect;   // the CONNECT that waits
    nmq_bytes method;  // Authentication Method of the CONNECT, owned; NULL: none
    nmq_buf data;      // of the answer
    nmq_buf user_name; // of the answer, or proved without one
    int64_t ends_ms;   // of the answer: when the connection ends; 0: not by itself
    bool has_data;
    bool has_user_name;
    bool foreign;        // the answer's user is none of the broker's
    nmq_acl *own;        // rules of the answer's user alone; a reference; NULL: none
    bool superuser;      // access rules do not count for the answer's user
    bool python_waits;   // Python keeps an exchange, until it answers or hears of the end
    bool asked;          // link.lock: the answer is awaited
    uint8_t reason_code; // of the answer
};

void nmq_exchange_free(nmq_exchange *exchange); // takes NULL
void nmq_exchange_wipe(nmq_exchange *exchange); // all but the method

// The client has proved to be that user. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_exchange_prove(nmq_server_conn *conn, nmq_bytes user_name);

// Asks what to do with a CONNECT or an AUTH, unless its Authentication Data are too long.
enum nmq_next nmq_exchange_ask(nmq_server_conn *conn, nmq_batch *batch,
                               const nmq_packet *packet);

// Answers the question of a connection that the caller has a reference to. Returns false if
// it has not asked. Any thread.
bool nmq_exchange_answer(nmq_server_conn *conn, const nmq_answer *answer);

// Adds its method and data to the properties of an AUTH or a CONNACK. Takes NULL.
void nmq_exchange_properties(const nmq_exchange *exchange, nmq_props *props);

// The connection is over: Python forgets the exchange that it keeps for it.
void nmq_exchange_end(nmq_server_conn *conn);
