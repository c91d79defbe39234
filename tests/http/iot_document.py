"""The examples of iot-platform-api-v1.txt, whose JSON has typos and is cut by pages.

Commas and colons are not looked at, a bracket that is wrong closes what is open, and what a
page has cut is put together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.http.documented import DOCUMENTS, Example

PREFIX = "/iot/api/v1"
_DEFINED = re.compile(r"\{HOST\}" + PREFIX + r"(/\S*(?:\{[^}]*\}\S*)?)\s+([A-Z]+)\s+```")
_BLOCK = re.compile(r"^```\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[{}\[\]]', re.DOTALL)
_ENDS = {"{": "}", "[": "]"}


def _unmatched(tokens: list[str]) -> tuple[int, int]:
    """Return how many brackets close nothing, and how many are not closed."""
    closing = opened = 0
    for token in tokens:
        if token in "{[":
            opened += 1
        elif token in "}]":
            closing, opened = (closing, opened - 1) if opened else (closing + 1, opened)
    return closing, opened


def _joined(blocks: list[str]) -> list[str]:
    """Return the tokens of blocks that are one example."""
    whole: list[str] = []
    for block in blocks:
        tokens = _TOKEN.findall(block)
        for _ in range(_unmatched(tokens)[0] - _unmatched(whole)[1] if whole else 0):
            whole.pop()  # a bracket that the page's end has added
        whole += tokens
    return whole


def _value(tokens: Iterator[str], first: str) -> Any:
    if first not in _ENDS:
        return json.loads(first.replace("\n", " "))
    values = []
    for token in tokens:
        if token in "}]":
            if token != _ENDS[first]:
                continue  # it closes something else, which the end of all closes
            break
        values.append(_value(tokens, token))
    return values if first == "[" else dict(zip(values[::2], values[1::2], strict=True))


def read(blocks: list[str]) -> Any:
    """Return what the JSON of these blocks means."""
    tokens = iter(_joined(blocks))
    return _value(tokens, next(tokens))


def _sections(text: str) -> Iterator[tuple[re.Match[str], str]]:
    starts = [*_DEFINED.finditer(text)]
    ends = [text.rindex("\n\n", 0, start.start()) for start in starts[1:]] + [len(text)]
    for start, end in zip(starts, ends, strict=True):
        yield start, text[start.end() : end].partition("- NOTE")[0]


def examples() -> list[Example]:
    """Return the endpoints of the document, but for remote control, in its order.

    path   below the prefix, with the query of the example
    """
    text = (DOCUMENTS / "iot-platform-api-v1.txt").read_text().replace("\f", "")
    text = text[: text.rindex("\nRemote Control\n")]
    made = []
    for start, section in _sections(text):
        asked, _, answered = section.partition("- RESPONSE:")
        given = _BLOCK.findall(asked)
        query = "".join(each.strip() for each in given if each.startswith("?"))
        bodies = [each for each in given if each.lstrip().startswith("{")]
        body = read(bodies) if bodies else None
        answer = read(_BLOCK.findall(answered))
        made.append(Example(start[2], start[1] + query, body, answer))
    return made
