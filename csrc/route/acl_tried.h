// acl_tried.h - a trial, read, and what decides it: its own rules, those for all, or none.
//
//     superuser? ──> own rules ──> rules for all ──> LATER, or what holds otherwise
//
// Threads  any.
#pragma once
#include "route/acl.h"
#include "route/acl_ruling.h"

// Slices borrow from the trial.
typedef struct {
    nmq_peer peer;
    nmq_acl_subject subject; // but for its peer
    nmq_bytes topic;         // Topic Name, or Topic Filter without $share
    uint16_t act;            // acl_act.h
} nmq_acl_tried;

// Returns NMQ_OK, NMQ_ETOPIC or NMQ_EFILTER.
int nmq_acl_tried_read(const nmq_acl_trial *trial, nmq_acl_tried *out);

// Says what decides whether the subject may do what is tried. acl NULL: everything is
// allowed. Returns NMQ_OK or NMQ_ENOMEM.
int nmq_acl_tried_rule(const nmq_acl *acl, const nmq_acl_subject *subject,
                       const nmq_acl_tried *tried, nmq_acl_ruling *out);
