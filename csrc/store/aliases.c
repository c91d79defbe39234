#include "store/aliases.h"

#include "base/mem.h"
#include "base/status.h"

enum { NAME_MIN_BYTES = 3, CREDIT_FIRST = 4, CREDIT_USE = 2, CREDIT_MAX = 16 };

void
nmq_aliases_reset(nmq_aliases *aliases, uint16_t max)
{
    for (uint32_t i = 0; aliases->slots != NULL && i < aliases->max; i++) {
        nmq_free((void *) (uintptr_t) aliases->slots[i].topic_name.at);
    }
    nmq_free(aliases->slots);
    *aliases = (nmq_aliases){.max = max};
}

// At most the client's maximum [MQTT-3.3.2-11], none if that is 0 [MQTT-3.1.2-27].
uint16_t
nmq_aliases_find(nmq_aliases *aliases, nmq_bytes topic_name, bool *known)
{
    *known = false;
    if (aliases->max == 0 || topic_name.len < NAME_MIN_BYTES) {
        return 0;
    }
    uint16_t index = (uint16_t) (nmq_bytes_hash(topic_name) % aliases->max);
    if (aliases->slots != NULL) {
        nmq_alias_slot *slot = &aliases->slots[index];
        *known =
            slot->topic_name.at != NULL && nmq_bytes_equal(slot->topic_name, topic_name);
        if (!*known && slot->credit > 0) {
            slot->credit--;
            return 0;
        }
        if (*known && slot->credit < CREDIT_MAX) {
            slot->credit += CREDIT_USE;
        }
    }
    return (uint16_t) (index + 1);
}

int
nmq_aliases_learn(nmq_aliases *aliases, uint16_t alias, nmq_bytes topic_name)
{
    nmq_bytes copy;

    if (aliases->slots == NULL) {
        aliases->slots = nmq_zalloc(aliases->max * sizeof *aliases->slots);
    }
    if (aliases->slots == NULL || nmq_bytes_copy(topic_name, &copy) != NMQ_OK) {
        return NMQ_ENOMEM;
    }
    nmq_alias_slot *slot = &aliases->slots[alias - 1];
    nmq_free((void *) (uintptr_t) slot->topic_name.at);
    *slot = (nmq_alias_slot){.topic_name = copy, .credit = CREDIT_FIRST};
    return NMQ_OK;
}
