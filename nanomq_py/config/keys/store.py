"""Keys of what the broker keeps in a file of its own: store."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Applies, Checked, key
from nanomq_py.config.values.texts import Text


@dataclass(frozen=True, kw_only=True)
class StoreKeys(Checked):
    path: str = key(
        "path",
        Text(),
        "",
        "Own key: the file of the built-in users, of who is banned and of access rules, made"
        " when it is needed, in a folder where the broker can write. Default: named as the"
        " configuration file with .db, in `$STATE_DIRECTORY`, which systemd gives a service,"
        " in /var/lib/nanomq where the configuration file is below /etc, or beside it. One"
        " that is beside it already is used there.",
        applies=Applies.RESTART,
    )
