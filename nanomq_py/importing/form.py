"""Which broker a configuration file is of."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from nanomq_py.config.faults import ConfigError
from nanomq_py.config.reader import read_text
from nanomq_py.importing.draft import Draft
from nanomq_py.importing.emqx import read_emqx
from nanomq_py.importing.mosquitto import read_mosquitto
from nanomq_py.importing.nested import read_nanomq

FORMS: Mapping[str, Callable[[Path], Draft]] = {
    "mosquitto": read_mosquitto,
    "emqx": read_emqx,
    "nanomq": read_nanomq,
}
# A line that only one of them has.
_OF_MOSQUITTO = re.compile(
    r"^[^\S\n]*(?:listener|protocol|persistence|allow_anonymous|log_dest|log_type|port"
    r"|password_file|acl_file|include_dir|connection|per_listener_settings"
    r"|persistence_location)[^\S\n]+[^\s={:]",
    re.MULTILINE,
)
_OF_EMQX = re.compile(
    r"^[^\S\n]*(?:node\.|node\s*\{|cluster\.|cluster\s*\{|zone\.external\.|dashboard\.?"
    r"|listener\.(?:tcp|ssl|ws|wss)\.(?:external|internal)|authentication\b"
    r"|listeners\.(?:tcp|ssl|ws|wss)\.[\w-]+(?:\.bind|\s*\{))",
    re.MULTILINE,
)


def form_of(path: Path) -> str:
    """Return whose form a file has.

    Raises   ConfigError where it cannot be read, or could be anybody's
    """
    text = read_text(path)
    if _OF_MOSQUITTO.search(text) is not None:
        return "mosquitto"
    if _OF_EMQX.search(text) is not None:
        return "emqx"
    if re.search(r"^[^\S\n]*[\w.\"-]+\s*[={]", text, re.MULTILINE) is not None:
        return "nanomq"
    raise ConfigError(f"{path}: whose is it? expected --form {' or '.join(FORMS)}")
