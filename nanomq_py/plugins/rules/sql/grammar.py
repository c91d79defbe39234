"""The grammar of statements, and what is said of a text that has none.

``parsed`` gives lark's tree: a rule's name and its parts, with their places. lark is imported
when the first statement is parsed.

Cost     linear in the text, which has MOST_CHARACTERS at most
Source   EMQX's rulesql and NanoMQ's rule engine: the language, not the text
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from nanomq_py.plugins.rules.sql.errors import SqlError

if TYPE_CHECKING:
    from lark import Lark
    from lark.exceptions import UnexpectedInput

MOST_CHARACTERS = 16_384


class Node(Protocol):
    """A node of lark's tree.

    data      the name of its rule or alias in the grammar
    children  nodes, tokens (texts with a ``type``, a ``line`` and a ``column``), and None for
              what a rule has left out
    meta      its ``line`` and ``column``
    """

    data: str
    children: list[Any]
    meta: Any

    def find_data(self, data: str) -> Iterator[Node]: ...


_RESERVED = (
    "select|foreach|do|incase|from|where|as|or|and|not|in|case|when|then|else|end|div|mod"
)
_GRAMMAR = r"""
start: select | foreach
select: "SELECT"i fields _from
foreach: "FOREACH"i fields [do] [incase] _from
do: "DO"i fields
incase: "INCASE"i expression
_from: "FROM"i topics [where]
topics: topic ("," topic)*
topic: NAME | QUOTED | STRING
where: "WHERE"i expression

fields: field ("," field)*
field: expression [["AS"i] place]
     | "*" -> all

?expression: conjunction | conjunction ("OR"i conjunction)+ -> any_of
?conjunction: negation | negation ("AND"i negation)+ -> all_of
?negation: comparison | "NOT"i negation -> negated
?comparison: sum
     | sum COMPARISON sum -> compared
     | sum "IN"i "(" listed ")" -> member
     | sum "NOT"i "IN"i "(" listed ")" -> no_member
listed: expression ("," expression)*
?sum: product | product ((PLUS | MINUS) product)+ -> chain
?product: unary | unary ((STAR | SLASH | DIV | MOD) unary)+ -> chain
?unary: atom | PLUS unary -> signed | MINUS unary -> signed
?atom: "(" expression ")"
     | INTEGER -> integer
     | DECIMAL -> decimal
     | STRING -> text
     | RANGE -> range
     | path
     | path RANGE -> part
     | "[" [element ("," element)*] "]" -> array
     | name "(" [expression ("," expression)*] ")" -> call
     | "CASE"i [expression] when+ [else] "END"i -> case
?element: expression
when: "WHEN"i expression "THEN"i expression
else: "ELSE"i expression
path: first_name step*
first_name: NAME | QUOTED
name: NAME | DIV | MOD
place: first_name step*
?step: "." (NAME | QUOTED | STRING | INTEGER) -> key
     | "[" [MINUS] INTEGER "]" -> index
     | "[" path "]" -> computed

NAME: /(?!(?:RESERVED)\b)[A-Za-z_][A-Za-z0-9_$@~]*/i
QUOTED: /"[^"]*"/
STRING: /'(?:[^']|'')*'/
DECIMAL.2: /\d+(?:\.\d+(?:e[+-]?\d+)?|e[+-]?\d+)/i
INTEGER: /\d+/
RANGE.2: /\[\s*-?\d+\s*\.\.\s*-?\d+\s*\]/
COMPARISON: "=~" | "!=" | "<>" | "<=" | ">=" | "=" | "<" | ">"
PLUS: "+"
MINUS: "-"
STAR: "*"
SLASH: "/"
DIV: "DIV"i
MOD: "MOD"i
%ignore /\s+/
%ignore /--[^\n]*/
"""

_ARITHMETIC = {"PLUS", "MINUS", "STAR", "SLASH", "DIV", "MOD"}
_OPERATORS = {*_ARITHMETIC, "COMPARISON", "IN", "NOT", "AND", "OR", "RANGE", "LSQB", "DOT"}
_NAMES = {"NAME", "QUOTED"}
_VALUES = {*_NAMES, "INTEGER", "DECIMAL", "STRING", "LSQB", "LPAR", "CASE", "PLUS"}
_WORDS = {
    "COMMA": "','",
    "RPAR": "')'",
    "RSQB": "']'",
    "LPAR": "'('",
    "LSQB": "'['",
    "DOT": "'.'",
    "STAR": "'*'",
    "COMPARISON": "a comparison",
    "NAME": "a name",
    "QUOTED": 'a name in "double quotes"',
    "STRING": "a text in 'single quotes'",
    "INTEGER": "a whole number",
    "DECIMAL": "a number",
    "$END": "the end",
}


def parsed(text: str) -> Node:
    """Return the tree of a statement. Raises SqlError."""
    if len(text) > MOST_CHARACTERS:
        raise SqlError(f"expected at most {MOST_CHARACTERS} characters", 1, 1)
    _check_characters(text)
    from lark.exceptions import UnexpectedInput

    try:
        tree: Node = _parser().parse(text)
        return tree
    except UnexpectedInput as fault:
        raise _sql_error(text, fault) from None


def _check_characters(text: str) -> None:
    """Raise SqlError for what is no Unicode: it could not be written anywhere."""
    try:
        text.encode()
    except UnicodeEncodeError as fault:
        before = text[: fault.start]
        line, column = before.count("\n") + 1, fault.start - before.rfind("\n")
        raise SqlError("expected a character, not half of one", line, column) from None


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(
        _GRAMMAR.replace("RESERVED", _RESERVED),
        parser="lalr",
        propagate_positions=True,
        maybe_placeholders=True,
    )


def _sql_error(text: str, fault: UnexpectedInput) -> SqlError:
    from lark.exceptions import UnexpectedToken

    if isinstance(fault, UnexpectedToken):
        accepted = set(fault.accepts or fault.expected)
        stands = "the end" if fault.token.type == "$END" else _quoted(fault.token)
        if fault.token.type == "$END":
            lines = text.split("\n")
            line, column = len(lines), len(lines[-1]) + 1
        else:
            line, column = fault.line, fault.column
    else:
        accepted = _accepted(text[: fault.pos_in_stream])
        stands, line, column = _character(text, fault), fault.line, fault.column
    return SqlError(f"expected {_expected(accepted)}, not {stands}", line, column)


def _accepted(text: str) -> set[str]:
    """Return the terminals that may follow the beginning of a statement."""
    parser = _parser().parse_interactive(text)
    parser.exhaust_lexer()
    return set(parser.accepts())


def _quoted(token: str) -> str:
    shown = token if len(token) <= 30 else f"{token[:30]}..."
    return f"`{shown}`"


def _character(text: str, fault: UnexpectedInput) -> str:
    at = fault.pos_in_stream or 0
    return {"'": "a text without its end", '"': "a name without its end"}.get(
        text[at], f"`{text[at]}`"
    )


# Terminals that are said in one word, where all of the first are accepted: without the others.
_GROUPS: list[tuple[set[str], set[str], str]] = [
    (_VALUES, {"MINUS", "RANGE", "NOT", "DIV", "MOD"}, "a value"),
    ({"PLUS", "SLASH"}, {*_OPERATORS, "LPAR"}, "an operator"),
    ({*_NAMES, "STRING"}, set(), "a name"),
    (_NAMES, set(), "a name"),
]


def _expected(accepted: set[str]) -> str:
    """Return the terminals in words; those of a group together."""
    words = []
    for group, others, word in _GROUPS:
        if accepted >= group:
            words.append(word)
            accepted = accepted - group - others
    words += sorted(_WORDS.get(each, each) for each in accepted)
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
