"""Expressions of a statement, made into functions of a row.

A node of lark's tree becomes a Python function once, when the statement is parsed; nothing of
the text is looked at while it runs. Nodes are bounded in depth before (statement.py), so
that recursion here and there is.

Source   EMQX 4.4, emqx_rule_runtime: behaviour, not text
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nanomq_py.plugins.rules.sql.arithmetic import calculated, number
from nanomq_py.plugins.rules.sql.errors import RuleError
from nanomq_py.plugins.rules.sql.functions.table import Check, Function, called
from nanomq_py.plugins.rules.sql.grammar import Node
from nanomq_py.plugins.rules.sql.paths import (
    LITERALS,
    Evaluate,
    constant,
    literal,
    numbers,
    part,
    path,
    wrong,
)
from nanomq_py.plugins.rules.sql.rows import Row
from nanomq_py.plugins.rules.sql.values import (
    COMPARISONS,
    UNDEFINED,
    bounded,
    bounded_number,
    compare,
    kind_of,
    same,
)
from nanomq_py.plugins.topics import matcher


def expression(node: Node) -> Evaluate:
    """Return what evaluates a node. Raises SqlError for what cannot be."""
    return _EXPRESSIONS[node.data](node)


def _expressions(nodes: Sequence[Any]) -> list[Evaluate]:
    return [expression(each) for each in nodes]


def condition(node: Node, clause: str) -> Callable[[Row], bool]:
    """Return what tells whether a row meets a condition; undefined and null do not."""
    evaluate = expression(node)

    def is_met(row: Row) -> bool:
        value = evaluate(row)
        if value is True or value is False:
            return value
        if value is UNDEFINED or value is None:
            return False
        raise RuleError(f"{clause}: expected true or false, have {kind_of(value)}")

    return is_met


def _array(node: Node) -> Evaluate:
    parts = _expressions([each for each in node.children if each is not None])

    def evaluate(row: Row) -> Any:
        values = [each(row) for each in parts]
        return bounded([None if value is UNDEFINED else value for value in values])

    return evaluate


# --- arithmetic


def _chain(node: Node) -> Evaluate:
    """Return what evaluates ``a + b - c``, from the left."""
    first = expression(node.children[0])
    signs = [str(sign).upper() for sign in node.children[1::2]]
    steps = list(zip(signs, _expressions(node.children[2::2]), strict=True))

    def evaluate(row: Row) -> Any:
        value = first(row)
        for sign, operand in steps:
            value = calculated(sign, value, operand(row))
        return value

    return evaluate


def _signed(node: Node) -> Evaluate:
    evaluate = expression(node.children[1])
    if str(node.children[0]) == "+":
        return evaluate
    return lambda row: bounded_number(-number(evaluate(row), "-"))


# --- conditions


def _all_of(node: Node) -> Evaluate:
    parts = [condition(each, "AND") for each in node.children]
    return lambda row: all(is_met(row) for is_met in parts)


def _any_of(node: Node) -> Evaluate:
    parts = [condition(each, "OR") for each in node.children]
    return lambda row: any(is_met(row) for is_met in parts)


def _negated(node: Node) -> Evaluate:
    """NOT of what is neither true nor false is false."""
    evaluate = expression(node.children[0])
    return lambda row: evaluate(row) is False


def _compared(node: Node) -> Evaluate:
    left_node, sign, right_node = node.children
    left, right = _expressions([left_node, right_node])
    if sign == "=~":
        return lambda row: _is_matched(left(row), right(row))
    test = COMPARISONS[str(sign)]
    if right_node.data not in LITERALS:
        return lambda row: compare(test, left(row), right(row))
    value = literal(right_node)
    kind = type(value)

    def evaluate(row: Row) -> bool:
        have = left(row)
        return test(have, value) if type(have) is kind else compare(test, have, value)

    return evaluate


def _is_matched(topic: Any, topic_filter: Any) -> bool:
    if topic is UNDEFINED or topic_filter is UNDEFINED:
        return False
    if type(topic) is not str or type(topic_filter) is not str:
        raise RuleError(
            f"=~: expected texts, have {kind_of(topic)}, {kind_of(topic_filter)}"
        )
    return matcher(topic_filter)(topic)


def _member(node: Node) -> Evaluate:
    first, listed = node.children
    evaluate = expression(first)
    values = _expressions(listed.children)

    def is_member(row: Row) -> bool:
        have = evaluate(row)
        return any(same(have, value(row)) for value in values)

    return is_member


def _no_member(node: Node) -> Evaluate:
    is_member = _member(node)
    return lambda row: not is_member(row)


def _case(node: Node) -> Evaluate:
    subject, *whens, last = node.children
    otherwise: Evaluate = lambda row: UNDEFINED  # noqa: E731 - what a CASE without ELSE gives
    if last is not None:
        otherwise = expression(last.children[0])
    pairs: Any = [each.children for each in whens]
    results = _expressions([result for _, result in pairs])
    if subject is None:
        tests: list[Evaluate] = [condition(test, "WHEN") for test, _ in pairs]
    else:
        tests = [_equals(subject, test) for test, _ in pairs]
    cases = list(zip(tests, results, strict=True))

    def evaluate(row: Row) -> Any:
        for test, result in cases:
            if test(row):
                return result(row)
        return otherwise(row)

    return evaluate


def _equals(subject: Node, value: Node) -> Evaluate:
    left, right = expression(subject), expression(value)
    return lambda row: same(left(row), right(row))


# --- functions


def _call(node: Node) -> Evaluate:
    name, *rest = node.children
    function = _function(str(name.children[0]), node)
    nodes = [each for each in rest if each is not None]
    least, most = function.least, len(function.checks)
    if not least <= len(nodes) <= most:
        expected = f"{least}" if least == most else f"{least} to {most}"
        raise wrong(node, f"{function.name} takes {expected} arguments, not {len(nodes)}")
    for argument, check in zip(nodes, function.checks, strict=False):
        _check_literal(argument, check, function)
    arguments = _expressions(nodes)
    return lambda row: called(function, [argument(row) for argument in arguments], row)


def reads_row(node: Node) -> bool:
    """Return whether a function in there takes columns that are not named."""
    calls = node.find_data("call")
    return any(
        _function(str(call.children[0].children[0]), call).takes_row for call in calls
    )


def searches(node: Node) -> bool:
    """Return whether a function in there searches for a regular expression."""
    names = (str(call.children[0].children[0]) for call in node.find_data("call"))
    return any(name.lower().startswith("regex_") for name in names)


def _check_literal(node: Node, check: Check, function: Function) -> None:
    """Raise SqlError for a literal that the function never takes."""
    if node.data in LITERALS:
        try:
            check(literal(node))
        except RuleError as fault:
            raise wrong(node, f"{function.name}: {fault}") from None


def _function(name: str, node: Node) -> Function:
    from nanomq_py.plugins.rules.sql.functions.all import FUNCTIONS

    function = FUNCTIONS.get(name, FUNCTIONS.get(name.lower()))
    if function is None:
        raise wrong(node, f"there is no function `{name}`")
    return function


_EXPRESSIONS: dict[str, Callable[[Node], Evaluate]] = {
    "integer": constant,
    "decimal": constant,
    "text": constant,
    "range": numbers,
    "path": path,
    "part": part,
    "array": _array,
    "chain": _chain,
    "signed": _signed,
    "all_of": _all_of,
    "any_of": _any_of,
    "negated": _negated,
    "compared": _compared,
    "member": _member,
    "no_member": _no_member,
    "case": _case,
    "call": _call,
}
