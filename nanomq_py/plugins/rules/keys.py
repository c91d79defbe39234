"""Keys of the rules: ``plugins.rules``."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.family import NUMBER, family
from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.declare.section import Section
from nanomq_py.config.values.kind import BadValue
from nanomq_py.config.values.numbers import Size, Whole
from nanomq_py.config.values.texts import List, Text
from nanomq_py.plugins.rules.faults import RuleFault
from nanomq_py.plugins.rules.parsing import parsed


@dataclass(frozen=True)
class Sql(Text):
    """A statement; NanoMQ's files have quotes around it."""

    @property
    def expected(self) -> str:
        return "a statement of SQL"

    def parse(self, text: str) -> str:
        bare = super().parse(text).strip()
        if len(bare) > 1 and bare[0] == bare[-1] == '"':
            bare = bare[1:-1]
        if bare:
            try:
                parsed(bare)
            except RuleFault as fault:
                raise BadValue(f"{self.expected}: {fault}") from None
        return bare


@dataclass(frozen=True, kw_only=True)
class FileRule(Checked):
    """A rule as NanoMQ writes it: what it selects, and one action or two."""

    sql: str = key("sql", Sql(), "", "The statement; NanoMQ's rule.event.publish.N.sql.")
    table: str = key(
        "table",
        Text(),
        "",
        "The table of SQLite that rows are put into; NanoMQ's rule.sqlite.N.table.",
    )
    topic: str = key(
        "topic",
        Text(),
        "",
        "The topic that rows are published to; NanoMQ's rule.repub.N.topic.",
    )
    address: str = key(
        "address",
        Text(),
        "",
        "Where that topic is: this broker; NanoMQ's rule.repub.N.address.",
    )


@dataclass(frozen=True, kw_only=True)
class Keys(Checked):
    folder: str = key(
        "folder",
        Text(),
        "",
        "Folder of the files that rules write. Empty: beside the store, named as it is with"
        " -rules behind.",
    )
    max_rules: int = key("max_rules", Whole(1, 10_000), 1000, "Rules that there may be.")
    max_messages: int = key(
        "max_messages",
        Whole(1, 10_000_000),
        100_000,
        "Messages that may wait for one rule. From half of it on publishers wait; over it,"
        " while the rule does nothing, they are dropped and counted.",
    )
    max_bytes: int = key(
        "max_bytes", Size(1024, 1 << 40), 64 << 20, "Bytes of those messages."
    )
    allow: tuple[str, ...] = key(
        "allow",
        List(),
        (),
        "Hosts and networks that web hooks of rules may tell: hooks.example.com, *.corp,"
        " 10.1.0.0/16. Empty: any but link-local addresses and metadata services.",
    )
    sqlite_path: str = key(
        "sqlite_path",
        Text(),
        "rules.db",
        "File of the tables of the configuration's rules: a name in the folder, or a whole"
        " path; NanoMQ's rule.sqlite.path.",
    )
    rules: tuple[FileRule, ...] = family(
        "rule", FileRule, NUMBER, help="Rules.", is_sparse=True, required=("sql",)
    )


SECTION = Section("plugins.rules", Keys, "Rules: see docs/rules.md")
