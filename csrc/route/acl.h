// acl.h - who may publish and subscribe to what: rules in order, the first that applies
// decides.
//
//     rules ──connect──> view: those that name this client ──publish, subscribe──> allowed?
//
// A rule's client is looked at once a connection, its topics at each packet. A
// allows applies when one of its topics covers the filter ("a/#" covers "a/+/b"; "a/b" does
// not cover "a/+"), one that denies as soon as one of its topics meets it ("a/b" meets
// "a/+"). So whoever is granted a filter may have each topic that it matches.
//
// Owner    an acl is immutable and counted; a view holds a reference to its acl.
// Threads  an acl: any. A view: its connection's receive side.
// Cost     none without rules; else the topics of the rules that name the client.
#pragma once
#include "base/bytes.h"
#include "base/peer.h"
#include "route/acl_entry.h"
#include "route/acl_rules.h"

// Whom a view is for. Slices are borrowed by nmq_acl_view_make.
typedef struct {
    nmq_bytes client_id;
    nmq_bytes user_name; // at NULL: none
    const nmq_peer *peer;
    bool superuser; // everything is allowed
    nmq_acl *own;   // rules of it alone, judged first; NULL: none
} nmq_acl_subject;

// A zeroed view allows everything.
typedef struct nmq_acl_view nmq_acl_view;
struct nmq_acl_view {
    nmq_acl_view *own;   // of the rules of the client alone; owned; NULL: none
    nmq_acl *acl;        // a reference
    uint32_t *rules;     // those that name the client, in order; owned
    uint32_t count;      // of them
    nmq_bytes client_id; // owned
    nmq_bytes user_name; // owned; at NULL: none
};

// Makes the view anew; takes the reference to `acl` (NULL: everything is allowed), whatever
// is returned. Returns NMQ_OK or NMQ_ENOMEM, and then the view denies everything.
int nmq_acl_view_make(nmq_acl_view *view, nmq_acl *acl, const nmq_acl_subject *subject);
void nmq_acl_view_free(nmq_acl_view *view);

// nmq_acl_allows of a view for that subject, without making one. acl NULL: everything is
// allowed. Cost: all rules.
bool nmq_acl_permits(const nmq_acl *acl, const nmq_acl_subject *subject,
                     enum nmq_acl_action action, nmq_bytes topic);

// Whether any rule asks for the client's address. Takes NULL.
bool nmq_acl_has_addresses(const nmq_acl *acl);

// Whether a client that does what it may not is to be disconnected.
bool nmq_acl_disconnects(const nmq_acl_view *view);

// What the rules of the client alone say, which are asked first. With `otherwise` false
// they deny what they do not name. Topic is a Topic Name, or a Topic Filter without its
// $share.
enum nmq_access nmq_acl_judge_own(const nmq_acl_view *view, enum nmq_acl_action action,
                                  nmq_bytes topic);

// What the rules for all say.
enum nmq_access nmq_acl_judge(const nmq_acl_view *view, enum nmq_acl_action action,
                              nmq_bytes topic);

// What becomes of NMQ_ACCESS_PASS: whether somebody is asked, and what holds if not.
bool nmq_acl_asks(const nmq_acl_view *view);
bool nmq_acl_otherwise(const nmq_acl_view *view);

// Whether what was allowed once may stay. Nobody is asked again: where rules ask, only they
// take something away.
bool nmq_acl_allows(const nmq_acl_view *view, enum nmq_acl_action action, nmq_bytes topic);

// nmq_acl_covers: whether the pattern matches all that the topic, a Topic Name or Topic
// Filter, matches. nmq_acl_meets: whether the two have a topic in common. Levels "%c" and
// "%u" of the pattern
// own, which is empty or has "/", "+" or "#", stands for no topic, and so does one that
// begins with "$" on the first level. Wildcards do not match a first level that begins with
// "$".
bool nmq_acl_covers(nmq_bytes pattern, nmq_bytes topic, const nmq_acl_view *view);
bool nmq_acl_meets(nmq_bytes pattern, nmq_bytes topic, const nmq_acl_view *view);
