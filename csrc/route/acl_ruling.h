// acl_ruling.h - what a client would do, and what decides whether it may. cffi reads this
// file: no macros here.
#pragma once
#include "route/acl_rules.h"

// Texts are NUL-terminated and valid UTF-8.
typedef struct {
    const char *client_id;
    const char *user_name; // NULL: none
    uint8_t address[16];   // network order
    uint8_t address_len;   // 4, 16, or 0: none
    bool publish;          // or it subscribes
    bool retain;
    uint8_t qos;
    const char *topic; // a Topic Name, or a Topic Filter
} nmq_acl_trial;

// What decides what a client may do.
enum nmq_decider {
    NMQ_DECIDER_SUPERUSER, // access rules do not count for it
    NMQ_DECIDER_OWN,       // its own rules, of its token
    NMQ_DECIDER_RULE,
    NMQ_DECIDER_NONE, // no rule: somebody is asked, or what holds otherwise counts
};

typedef struct {
    uint8_t access; // enum nmq_access; LATER: somebody is to be asked
    uint8_t by;     // enum nmq_decider
    bool otherwise; // whether it is allowed if who is asked has no opinion
    uint32_t rule;  // its number, if one decides
} nmq_acl_ruling;
