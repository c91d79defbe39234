"""Finds nodes in a tree of the nested form, and turns older shapes of it into today's."""

from __future__ import annotations

from collections.abc import Iterator

from nanomq_py.config.forms.nested import Items, Node, Scalar, Section


def find(root: Section, dotted: str) -> Node | None:
    """Return the node at a path; None: there is none."""
    node: Node | None = root
    for name in dotted.split("."):
        node = node.parts.get(name) if isinstance(node, Section) else None
    return node


def starred(root: Section, pattern: str) -> Iterator[tuple[str, Section]]:
    """Yield the sections at a path that may end in ``*``, each with its last name."""
    folder, _, last = pattern.rpartition(".")
    above = find(root, folder) if folder else root
    for name, node in list(above.parts.items()) if isinstance(above, Section) else ():
        if isinstance(node, Section) and last in ("*", name):
            yield name, node


def _name_nodes(root: Section, above: Section, kind: str, nodes: Items) -> None:
    """Turn ``bridges.KIND.nodes = [{name = a, ...}]`` into ``bridges.KIND.a``."""
    del above.parts["nodes"]
    for number, node in enumerate(nodes.items, start=1):
        parts = dict(node.parts) if isinstance(node, Section) else {}
        name = parts.pop("name", None)
        called = name.text if isinstance(name, Scalar) else str(number)
        where = node.where
        root.put(["bridges", kind, called], Section(where, parts))


# A list of rules -> the number before its first: the flat form has both kinds in one.
_SQL_RULES = {"sqlite": 0, "repub": 100_000}
# A key of theirs -> that of the plugin.
_SQL_KEYS = {"sql": "sql", "table": "table", "topic": "topic", "address": "address"}
_SQL_KEYS["server"] = "address"


def _number_rules(root: Section, kind: str) -> None:
    """Turn ``rules.KIND.rules = [{sql = ...}]`` into ``plugins.rules.rule.N``."""
    above = find(root, f"rules.{kind}")
    if not isinstance(above, Section):
        return
    if kind == "sqlite" and isinstance(path := above.parts.pop("path", None), Scalar):
        root.put(["plugins", "rules", "sqlite_path"], path)
    if not isinstance(nodes := above.parts.get("rules"), Items):
        return
    del above.parts["rules"]
    for number, node in enumerate(nodes.items, start=1 + _SQL_RULES[kind]):
        its = node.parts.items() if isinstance(node, Section) else ()
        parts = {_SQL_KEYS[name]: part for name, part in its if name in _SQL_KEYS}
        at = ["plugins", "rules", "rule", str(number)]
        root.put(at, Section(nodes.where, parts))


def modernise(root: Section) -> None:
    """Give the tree of NanoMQ 0.12 to 0.18 the shape that newer ones have."""
    if isinstance(rules := root.parts.pop("rule", None), Section):
        root.put(["rules"], rules)
    for kind in _SQL_RULES:
        _number_rules(root, kind)
    for kind in ("mqtt", "aws"):
        for old in ("bridge", "bridges"):
            above = find(root, f"{old}.{kind}")
            nodes = above.parts.get("nodes") if isinstance(above, Section) else None
            if isinstance(above, Section) and isinstance(nodes, Items):
                _name_nodes(root, above, kind, nodes)
        for _, node in starred(root, f"bridges.{kind}.*"):
            if isinstance(connector := node.parts.pop("connector", None), Section):
                node.merge(connector)
