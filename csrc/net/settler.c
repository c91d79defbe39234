#include "net/settler.h"

#include "mqtt/reason.h"
#include "route/durable.h"

// Call without the lock, having taken what there was to do.
static void
settle_one(nmq_settler *s, uint64_t number, bool expels, bool for_good)
{
    nmq_durable_settle(s->router, number);
    if (expels) {
        nmq_durable_expel(s->router,
                          for_good ? NMQ_RC_IMPLEMENTATION_SPECIFIC : NMQ_RC_QUOTA_EXCEEDED,
                          for_good);
    }
}

// nmq_job.run
static void
settle(nmq_job *job, nmq_worker *worker)
{
    nmq_settler *s = (nmq_settler *) (void *) job;
    uint64_t done = 0;

    (void) worker;
    (void) pthread_mutex_lock(&s->lock);
    while (done != s->number || s->expels) { // more may come meanwhile
        bool expels = s->expels;
        bool for_good = s->for_good;
        done = s->number;
        s->expels = false;
        (void) pthread_mutex_unlock(&s->lock);
        settle_one(s, done, expels, for_good);
        (void) pthread_mutex_lock(&s->lock);
    }
    s->posted = false;
    (void) pthread_cond_signal(&s->rests);
    (void) pthread_mutex_unlock(&s->lock);
}

void
nmq_settler_init(nmq_settler *settler, nmq_router *router)
{
    *settler = (nmq_settler){.job.run = settle, .router = router};
    (void) pthread_mutex_init(&settler->lock, NULL);
    (void) pthread_cond_init(&settler->rests, NULL);
}

void
nmq_settler_fini(nmq_settler *settler)
{
    (void) pthread_mutex_lock(&settler->lock);
    while (settler->posted) {
        (void) pthread_cond_wait(&settler->rests, &settler->lock);
    }
    (void) pthread_mutex_unlock(&settler->lock);
    (void) pthread_cond_destroy(&settler->rests);
    (void) pthread_mutex_destroy(&settler->lock);
}

// Has the job look. Call with the lock, which it gives back.
static void
post(nmq_settler *s)
{
    bool posts = !s->posted;

    s->posted = true;
    (void) pthread_mutex_unlock(&s->lock);
    if (posts) {
        nmq_poller_post(&s->job);
    }
}

void
nmq_settler_settled(nmq_settler *settler, uint64_t number)
{
    (void) pthread_mutex_lock(&settler->lock);
    settler->number = number;
    post(settler);
}

void
nmq_settler_expel(nmq_settler *settler, bool for_good)
{
    (void) pthread_mutex_lock(&settler->lock);
    settler->expels = true;
    settler->for_good = for_good;
    post(settler);
}
