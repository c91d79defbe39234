"""Topic filters as sets of topics: what two of them have in common."""

from __future__ import annotations


def _levels(filter: str) -> list[str]:
    return filter.split("/")


def meet(one: str, other: str) -> str | None:
    """Return the filter of the topics that both match; None: there is none.

    Source  MQTT 5.0, 4.7.1 wildcards, 4.7.2 topics that begin with $

    >>> meet("a/+/c", "a/b/#"), meet("a/#", "a"), meet("a", "b/#"), meet("#", "$SYS/a")
    ('a/b/c', 'a', None, None)
    """
    a, b = _levels(one), _levels(other)
    if {a[0], b[0]} & {"+", "#"} and "$" in (a[0][:1], b[0][:1]):
        return None
    made: list[str] = []
    while a or b:
        if a == ["#"] or b == ["#"]:  # the rest of the other one, which may be nothing
            rest = b if a == ["#"] else a
            return "/".join([*made, *rest])
        if not a or not b or (a[0] != b[0] and "+" not in (a[0], b[0])):
            return None
        made.append(b[0] if a[0] == "+" else a[0])
        a, b = a[1:], b[1:]
    return "/".join(made)


def covers(wide: str, narrow: str) -> bool:
    """Return whether every topic that ``narrow`` matches is matched by ``wide``, too.

    >>> covers("a/#", "a"), covers("a/+", "a/#")
    (True, False)
    """
    return meet(wide, narrow) == narrow


def literal_of(filter: str) -> str:
    """Return the text before the first wildcard.

    >>> literal_of("a/b/+/c"), literal_of("#"), literal_of("a/b")
    ('a/b/', '', 'a/b')
    """
    for at, character in enumerate(filter):
        if character in "+#":
            return filter[:at]
    return filter
