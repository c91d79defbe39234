"""The features that NanoMQ has and this version lacks.

Whoever adds a feature removes it here, and makes its names keys of ``Config``.

Source  etc/nanomq_old.conf and etc/nanomq_example.conf of NanoMQ 0.5 to 0.24
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nanomq_py.config.forms.entries import Entry
from nanomq_py.config.keys.plugins import IMPLIED
from nanomq_py.config.keys.said import Missing
from nanomq_py.config.values.words import FLAGS

# A switch of a feature may have two words that a key may not.
ON = frozenset({"enable", "enabled", *(text for text, on in FLAGS.items() if on)})
OFF = frozenset({"disable", "disabled", *(text for text, on in FLAGS.items() if not on)})


@dataclass(frozen=True)
class Feature:
    """A feature that a file can switch on.

    section  in the nested form the feature is on where this section exists; ``*`` is any name
    switch   the flat name whose value switches it on; ``*`` is the same name
    loss     what will not happen
    names    a pattern of its other flat names, which are no keys of ``Config``
    """

    section: str
    switch: str
    loss: str
    names: str = ""


FEATURES = (
    Feature(
        "bridges.mqtt.*.transparent",
        "bridge.mqtt.*.transparent",
        "what clients subscribe to is not subscribed to at the other broker",
    ),
    Feature(
        "bridges.mqtt.cache",
        "bridge.sqlite.enable",
        "there is no file for it: what waits for a bridge is kept as durability says",
        r"bridges?\.(?:mqtt\.)?(?:sqlite|cache)\..+",
    ),
    Feature(
        "bridges.aws.*",
        "aws.bridge.mqtt.*.bridge_mode",
        "no message goes to AWS IoT Core, and none comes from it",
        r"(?:bridges?\.aws|aws)\..+",
    ),
    Feature(
        "rules.*",
        "rule_option.*",
        "no rule puts messages into that database",
        r"rules?\.[a-z_]+(?:\..+)?|rule_option\..+",
    ),
    Feature(
        "exchange_client.*",
        "exchange_client.*.enable",
        "no message is kept in an exchange",
        r"exchange_client\..+",
    ),
    Feature(
        "parquet", "parquet.enable", "no Parquet file is written", r"parquet\..+"
    ),
    Feature("blf", "blf.enable", "no BLF file is written", r"blf\..+"),
    Feature(
        "preset.session.*",
        "preset.session.*.enable",
        "no session is there before its client",
        r"preset\..+",
    ),
    Feature("plugin", "plugin.enable", "no plugin is loaded", r"plugin\..+"),
    Feature("exhook", "exhook.enable", "no gRPC server is asked or told", r"exhook\..+"),
    Feature(
        "gateway.*",
        "gateway.*.enable",
        "no message goes to another protocol, and none comes from it",
        r"gateway\..+",
    ),
)  # fmt: skip


def _pattern(switch: str) -> re.Pattern[str]:
    return re.compile(re.escape(switch).replace(r"\*", r"[^.]+"))


_SWITCHES = [(_pattern(feature.switch), feature) for feature in FEATURES]
_NAMES = re.compile("|".join(f"(?:{f.names})" for f in FEATURES if f.names))


def is_on(text: str) -> bool:
    return text.lower() in ON


def missing_of(entries: Mapping[str, Entry]) -> Iterator[Missing]:
    """Yield the missing features that the entries switch on."""
    for name, entry in entries.items():
        if not is_on(entry.value) or name in IMPLIED:
            continue
        for pattern, feature in _SWITCHES:
            if pattern.fullmatch(name):
                yield Missing(name, entry.called, entry.where, feature.loss)
                break


def is_feature_switch(name: str) -> bool:
    """Return whether the flat name switches a missing feature on."""
    return name == "rule_option" or any(p.fullmatch(name) for p, _ in _SWITCHES)


def belongs_to_missing(name: str) -> bool:
    """Return whether the flat name belongs to a missing feature."""
    return _NAMES.fullmatch(name) is not None or is_feature_switch(name)
