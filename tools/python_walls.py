"""The walls of ``nanomq_py``: see tools/layers.py."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache

from tools.walls import Fault, Graph, Sources, circle_faults

# The rooms of nanomq_py; each may know those before it.
PYTHON_ROOMS = [
    "version",
    "_core",
    "kept",  # files of a process that was root
    "config.faults",
    "config.values",
    "config.forms",
    "config.declare",
    "config.keys",
    "config.nanomq",
    "config",
    "fetch",  # knows nothing of the broker
    "tokens",
    "core",
    "kernel",
    "store",
    "listen",
    "auth",
    "metrics",
    "feeds",
    "taps",
    "consumers",
    "events",
    "flapping",
    "store_part",
    "durability_part",
    "alarms",
    "alarm_topics",
    "alarms_part",
    "flapping_part",
    "bridges",  # loaded where there is one
    "bridges_part",
    "delivery",
    "commands",
    "topic_metrics",
    "running",
    "admission",
    "permissions",
    "steering",
    "queries",
    "broker",
    "run",
    "http",
    "plugins",
    "http.rest",
    "http.emqx",  # what its two dialects share
    "plugins.webhook",
    "plugins.rules.sql",
    "plugins.rules",
    "plugins.devices",
    "http.v1",  # a dialect, like those that follow
    "http.emqx_v2",
    "http.emqx_v4",
    "http.documentation",
    "dialects",
    "server",
    "importing",
    "cli",
    "nanomq_py",  # __init__.py: what `import nanomq_py` offers, to others
    "__main__",
]
BINDING = "nanomq_py.core."  # who may know the C core
# Imports modules whose whole names others give it, and that are seen where they stand.
LOADER = "nanomq_py.http.rest.families"


def _dotted(path: str) -> str:
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def _nearest(name: str, modules: Iterable[str]) -> str | None:
    """Return the module that ``a.b.Name`` stands in."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def _base(module: str, node: ast.ImportFrom, *, is_package: bool) -> str:
    """Return what ``from ..x import y`` imports from, as a whole name."""
    if not node.level:
        return node.module or ""
    above = module.split(".")[: len(module.split(".")) - node.level + is_package]
    return ".".join([*above, node.module] if node.module else above)


def _computed(node: ast.Call) -> str | None:
    """Return what ``import_module("x")`` imports; "" where a program computes it."""
    function = node.func
    name = (
        function.attr
        if isinstance(function, ast.Attribute)
        else getattr(function, "id", "")
    )
    if name not in ("import_module", "__import__"):
        return None
    first = node.args[0] if node.args else None
    literal = first.value if isinstance(first, ast.Constant) else None
    return literal if isinstance(literal, str) else ""


def _imports(module: str, tree: ast.AST, *, is_package: bool) -> Iterator[str]:
    """Yield the whole names that a module imports, wherever in it; "" for a computed one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node, is_package=is_package)
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and (name := _computed(node)) is not None:
            here = module if is_package else module.rpartition(".")[0]
            dots = len(name) - len(name.lstrip("."))
            above = ".".join(here.split(".")[: len(here.split(".")) - dots + 1])
            yield f"{above}.{name.lstrip('.')}" if dots else name
        elif isinstance(node, ast.Constant) and str(node.value).startswith("nanomq_py."):
            yield str(node.value)  # as sys.modules and runpy take it


def _python_room(module: str) -> str | None:
    """Return the room that a module is, or is in: the narrowest."""
    name = module.partition(".")[2] or module
    while name and name not in PYTHON_ROOMS:
        name = name.rpartition(".")[0]
    return name or None


def _import_fault(module: str, name: str, other: str | None) -> Fault | None:
    if not name and module != LOADER:
        return Fault("import", module, "a program computes the name")
    if other is None:
        return None
    mine, its = _python_room(module), _python_room(other)
    if mine is None or its is None:
        return Fault("no such room", other if mine else module, "see PYTHON_ROOMS")
    if PYTHON_ROOMS.index(its) > PYTHON_ROOMS.index(mine):
        return Fault("upward", module, f"imports {name}")
    if its == "_core" and not module.startswith(BINDING):
        return Fault("the C core", module, f"imports {name}")
    return None


def _is_own(node: ast.AST) -> bool:
    if isinstance(node, ast.Name):
        return node.id in ("self", "cls")
    return isinstance(node, ast.Call) and getattr(node.func, "id", "") == "super"


def _own_members(tree: ast.AST) -> set[str]:
    """Return the private names that a class gives itself."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_own(node.value):
            names.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            names.update(t.id for t in targets if isinstance(t, ast.Name))
    return names


def _private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _private_faults(module: str, tree: ast.AST, own: set[str]) -> Iterator[Fault]:
    """Yield uses of other objects' private members.

    A class may use its own names on any object: that is another of its kind. A foreign module
    has a private name for what it is (``os._exit``).
    """
    for node in ast.iter_child_nodes(tree):
        names = own | _own_members(node) if isinstance(node, ast.ClassDef) else own
        if isinstance(node, ast.Attribute):
            if _private(node.attr) and not (_is_own(node.value) or node.attr in own):
                yield Fault("private", module, ast.unparse(node))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "nanomq_py"
        ):
            for alias in node.names:
                if _private(alias.name) and alias.name != "_core":
                    yield Fault("private", module, f"imports {alias.name}")
        yield from _private_faults(module, node, names)


def _foreign(tree: ast.AST) -> set[str]:
    """Return the names of foreign modules that a module imports."""
    return {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if not alias.name.startswith("nanomq_py")
    }


@cache  # a tree that differs in one file is read again at once
def _read(path: str, text: str) -> tuple[list[str], list[Fault]]:
    """Return what a file imports, and its uses of private members."""
    module, tree = _dotted(path), ast.parse(text)
    foreign = _foreign(tree)
    private = [
        fault
        for fault in _private_faults(module, tree, set())
        if fault.detail.split(".")[0] not in foreign
    ]
    return list(_imports(module, tree, is_package=path.endswith("__init__.py"))), private


def python_faults(sources: Sources) -> Iterator[Fault]:
    """Yield each fault in the walls of ``nanomq_py``."""
    files = {path: text for path, text in sources.items() if path.endswith(".py")}
    modules = {_dotted(path) for path in files} | {"nanomq_py._core"}
    graph: Graph = {}
    for path, text in files.items():
        module = _dotted(path)
        graph[module] = set()
        names, private = _read(path, text)
        yield from private
        for name in names:
            other = _nearest(name, modules)
            fault = _import_fault(module, name, other)
            if fault:
                yield fault
            elif other and other != module:
                graph[module].add(other)
    yield from circle_faults("circle", graph)
