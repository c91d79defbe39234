// acl.h - who may publish and subscribe to what: rules in order, the first that applies
// decides.
//
//     rules ──connect──> view: the groups of this client ──publish, subscribe──> allowed?
//
// A rule's client is looked up once a connection (acl_group.h), its topics at each packet
// (acl_search.h).
//
// Owner    an acl is immutable and counted; a view holds a reference to its acl.
// Threads  an acl: any. A view: its connection's receive side.
// Cost     none without rules; a comparison for the topic of the packet before; none for
//          rules that name other clients; else a walk along the topic, for each group of
//          the client. A view: a pointer a group, names, and 64 bytes.
#pragma once
#include "route/acl_act.h"
#include "route/acl_group.h"
#include "route/acl_rules.h"
#include "route/acl_search.h"

enum { NMQ_ACL_LAST_MAX = 60 }; // bytes of a topic that is remembered

// What was judged last: a client often publishes to one topic. Zeroed: nothing.
typedef struct {
    uint16_t act; // one of acl_act.h
    uint8_t said; // enum nmq_access
    uint8_t len;
    uint8_t topic[NMQ_ACL_LAST_MAX];
} nmq_acl_last;

// A zeroed view allows everything.
typedef struct nmq_acl_view nmq_acl_view;
struct nmq_acl_view {
    nmq_acl_view *own;            // of the rules of the client alone; owned; NULL: none
    nmq_acl *acl;                 // a reference
    const nmq_acl_group **groups; // of the client; owned, the groups are the acl's
    uint32_t count;               // of them
    nmq_acl_names who;            // owned
    nmq_acl_last last;            // of nmq_acl_judge
};

// Makes the view anew; takes the reference to `acl` (NULL: everything is allowed), whatever
// is returned. Returns NMQ_OK or NMQ_ENOMEM, and then the view denies everything.
int nmq_acl_view_make(nmq_acl_view *view, nmq_acl *acl, const nmq_acl_subject *subject);
void nmq_acl_view_free(nmq_acl_view *view);

// Finds the rule that decides for the subject, without making a view; search->best is its
// number. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_acl_try(const nmq_acl *acl, const nmq_acl_subject *subject, uint16_t act,
                nmq_bytes topic, nmq_acl_search *search);

// nmq_acl_allows of a view for that subject, without making one. acl NULL: everything is
// allowed. When memory is out, nothing is.
bool nmq_acl_permits(const nmq_acl *acl, const nmq_acl_subject *subject, uint16_t act,
                     nmq_bytes topic);

// Whether any rule asks for the client's address. Takes NULL.
bool nmq_acl_has_addresses(const nmq_acl *acl);

// Whether a client that does what it may not is to be disconnected.
bool nmq_acl_disconnects(const nmq_acl_view *view);

// What the rules of the client alone say, which are asked first. With `otherwise` false
// they deny what they do not name. Topic is a Topic Name, or a Topic Filter without its
// $share.
enum nmq_access nmq_acl_judge_own(nmq_acl_view *view, uint16_t act, nmq_bytes topic);

// What the rules for all say.
enum nmq_access nmq_acl_judge(nmq_acl_view *view, uint16_t act, nmq_bytes topic);

// What becomes of NMQ_ACCESS_PASS: whether somebody is asked, and what holds if not.
bool nmq_acl_asks(const nmq_acl_view *view);
bool nmq_acl_otherwise(const nmq_acl_view *view);

// Whether what was allowed once may stay. Nobody is asked again: where rules ask, only they
// take something away.
bool nmq_acl_allows(nmq_acl_view *view, uint16_t act, nmq_bytes topic);
