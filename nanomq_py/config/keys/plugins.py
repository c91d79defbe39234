"""Keys of plugins: which are loaded. What else begins with ``plugins.`` is theirs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.values.kind import BadValue, Listed

PREFIX = "plugins"
# A switch -> the plugin that is loaded while it is on, whatever ``plugins.load`` says.
IMPLIED = {
    "web.hook.enable": "webhook",
    "rule_option.sqlite": "rules",
    "rule_option.repub": "rules",
}
# ``plugins.load`` is a key of ours.
_NAME = re.compile(r"(?!load\Z)[A-Za-z0-9_-]{1,64}")
# A key of a plugin; group 1 is its name.
_KEY = re.compile(rf"{PREFIX}\.({_NAME.pattern})\..+")


@dataclass(frozen=True)
class Names(Listed):
    """Names of plugins with commas between, each once.

    >>> Names().parse("counter, hooks")
    ('counter', 'hooks')
    """

    expected: str = (
        "names of plugins with commas between, each once: letters, digits, _ and -"
    )

    def parse(self, text: str) -> tuple[str, ...]:
        names = tuple(item.strip() for item in text.split(",") if item.strip())
        if len(set(names)) < len(names) or not all(map(_NAME.fullmatch, names)):
            raise BadValue
        return names


def plugin_of(name: str) -> str | None:
    """Return which plugin a flat name is for; None: it is none of a plugin's.

    >>> plugin_of("plugins.counter.most"), plugin_of("plugins.load"), plugin_of("tls.enable")
    ('counter', None, None)
    """
    found = _KEY.fullmatch(name)
    return found[1] if found else None


@dataclass(frozen=True, kw_only=True)
class Plugins(Checked):
    load: tuple[str, ...] = key(
        "load",
        Names(),
        (),
        "Own key: the installed plugins to load, in this order: see docs/plugins.md. Their own"
        " keys begin with plugins.NAME.",
    )
