"""What the commands share: a line of output, and the configuration that they are given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

from nanomq_py.config.declare.section import Sections
from nanomq_py.config.environment import from_environment
from nanomq_py.config.file import ConfFile
from nanomq_py.config.forms.entries import Entry
from nanomq_py.config.values.texts import shown
from nanomq_py.plugins.finding import InstalledPlugins


def say(text: str, to: TextIO | None = None) -> None:
    """Print a line, so that text from a file cannot steer the terminal."""
    print(shown(text), file=to)


def overrides_of(url: str | None, brought: Sections) -> dict[str, Entry]:
    overrides = from_environment(os.environ, brought)
    if url is not None:
        overrides["url"] = Entry("url", url, "--url")
    return overrides


def conf_file(conf: Path | None, brought: Sections, url: str | None = None) -> ConfFile:
    """Read the file with the environment and ``--url`` over it. Raises ConfigError."""
    return ConfFile(conf, overrides_of(url, brought), brought, InstalledPlugins())
