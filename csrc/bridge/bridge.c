#include "bridge/bridge.h"

#include <string.h>
#include <sys/eventfd.h>

#include "base/mem.h"

nmq_bridge *
nmq_bridge_ref(nmq_bridge *bridge)
{
    (void) __atomic_add_fetch(&bridge->refs, 1, __ATOMIC_RELAXED);
    return bridge;
}

void
nmq_bridge_unref(nmq_bridge *bridge)
{
    if (bridge == NULL || __atomic_sub_fetch(&bridge->refs, 1, __ATOMIC_ACQ_REL) != 0) {
        return;
    }
    nmq_bridge_settings_unref(bridge->settings);
    nmq_client_unref(bridge->client);
    nmq_free(bridge);
}

nmq_bridge_settings *
nmq_bridge_now(nmq_bridge *bridge)
{
    (void) pthread_mutex_lock(&bridge->bridges->lock);
    nmq_bridge_settings *settings = nmq_bridge_settings_ref(bridge->settings);
    (void) pthread_mutex_unlock(&bridge->bridges->lock);
    return settings;
}

// Call with the lock.
static void
wake(nmq_bridge *bridge)
{
    bridge->has_news = true;
    (void) eventfd_write(bridge->bridges->fd, 1);
}

// Call with the lock.
static void
note_fault(nmq_bridge_news *news, enum nmq_bridge_cause cause, int32_t code,
           const char *why)
{
    news->cause = (uint8_t) cause;
    news->code = code;
    (void) strncpy(news->why, why != NULL ? why : "", sizeof news->why - 1);
}

void
nmq_bridge_tell_state(nmq_bridge *bridge, enum nmq_bridge_state state)
{
    (void) pthread_mutex_lock(&bridge->bridges->lock);
    bridge->news.state = (uint8_t) state;
    (void) pthread_mutex_unlock(&bridge->bridges->lock);
}

void
nmq_bridge_tell_up(nmq_bridge *bridge, bool session_present)
{
    (void) pthread_mutex_lock(&bridge->bridges->lock);
    bridge->news.state = NMQ_BRIDGE_UP;
    bridge->news.session_present = session_present;
    bridge->news.ups++;
    note_fault(&bridge->news, NMQ_BRIDGE_BY_PEER, 0, NULL);
    wake(bridge);
    (void) pthread_mutex_unlock(&bridge->bridges->lock);
}

void
nmq_bridge_tell_fault(nmq_bridge *bridge, enum nmq_bridge_cause cause, int32_t code,
                      const char *why)
{
    (void) pthread_mutex_lock(&bridge->bridges->lock);
    note_fault(&bridge->news, cause, code, why);
    wake(bridge);
    (void) pthread_mutex_unlock(&bridge->bridges->lock);
}

bool
nmq_bridge_tell_down(nmq_bridge *bridge, enum nmq_bridge_cause cause, int32_t code,
                     const char *why)
{
    (void) pthread_mutex_lock(&bridge->bridges->lock);
    bool was_up = bridge->news.state == NMQ_BRIDGE_UP;
    bridge->news.state = NMQ_BRIDGE_IDLE;
    bridge->news.downs++;
    note_fault(&bridge->news, cause, code, why);
    wake(bridge);
    (void) pthread_mutex_unlock(&bridge->bridges->lock);
    return was_up;
}
