"""Configuration: the declaration of every key, the file in its two forms, what changed."""

from nanomq_py.config.entries import ConfigError
from nanomq_py.config.model import Config
from nanomq_py.config.reader import load, parse

__all__ = ["Config", "ConfigError", "load", "parse"]
