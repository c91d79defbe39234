"""A broker with one bridge, which dials until it is up: ``-m tests.bridging_process start``.

BRIDGE_PORT  the port of the other broker
"""

from __future__ import annotations

import os
import sys
import threading

from nanomq_py.cli import main
from nanomq_py.core import binding
from nanomq_py.core.bridging import BridgeOptions, BridgeState, Bridging, Rule

AGAIN_S = 0.02
OPTIONS = BridgeOptions(
    "one",
    "edge-1",
    (Rule("out/#", "out/", "edge/", qos=2),),
    (Rule("cmd/#", "cmd/", "from/", qos=2),),
    receive_maximum=50,
)
stops = threading.Event()
accept, shutdown = binding.Core.accept, binding.Core.shutdown


def keep_up(bridging: Bridging) -> None:
    """Dial whenever the bridge is down, until the broker stops."""
    number = bridging.put(OPTIONS)
    while not stops.wait(AGAIN_S):
        if bridging.stats(number).state == BridgeState.IDLE:
            bridging.dial(number, "127.0.0.1", int(os.environ["BRIDGE_PORT"]))


def first_accept(core: binding.Core, number: int) -> None:
    binding.Core.accept = accept  # type: ignore[method-assign]
    accept(core, number)
    keeper = threading.Thread(target=keep_up, args=(core.bridging(),))
    keeper.start()

    def last_shutdown(core: binding.Core, timeout_ms: int) -> None:
        stops.set()
        keeper.join()
        shutdown(core, timeout_ms)

    binding.Core.shutdown = last_shutdown  # type: ignore[method-assign]


binding.Core.accept = first_accept  # type: ignore[method-assign]
# The configuration has no bridge, and does not end this one.
Bridging.end_orphans = lambda _: 0  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(main())
