// question.h - whether a client may come in, and what it may do: what it says, and what is
// answered. cffi reads this file: no macros here.
//
//     CONNECT, AUTH ──────────> NMQ_NOTE_AUTH with nmq_credentials ──Python──> nmq_answer
//     PUBLISH, SUBSCRIBE, will ──> NMQ_NOTE_ACCESS with nmq_wish ──Python──> nmq_verdicts
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "route/acl_rules.h"

// What a client that asks to come in said of itself; slices borrow from the event.
typedef struct {
    uint32_t listener;   // number of the one that it came through
    const char *address; // where it is, as text; empty: on this machine (IPC)
    size_t address_len;
    const char *client_id;
    size_t client_id_len;
    const char *user_name; // NULL: none
    size_t user_name_len;
    const char *password; // NULL: none
    size_t password_len;
    const char *method; // Authentication Method; NULL: none
    size_t method_len;
    const char *data; // Authentication Data, up to 1024 bytes; NULL: none
    size_t data_len;
} nmq_credentials;

// The answer to a question (NMQ_NOTE_AUTH).
typedef struct {
    uint64_t number;     // of the question
    uint8_t reason_code; // 0: let it in; 0x18: go on with AUTH; others refuse it
    const char *data;    // Authentication Data for the client; NULL: none
    size_t data_len;
    const char *user_name; // who it proved to be; NULL: as CONNECT says
    size_t user_name_len;
    bool foreign;   // by a method with users of its own: nmq_broker_kick_users spares it
    bool superuser; // access rules do not count for it
    nmq_acl *rules; // of this client alone, judged before all others; borrowed; NULL: none
    int64_t ends_at_ms; // when its connection ends, wall clock; 0: not by itself
} nmq_answer;

// What a client that is in, or comes in with a will, wants to do; slices borrow from the
// event.
typedef struct {
    uint32_t listener; // number of the one that it came through
    bool publish;      // else it subscribes
    const char *address;
    size_t address_len;
    const char *client_id;
    size_t client_id_len;
    const char *user_name; // NULL: none
    size_t user_name_len;
    const char *topics; // what nmq_wish_topic has not taken off yet
    size_t topics_len;
    const char *topic; // that it has
    size_t topic_len;
} nmq_wish;

// The answer to a question (NMQ_NOTE_ACCESS).
typedef struct {
    uint64_t number;   // of the event: whose question
    uint32_t question; // code of the event: which
    const uint8_t *at; // enum nmq_access for each topic; what is none but LATER denies
    size_t count;      // what is missing is denied
    uint32_t
        keep_ms; // for so long the client is not asked about that topic again; 0: it is
} nmq_verdicts;
