#include "bridge/tell.h"

static nmq_bytes
name_of(const nmq_bridge_settings *settings)
{
    return nmq_bridge_slice(settings->options.name, settings->options.name_len);
}

static nmq_watch *
watch_of(const nmq_bridge *bridge)
{
    return &bridge->bridges->consumers->sessions->router->watch;
}

// The name of a bridge is that of any of its settings.
static void
tell_of(const nmq_bridge_conn *conn, nmq_event *event)
{
    nmq_watch *watch = watch_of(conn->bridge);

    if (nmq_watch_wants(watch, event->kind)) {
        nmq_bridge_settings *settings = nmq_bridge_now(conn->bridge);
        const nmq_who who = {.client_id = name_of(settings),
                             .peer = &conn->net.stream->peer};
        event->who = &who;
        nmq_watch_tell(watch, event);
        nmq_bridge_settings_unref(settings);
    }
}

void
nmq_bridge_event_up(const nmq_bridge_conn *conn, bool session_present)
{
    tell_of(conn, &(nmq_event){.kind = NMQ_EVENT_BRIDGE_UP, .numbers = {session_present}});
}

void
nmq_bridge_event_down(const nmq_bridge_conn *conn, enum nmq_why ended_by, nmq_fault end)
{
    tell_of(conn, &(nmq_event){.kind = NMQ_EVENT_BRIDGE_DOWN,
                               .why = ended_by,
                               .text = nmq_bytes_of(end.why != NULL ? end.why : ""),
                               .numbers = {end.code}});
}

void
nmq_bridge_event_switched(const nmq_bridge *bridge, bool is_on)
{
    static const nmq_peer nowhere;
    const nmq_who who = {.client_id = name_of(bridge->settings), .peer = &nowhere};
    const nmq_event event = {
        .kind = NMQ_EVENT_BRIDGE_SWITCHED, .who = &who, .numbers = {is_on}};

    nmq_watch_tell(watch_of(bridge), &event);
}
