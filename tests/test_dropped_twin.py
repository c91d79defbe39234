"""A message that waits twice in one queue, and goes once."""

from __future__ import annotations

import time

from tests._core_test import ffi, lib
from tests.eventually import eventually
from tests.journaled import journaled, replayed, saved, state
from tests.test_journal import consume

EXPIRES_S = 1


def test_the_one_that_goes_is_not_the_one_that_was_carried() -> None:
    """The first was handed out and told again; the second has expired behind it."""
    with journaled() as home:
        consumers = lib.nmq_broker_consumers(home.broker)
        number = consume(home, "rules", "t/#", "$share/g/#")
        by = home.client()
        by.connect("by")
        expiry = b"\x02" + EXPIRES_S.to_bytes(4, "big")
        by.publish("t/1", b"twin", qos=1, packet_id=1, properties=expiry)
        until = time.monotonic() + EXPIRES_S
        by.publish("t/2", b"last", qos=1, packet_id=2)
        by.ping()
        feed = ffi.new("nmq_feed **")
        assert lib.nmq_feed_new(1, False, feed) == 0  # it has room for one
        assert lib.nmq_consumers_take(consumers, number, feed[0]) == 1
        lib.nmq_feed_unref(feed[0])
        at = home.begin_anew()
        while home.kinds().count("carried") < 1:
            assert home.retell(1) is False
        eventually(lambda: time.monotonic() > until + 0.1)
        assert lib.nmq_feed_new(1 << 20, False, feed) == 0
        assert lib.nmq_consumers_take(consumers, number, feed[0]) == 2
        lib.nmq_feed_unref(feed[0])
        assert home.retell()
        assert lib.nmq_consumers_ack(consumers, number, 1) == 0
        home.stop()
        then = state(saved(home.broker))
        for log in (home.log(), home.log()[at:]):
            with replayed(log) as broker:
                assert state(saved(broker)).sessions == then.sessions
