"""What ``csrc/*.def`` declare: the reader, and what cffi and Python need of it.

C includes these files; ``build_ext.py`` reads them here. Each declaration is ``FORM(value,
value, ...)``; a value is a word, a number or a text (one or more "..." in a row). Comments
and lines of the preprocessor are passed over. All else is an error that names its line.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"

TOKEN = re.compile(
    r"""(?P<skip>\s+|//[^\n]*|^\#[^\n]*)
      | (?P<text>"(?:[^"\\\n]|\\["\\])*")
      | (?P<word>\w+)
      | (?P<mark>[(),])""",
    re.VERBOSE | re.MULTILINE,
)
LIMITS = {
    "UINT8_MAX": 2**8 - 1,
    "UINT16_MAX": 2**16 - 1,
    "UINT32_MAX": 2**32 - 1,
    "UINT64_MAX": 2**64 - 1,
}
INTEGERS = {"uint8_t", "uint16_t", "uint32_t", "uint64_t"}


class DeclarationError(Exception):
    """What stands in a table is no declaration; the text says where, and what is."""


@dataclass(frozen=True)
class Line:
    """One declaration."""

    form: str
    values: dict[str, str]
    where: str  # FILE:LINE

    def __getitem__(self, name: str) -> str:
        return self.values[name]


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    where: str


def _tokens(text: str, name: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        where = f"{name}:{text.count(chr(10), 0, at) + 1}"
        found = TOKEN.match(text, at)
        if found is None:
            raise DeclarationError(f"{where}: {text[at : at + 20]!r} is no part of a value")
        if found.lastgroup != "skip":
            yield _Token(str(found.lastgroup), found[0], where)
        at = found.end()


def _values(tokens: list[_Token], where: str) -> list[str]:
    """Take ``(value, value, ...)`` from the front of the tokens."""

    def take(kind: str, text: str = "") -> str:
        if not tokens or tokens[0].kind != kind or (text and tokens[0].text != text):
            found = (
                f"{tokens[0].where}: {tokens[0].text}" if tokens else f"{where}: the end"
            )
            raise DeclarationError(f"{found}: expected {text or 'a ' + kind}")
        return tokens.pop(0).text

    def is_next(kind: str) -> bool:
        return bool(tokens) and tokens[0].kind == kind

    values = []
    take("mark", "(")
    while True:
        if is_next("text"):
            parts = []
            while is_next("text"):
                parts.append(take("text")[1:-1])
            values.append('"' + re.sub(r"\\(.)", r"\1", "".join(parts)))
        else:
            values.append(take("word"))
        if tokens and tokens[0].text == ",":
            tokens.pop(0)
            continue
        take("mark", ")")
        return values


CHECKS: dict[str, tuple[Callable[[str], object], str]] = {
    "ID": (re.compile(r"[A-Z][A-Z0-9_]*\Z").match, "a name in capitals"),
    "FIRST": (re.compile(r"[A-Z][A-Z0-9_]*\Z").match, "a name in capitals"),
    "LAST": (re.compile(r"[A-Z][A-Z0-9_]*\Z").match, "a name in capitals"),
    "name": (re.compile(r"[a-z][a-z0-9_]*\Z").match, "a name"),
    "type": (lambda v: v in INTEGERS or v == "bool", "an unsigned integer type or bool"),
    "least": (lambda v: v in LIMITS or v.isdecimal(), "a whole number"),
    "most": (lambda v: v in LIMITS or v.isdecimal(), "a whole number"),
    "topics": (lambda v: v.startswith('"'), "a text"),
    "load": (lambda v: v.startswith('"'), "a text"),
    "kind": (lambda v: v in ("counter", "gauge"), "counter or gauge"),
    "fields": (
        re.compile(
            r'"(?:(?:client\??|message|\w+:(?:text|why|int|bool))(?: |$))+'
        ).fullmatch,
        "fields of an event",
    ),
    "help": (lambda v: len(v) > 1 and v.startswith('"'), "a text"),
}


def _line(form: str, names: tuple[str, ...], values: list[str], where: str) -> Line:
    if len(values) != len(names):
        raise DeclarationError(
            f"{where}: {form} takes {len(names)} values ({', '.join(names)}), not {len(values)}"
        )
    for name, value in zip(names, values, strict=True):
        fits, expected = CHECKS[name]
        if not fits(value):
            raise DeclarationError(f"{where}: {name} {value}: expected {expected}")
    line = Line(
        form, {n: v.removeprefix('"') for n, v in zip(names, values, strict=True)}, where
    )
    if "ID" in names and "name" in names and line["ID"] != line["name"].upper():
        raise DeclarationError(f"{where}: {line['ID']} is not {line['name']} in capitals")
    return line


def read(text: str, name: str, forms: dict[str, tuple[str, ...]]) -> list[Line]:
    """Return the declarations of a table.

    forms    the names of the values of each form
    Raises   DeclarationError
    """
    tokens = list(_tokens(text, name))
    lines: list[Line] = []
    while tokens:
        first = tokens.pop(0)
        if first.text not in forms:
            raise DeclarationError(
                f"{first.where}: {first.text}: expected {' or '.join(forms)}"
            )
        values = _values(tokens, first.where)
        lines.append(_line(first.text, forms[first.text], values, first.where))
    return lines


def _alone(lines: Sequence[Line], key: str = "name") -> None:
    seen: dict[str, Line] = {}
    for line in lines:
        other = seen.setdefault(line[key], line)
        if other is not line:
            raise DeclarationError(
                f"{line.where}: {line[key]} is declared at {other.where} already"
            )


@dataclass(frozen=True)
class Tables:
    """All that is declared."""

    options: list[Line]
    stats: list[Line]  # fields of nmq_stats
    memory: list[Line]  # fields of nmq_memory
    logged: list[Line]  # fields of nmq_durability_stats
    notes: list[Line]  # on the ring
    events: list[Line]
    whys: list[Line]  # of events
    reasons: dict[str, str]  # Reason Codes, as mqtt/reason.h has them


OPTION_FORMS = {
    "OPTION": ("type", "name", "least", "most", "help"),
    "TEXT": ("name", "help"),
}
METRIC_FORMS = {
    "COUNTER": ("ID", "name", "topics", "load", "help"),
    "LEVEL": ("ID", "name", "topics", "help"),
    "SUM": ("name", "FIRST", "LAST", "topics", "load", "help"),
    "GAUGE": ("name", "topics", "help"),
    "HOLDER": ("name", "topics", "help"),
    "LOGGED": ("kind", "name", "topics", "help"),
}
EVENT_FORMS = {
    "NOTE": ("ID", "help"),
    "EVENT": ("ID", "name", "fields", "help"),
    "WHY": ("ID", "name", "help"),
}


def tables() -> Tables:
    """Read all of them. Raises DeclarationError."""

    def table(name: str, forms: dict[str, tuple[str, ...]]) -> list[Line]:
        return read((CSRC / name).read_text(encoding="utf-8"), f"csrc/{name}", forms)

    metrics = table("metrics.def", METRIC_FORMS)
    told = table("events.def", EVENT_FORMS)
    reason = (CSRC / "mqtt" / "reason.h").read_text(encoding="utf-8")
    made = Tables(
        options=table("options.def", OPTION_FORMS),
        stats=[line for line in metrics if line.form not in ("HOLDER", "LOGGED")],
        memory=[line for line in metrics if line.form == "HOLDER"],
        logged=[line for line in metrics if line.form == "LOGGED"],
        notes=[line for line in told if line.form == "NOTE"],
        events=[line for line in told if line.form == "EVENT"],
        whys=[line for line in told if line.form == "WHY"],
        reasons=dict(re.findall(r"\bNMQ_RC_(\w+) = (0x\w\w),", reason)),
    )
    for lines in (made.options, made.stats, made.memory, made.logged):
        _alone(lines)
    for lines in (made.notes, made.events, made.whys):
        _alone(lines, "ID")
    return made


def for_cffi(made: Tables) -> str:
    """Return the declarations that C's preprocessor makes of the tables."""

    def struct(name: str, fields: Sequence[str]) -> str:
        return (
            "typedef struct {\n" + "".join(f"    {f};\n" for f in fields) + f"}} {name};\n"
        )

    options = [f"{o['type'] if o.form == 'OPTION' else 'const char *'} {o['name']}"
               for o in made.options]  # fmt: skip

    def enum(name: str, prefix: str, lines: Sequence[Line]) -> str:
        members = "".join(f", {prefix}_{line['ID']}" for line in lines)
        return f"enum {name} {{ {prefix}_NONE{members} }};\n"

    return (
        enum("nmq_note_kind", "NMQ_NOTE", made.notes)
        + enum("nmq_event_kind", "NMQ_EVENT", made.events)
        + enum("nmq_why", "NMQ_WHY", made.whys)
        + struct("nmq_options", options)
        + struct("nmq_stats", [f"uint64_t {m['name']}" for m in made.stats])
        + struct("nmq_memory", [f"uint64_t {m['name']}" for m in made.memory])
        + struct("nmq_durability_stats", [f"uint64_t {m['name']}" for m in made.logged])
    )


HEAD = '''\
"""What csrc/*.def and mqtt/reason.h declare, for Python. Written by build_ext.py."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from nanomq_py.core.metric import Metric
'''


def comment(text: str) -> str:
    return (
        textwrap.fill(text, 92, initial_indent="    # ", subsequent_indent="    # ") + "\n"
    )


def _record(
    name: str, doc: str, fields: Sequence[tuple[str, str]], *, keywords: bool
) -> str:
    arguments = "frozen=True, kw_only=True" if keywords else "frozen=True"
    body = "".join(comment(help) + f"    {field}\n" for field, help in fields)
    return f'\n\n@dataclass({arguments})\nclass {name}:\n    """{doc}"""\n\n{body}'


def _option(line: Line) -> tuple[str, str]:
    if line.form == "TEXT":
        return f"{line['name']}: str | None", line["help"]
    if line["type"] == "bool":
        return f"{line['name']}: bool", line["help"]
    return f"{line['name']}: int", f"{line['help']}; from {line['least']} to {line['most']}"


def _enum(name: str, doc: str, members: Sequence[tuple[str, str, str]]) -> str:
    body = "".join(
        (comment(help) if help else "") + f"    {member} = {value}\n"
        for member, value, help in members
    )
    return f'\n\nclass {name}(IntEnum):\n    """{doc}"""\n\n{body}'


def _metric(line: Line) -> str:
    counts = line.form in ("COUNTER", "SUM") or line.values.get("kind") == "counter"
    kind = "counter" if counts else "gauge"
    owner = {"HOLDER": "memory_", "LOGGED": "store_"}.get(line.form, "")
    exported = f"nanomq_{owner}{line['name']}" + ("_total" if kind == "counter" else "")
    topics = tuple(line["topics"].split("|")) if line["topics"] else ()
    values = [
        line["name"],
        kind,
        topics,
        line.values.get("load", ""),
        exported,
        line["help"],
    ]
    return (
        "    Metric(\n" + "".join(f"        {value!r},\n" for value in values) + "    ),\n"
    )


def _metrics(name: str, lines: Sequence[Line]) -> str:
    return f"{name}: tuple[Metric, ...] = (\n" + "".join(map(_metric, lines)) + ")\n"


def for_python(made: Tables) -> str:
    """Return the module ``nanomq_py.core.declared``."""
    number = [(f"{m['name']}: int = 0", m["help"]) for m in made.stats]
    held = [(f"{m['name']}: int = 0", m["help"]) for m in made.memory]
    logged = [(f"{m['name']}: int = 0", m["help"]) for m in made.logged]
    kinds = [(e["ID"], str(n), e["help"]) for n, e in enumerate(made.notes, 1)]
    reasons = [(name, value, "") for name, value in made.reasons.items()]
    return (
        HEAD
        + _record(
            "CoreOptions",
            "``nmq_options``: what the core can be told.",
            [_option(line) for line in made.options],
            keywords=True,
        )
        + _record(
            "Stats", "``nmq_stats``: what is counted and measured.", number, keywords=False
        )
        + _record(
            "Memory", "``nmq_memory``: who holds how many bytes.", held, keywords=False
        )
        + _record(
            "DurabilityStats",
            "``nmq_durability_stats``: what became of changes that are to outlive the"
            " process.",
            logged,
            keywords=False,
        )
        + _enum("NoteKind", "``enum nmq_note_kind``: what a record on the ring is.", kinds)
        + _enum(
            "ReasonCode", "``enum nmq_reason``: Reason Codes of MQTT 5.0 (2.4).", reasons
        )
        + "\n\n# The fields of Stats, of Memory and of DurabilityStats.\n"
        + _metrics("METRICS", made.stats)
        + _metrics("MEMORY", made.memory)
        + _metrics("LOGGED", made.logged)
    )
