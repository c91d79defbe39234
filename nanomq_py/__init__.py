"""nanomq-py: an MQTT broker with a C core, for Python programs and edge gateways."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nanomq_py.version import __version__

if TYPE_CHECKING:
    from nanomq_py.broker import Batch, Broker, Consumer, Identity, Message, Tap
    from nanomq_py.config import Config, ConfigError, load

__all__ = [
    "Batch",
    "Broker",
    "Config",
    "ConfigError",
    "Consumer",
    "Identity",
    "Message",
    "Tap",
    "__version__",
    "load",
]


def __getattr__(name: str) -> object:
    # Imported when first asked for: the command line sets nng up before it loads the core.
    if name in ("Batch", "Broker", "Consumer", "Identity", "Message", "Tap"):
        from nanomq_py import broker

        return getattr(broker, name)
    if name in ("Config", "ConfigError", "load"):
        from nanomq_py import config

        return getattr(config, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
