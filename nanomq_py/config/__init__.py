"""Configuration: the declaration of every key (model), the file (reader), values (units)."""

from nanomq_py.config.model import Config
from nanomq_py.config.reader import ConfigError, load, parse

__all__ = ["Config", "ConfigError", "load", "parse"]
