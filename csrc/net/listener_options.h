// listener_options.h - one place where clients come in, as it is configured. cffi reads
// this file: no macros here.
#pragma once
#include "io/endpoint.h"  // cffi reads it too
#include "io/peer_name.h" // this too

// Texts are NUL-terminated and are copied.
typedef struct {
    nmq_endpoint endpoint;
    const char *url;   // for log lines; NULL: none
    uint32_t key;      // which listener of the configuration it is, 0: none. Sessions
                       // follow it to another address and over a restart
    const char *path;  // of WebSocket upgrades, "*" any; NULL: MQTT without it
    const char *mount; // goes before the topics of its clients, %c and %u in it
                       // stand for client identifier and user name; NULL: none
    uint32_t connections_max;          // 0: no bound
    bool ask_auth;                     // put every CONNECT to Python
    enum nmq_peer_name user_name_from; // what TLS has proved is the user, and needs no
                                       // password
    bool unlogged; // sessions that begin through it are in memory alone (route/durable.h)
    bool proxy;    // connections begin with a PROXY header; not with TLS
    const char *proxy_from; // who may send one: ADDRESS/BITS,ADDRESS/BITS; NULL: anybody
} nmq_listener_options;

typedef struct {
    uint64_t open; // connections now
    uint64_t accepted;
    uint64_t refused; // by a bound
} nmq_listener_stats;
