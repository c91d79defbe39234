// question.h - whether a client may come in: what it says of itself, and what is answered.
// cffi reads this file: no macros here.
//
//     CONNECT, AUTH ──> NMQ_NOTE_AUTH with nmq_credentials ──Python──> nmq_answer
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
    bool foreign; // by a method with users of its own: nmq_broker_kick_users spares it
} nmq_answer;
