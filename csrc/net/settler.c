#include "net/settler.h"

#include "route/durable.h"

// nmq_job.run
static void
settle(nmq_job *job, nmq_worker *worker)
{
    nmq_settler *s = (nmq_settler *) (void *) job;
    uint64_t done = 0;

    (void) worker;
    (void) pthread_mutex_lock(&s->lock);
    while (done != s->number) { // more may come meanwhile
        done = s->number;
        (void) pthread_mutex_unlock(&s->lock);
        nmq_durable_settle(s->router, done);
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

void
nmq_settler_settled(void *arg, uint64_t number)
{
    nmq_settler *s = arg;

    (void) pthread_mutex_lock(&s->lock);
    s->number = number;
    bool posts = !s->posted;
    s->posted = true;
    (void) pthread_mutex_unlock(&s->lock);
    if (posts) {
        nmq_poller_post(&s->job);
    }
}
