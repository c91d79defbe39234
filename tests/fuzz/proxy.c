// Promise: whatever the bytes, a PROXY header asks for more, is refused, or is taken; it is
// taken once its last byte is there and not before, and only then is the peer another.
#include <assert.h>
#include <string.h>

#include "base/status.h"
#include "io/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const nmq_peer balancer = nmq_peer_ip4((const uint8_t[4]){192, 0, 2, 1}, 1);
    nmq_peer peer = balancer;
    int took = nmq_proxy_read((nmq_bytes){data, size}, &peer);

    assert(took >= 0 || took == NMQ_EMALFORMED);
    assert(took <= (int) size || took < 0);
    if (took <= 0) {
        assert(memcmp(&peer, &balancer, sizeof peer) == 0);
        return 0;
    }
    nmq_peer early = balancer, again = balancer;
    assert(nmq_proxy_read((nmq_bytes){data, (size_t) took - 1}, &early) == 0);
    assert(memcmp(&early, &balancer, sizeof early) == 0);
    assert(nmq_proxy_read((nmq_bytes){data, (size_t) took}, &again) == took);
    assert(memcmp(&peer, &again, sizeof peer) == 0);
    assert(peer.address_len == 4 || peer.address_len == 16);
    assert(strlen(nmq_peer_name(&peer).text) < sizeof(nmq_peer_text));
    return 0;
}
