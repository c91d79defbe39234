"""Regular expressions, of which every one ends soon.

Python's ``re`` tries again with each other way to match, and has no limit of its own. So a
pattern has no construct with which the ways grow exponentially: nothing that varies inside a
repetition, no alternatives there, no references, nothing looked at ahead or behind. What is
left takes ``length ** (repetitions + 1)`` steps at most, and a text may be so long that this is
no more than MOST_STEPS, some 50 ms. All searches of one message together take no more than
MOST_TOGETHER: FOREACH can search one text for each of its items.

Source   EMQX 4.4, emqx_rule_funcs; Erlang's ``re:replace`` for ``&`` and ``\\1``
"""

from __future__ import annotations

import re
import sys
import threading
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.functions.table import known, text
from nanomq_py.plugins.rules.sql.values import MOST_TEXT

if sys.version_info >= (3, 11):
    from re import _parser as sre_parse  # type: ignore[attr-defined]
else:
    import sre_parse

MOST_PATTERN = 256  # characters
MOST_STEPS = 1 << 24
MOST_TOGETHER = 1 << 28
MOST_SEARCHED = 1 << 16  # characters of a text that is searched
_FEW = 16  # a repetition that varies by no more counts as so many alternatives

_REPEATS = ("MAX_REPEAT", "MIN_REPEAT")
_PLAIN = ("LITERAL", "NOT_LITERAL", "IN", "ANY", "AT")


@dataclass
class Cost:
    """What a search takes at most: ``ways * length ** (repeats + starts)`` steps."""

    ways: int = 1
    repeats: int = 0
    starts: int = 1

    def steps(self, length: int) -> int:
        return self.ways * int(length ** (self.repeats + self.starts))

    @property
    def most_characters(self) -> int:
        exponent = self.repeats + self.starts
        if not exponent:
            return MOST_SEARCHED
        steps = MOST_STEPS // self.ways
        length = round(steps ** (1 / exponent))
        return int(min(MOST_SEARCHED, length - (length**exponent > steps)))


@dataclass(frozen=True)
class Pattern:
    """A pattern, what it costs, and the characters of a text that it may search."""

    compiled: re.Pattern[str]
    cost: Cost
    most_characters: int

    def check(self, value: str) -> None:
        if len(value) > self.most_characters:
            raise RuleError(
                f"a text of {len(value)} characters: this pattern searches"
                f" {self.most_characters} at most"
            )
        _steps.left -= self.cost.steps(len(value))
        if _steps.left < 0:
            raise RuleError("patterns that take too many steps together")


class _Steps(threading.local):
    """Steps that searches of the message that is under way may still take."""

    left = MOST_TOGETHER


_steps = _Steps()


def count_anew() -> None:
    """Begin with another message."""
    _steps.left = MOST_TOGETHER


def pattern(value: Any) -> Pattern:
    return _pattern(text(value))


@lru_cache(maxsize=256)
def _pattern(value: str) -> Pattern:
    if len(value) > MOST_PATTERN:
        raise RuleError(f"expected a pattern of at most {MOST_PATTERN} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a later Python reads otherwise
            parsed = sre_parse.parse(value, re.ASCII)
            compiled = re.compile(value, re.ASCII)
    except (re.error, OverflowError, RecursionError) as fault:
        raise RuleError(f"no regular expression: {fault}") from None
    cost = Cost()
    if _begins_at_the_beginning(parsed):
        cost.starts = 0
    _count(parsed, cost, repeated=False)
    if not cost.most_characters:
        raise RuleError("a pattern that takes too many steps")
    return Pattern(compiled, cost, cost.most_characters)


def _begins_at_the_beginning(parsed: Any) -> bool:
    """Return whether it is tried at the beginning of a text alone."""
    return (
        bool(parsed)
        and [str(each) for each in parsed[0]] == ["AT", "AT_BEGINNING"]
        and not parsed.state.flags & re.MULTILINE
    )


def _count(parts: Iterable[Any], cost: Cost, *, repeated: bool) -> None:
    """Add what these parts of a pattern cost. Raises RuleError for what has no bound."""
    for code, value in parts:
        name = str(code)
        if name in _REPEATS:
            least, most, body = value
            _count_repeat(int(least), int(most), cost, repeated=repeated)
            _count(body, cost, repeated=repeated or int(most) > 1)
        elif name == "SUBPATTERN":
            _count(value[-1], cost, repeated=repeated)
        elif name == "BRANCH" and not repeated:
            cost.ways += len(value[1])
            for branch in value[1]:
                _count(branch, cost, repeated=False)
        elif name not in _PLAIN:
            raise RuleError(f"a pattern with {_REFUSED.get(name, name.lower())}")


_REFUSED = {
    "BRANCH": "alternatives inside a repetition",
    "GROUPREF": "a reference to a group",
    "GROUPREF_EXISTS": "a condition",
    "ASSERT": "what looks ahead or behind",
    "ASSERT_NOT": "what looks ahead or behind",
    "ATOMIC_GROUP": "an atomic group",
    "POSSESSIVE_REPEAT": "a possessive repetition",
}


def _count_repeat(least: int, most: int, cost: Cost, *, repeated: bool) -> None:
    if least == most:
        cost.ways *= max(most, 1)  # parts without a character could be repeated without end
        return
    if repeated:
        raise RuleError("a pattern with a repetition inside a repetition")
    if most - least > _FEW:
        cost.repeats += 1
    else:
        cost.ways *= most - least + 1


@known("regex_match", text, pattern)
def regex_match(value: str, pattern: Pattern) -> bool:
    """whether the pattern is found in the text"""
    pattern.check(value)
    return pattern.compiled.search(value) is not None


@known("regex_extract", text, pattern)
def regex_extract(value: str, pattern: Pattern) -> list[str]:
    """an array of what the groups of the pattern have, where it is first found"""
    pattern.check(value)
    match = pattern.compiled.search(value)
    return [group or "" for group in match.groups()] if match else []


_REPLACEMENT = re.compile(r"\\([0-9])|\\(.)|(&)", re.DOTALL)


@known("regex_replace", text, pattern, text)
def regex_replace(value: str, pattern: Pattern, replacement: str) -> str:
    """the text with each place where the pattern is found replaced; `&` is what is found there,
    `\\\\1` a group"""
    pattern.check(value)
    left = MOST_TEXT

    def replaced(match: re.Match[str]) -> str:
        nonlocal left
        made = _filled(replacement, match)
        left -= len(made)
        if left < 0:
            raise RuleError(f"a text of more than {MOST_TEXT} characters")
        return made

    return pattern.compiled.sub(replaced, value)


def _filled(replacement: str, match: re.Match[str]) -> str:
    if len(replacement) > MOST_PATTERN:
        raise RuleError(f"expected a replacement of at most {MOST_PATTERN} characters")

    def part(place: re.Match[str]) -> str:
        number, character, _ = place.groups()
        if character is not None:
            return str(character)
        group = int(number or 0)
        if group > match.re.groups:
            raise RuleError(f"the pattern has no group {group}")
        return match[group] or ""

    return _REPLACEMENT.sub(part, replacement)
