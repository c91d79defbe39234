#include "store/origin.h"

#include <string.h>

#include "base/mem.h"

nmq_origin *
nmq_origin_new(nmq_bytes client_id, nmq_bytes user_name, const nmq_peer *peer,
               size_t mount_len, uint32_t listener_key)
{
    nmq_origin *origin = nmq_alloc(sizeof *origin + client_id.len + user_name.len);

    if (origin == NULL) {
        return NULL;
    }
    *origin = (nmq_origin){
        .refs = 1,
        .mount_len = (uint32_t) mount_len,
        .listener_key = listener_key,
        .client_id_len = (uint16_t) client_id.len,
        .user_name_len = (uint16_t) user_name.len,
        .has_user_name = user_name.at != NULL,
        .peer = *peer,
    };
    if (client_id.len > 0) {
        memcpy(origin->bytes, client_id.at, client_id.len);
    }
    if (user_name.len > 0) {
        memcpy(origin->bytes + client_id.len, user_name.at, user_name.len);
    }
    return origin;
}

nmq_origin *
nmq_origin_ref(nmq_origin *origin)
{
    if (origin != NULL) {
        (void) __atomic_add_fetch(&origin->refs, 1, __ATOMIC_RELAXED);
    }
    return origin;
}

void
nmq_origin_unref(nmq_origin *origin)
{
    if (origin != NULL && __atomic_sub_fetch(&origin->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        nmq_free(origin);
    }
}

nmq_bytes
nmq_origin_client_id(const nmq_origin *origin)
{
    return (nmq_bytes){origin->bytes, origin->client_id_len};
}

nmq_bytes
nmq_origin_user_name(const nmq_origin *origin)
{
    return origin->has_user_name
               ? (nmq_bytes){origin->bytes + origin->client_id_len, origin->user_name_len}
               : (nmq_bytes){0};
}
