"""What a C file includes, declares, defines and uses, read without a compiler.

It knows as much of C as the core is written in: no function inside ``#if`` with a brace of its
own, no definition made by a macro.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""//(?:[^\n\\]|\\.|\\\n)*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""",
    re.DOTALL,
)
_DIRECTIVE = re.compile(r"^[ \t]*(?:#|%:)(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE | re.DOTALL)
_INCLUDE = re.compile(
    r"^[ \t]*(?:#|%:)[ \t]*(?:include_next|include|import)\b[ \t]*([^\n]*)", re.MULTILINE
)
_NO_OBJECT = {"typedef", "_Static_assert", "static_assert"}


def _lines_of(text: str) -> str:
    return "\n" * text.count("\n")


def without_comments(text: str) -> str:
    """Return the text with each comment made blank; lines keep their numbers."""

    def blank(token: re.Match[str]) -> str:
        found = token[0]
        return " " + _lines_of(found) if found.startswith(("//", "/*")) else found

    return _TOKEN.sub(blank, text)


def without_strings(text: str) -> str:
    """Return a text that has no comments with the content of its strings made blank."""
    return _TOKEN.sub(lambda token: token[0][0] * 2, text)


def includes(text: str) -> list[str]:
    """Return what is included, as written: ``"base/map.h"`` and ``<stdio.h>``."""
    joined = without_comments(text).replace("\\\n", "")
    return [found.strip() for found in _INCLUDE.findall(joined)]


@dataclass(frozen=True)
class Declaration:
    """One function or variable at the top of a file."""

    name: str
    is_defined: bool
    is_static: bool
    is_function: bool
    first_line: int
    last_line: int

    @property
    def lines(self) -> int:
        return self.last_line - self.first_line + 1


_ATTRIBUTE = re.compile(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)")
_TYPE = re.compile(
    r"\s*(?:const\s+)?(?:struct|union|enum)(?:\s+\w+)?\s*(?:\{.*\}\s*)?", re.DOTALL
)


def _name_of(head: str) -> str | None:
    """Return what ``const int *nmq_x(int a)`` or ``int nmq_y[2] = `` declares, if anything."""
    if not head.strip() or head.split()[0] in _NO_OBJECT or _TYPE.fullmatch(head):
        return None
    before = re.split(r"=", re.sub(r"\{.*?\}", " ", head, flags=re.DOTALL))[0]
    found = (
        re.match(r"[^(]*\(\s*\*\s*(?:const\s+)?(\w+)", before)  # a pointer to a function
        or re.match(r"[^(]*?(\w+)\s*\(", before)
        or re.match(r".*?(\w+)\s*(?:\[.*)?$", before.rstrip(), re.DOTALL)
    )
    return found[1] if found else None


def _is_function(head: str) -> bool:
    return re.search(r"\w\s*\(\s*[^*\s]", head.split("=")[0]) is not None


def _top_level(code: str) -> Iterator[tuple[int, int, bool]]:
    """Yield where each declaration begins and ends, and whether it is a function's body."""
    depth = start = 0
    for sign in re.finditer(r"[{};]", code):
        depth += {"{": 1, "}": -1, ";": 0}[sign[0]]
        if depth > 0:
            continue
        head = code[start : sign.end()].split("{")[0].rstrip()
        is_body = sign[0] == "}" and head.endswith(")") and "=" not in head
        if sign[0] == ";" or is_body:
            yield start, sign.end(), is_body
            start = sign.end()


def declarations(text: str) -> Iterator[Declaration]:
    """Yield the functions and variables of a file, in order."""
    code = _DIRECTIVE.sub(
        lambda d: _lines_of(d[0]), without_strings(without_comments(text))
    )
    for start, end, is_body in _top_level(code):
        head = code[start:end].split("{")[0] if is_body else code[start : end - 1]
        head = _ATTRIBUTE.sub(lambda found: " " * len(found[0]), head)
        name = _name_of(head)
        if name is None:
            continue
        words = set(re.findall(r"\w+", re.split(r"[(={]", head)[0]))
        is_function = _is_function(head)
        named = next(re.finditer(rf"\b{name}\b", head)).start()
        yield Declaration(
            name,
            is_defined=is_body or not (is_function or "extern" in words),
            is_static="static" in words,
            is_function=is_function,
            first_line=code.count("\n", 0, start + named) + 1,
            last_line=code.count("\n", 0, end) + 1,
        )


def used_names(text: str) -> set[str]:
    """Return every word of the code, that of macros too."""
    code = without_strings(without_comments(text))
    return set(re.findall(r"[A-Za-z_]\w*", _INCLUDE.sub("", code)))
