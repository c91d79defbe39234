"""Texts with places for values, as Erlang's ``io_lib:format`` has them.

Source   io_lib of Erlang/OTP: ``~F.P.PadModC``, of which F, P and the controls below are known
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.functions.table import number, text, whole
from nanomq_py.plugins.rules.sql.values import MOST_TEXT, text_of

_CONTROL = re.compile(r"~(-?[0-9]{0,6})(?:\.([0-9]{0,3}))?t?([a-zA-Z~])|~")


def _shown(value: Any, precision: str) -> str:
    del precision
    return text_of(value)


def _text(value: Any, precision: str) -> str:
    shown = text(value) if type(value) is str else text_of(value)
    return shown[: int(precision)] if precision else shown


_CONTROLS: dict[str, Callable[[Any, str], str]] = {
    "s": _text,
    "p": _shown,
    "w": _shown,
    "b": lambda value, _: str(whole(value)),
    "f": lambda value, precision: f"{number(value):.{precision or 6}f}",
    "e": lambda value, precision: f"{number(value):.{precision or 5}e}",
}
_FIXED = {"n": "\n", "~": "~"}


def formatted(form: str, values: Sequence[Any]) -> str:
    """Return the text with its values. Raises RuleError for too many or too few of them."""
    waiting, made, end, length = list(values), [], 0, 0
    for control in _CONTROL.finditer(form):
        made.append(form[end : control.start()])
        made.append(_replaced(control, waiting))
        length += len(made[-1])
        if length > MOST_TEXT:
            raise RuleError(f"a text of more than {MOST_TEXT} characters")
        end = control.end()
    if waiting:
        raise RuleError(f"{len(waiting)} values without a place")
    made.append(form[end:])
    return "".join(made)


def _replaced(control: re.Match[str], waiting: list[Any]) -> str:
    width, precision, letter = control.groups(default="")
    if letter in _FIXED:
        return _FIXED[letter]
    if letter not in _CONTROLS:
        raise RuleError(f"expected one of ~s ~p ~w ~b ~f ~e ~n ~~, not {control[0]}")
    if not waiting:
        raise RuleError(f"no value for {control[0]}")
    shown = _CONTROLS[letter](waiting.pop(0), precision)
    if not width.lstrip("-"):
        return shown
    wide = int(width)
    if abs(wide) > MOST_TEXT // 64:
        raise RuleError("expected a width of 16384 at most")
    return shown.ljust(-wide) if wide < 0 else shown.rjust(wide)
