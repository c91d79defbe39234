"""Writes NanoMQ's nested form as the flat one, key by key."""

from __future__ import annotations

from pathlib import Path

from nanomq_py.config import Config
from nanomq_py.config.reader import load, parse
from nanomq_py.config.settings import settings_of
from nanomq_py.importing.draft import Draft, Option


def read_nanomq(path: Path) -> Draft:
    """Return the keys that differ from the defaults.

    Raises   ConfigError where the broker would refuse the file
    """
    config: Config = load(path)
    usual = settings_of(parse("", "the defaults"))
    draft = Draft()
    for name, setting in settings_of(config).items():
        default = usual.get(name)
        if default is None or default.text != setting.text:
            draft.put(name, setting.text, Option(name, "", str(path)))
    for missing in config.said.missing:
        draft.lose(Option(missing.called, "", str(path)), missing.loss)
    for name in dict.fromkeys(config.said.ignored):
        draft.skip(Option(name, "", str(path)), "without a meaning in this version")
    return draft
