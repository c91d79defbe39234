"""Configuration: the declaration of every key, the file in its two forms, what changed."""

from nanomq_py.config.faults import ConfigError
from nanomq_py.config.keys.config import Config
from nanomq_py.config.reader import load, parse

__all__ = ["Config", "ConfigError", "load", "parse"]
