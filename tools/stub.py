"""The stub of ``nanomq_py._core``: what cffi makes of the core's declarations, as types.

A pointer to a struct is a class with the struct's fields, and an array of it too; so cffi has
it. Integers and enums are ``int``, texts ``Chars``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pycparser import CParser, c_ast

INTEGERS = [f"{u}int{n}_t" for u in ("u", "") for n in (8, 16, 32, 64)]
KNOWN = [*INTEGERS, "size_t", "uintptr_t"]
HEAD = '''\
"""Written by build_ext.py: the declarations of the C core, as cffi gives them to Python."""

from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, Literal, TypeVar, overload

T = TypeVar("T")
C = TypeVar("C", bound="CData")

class CData: ...
class VoidPointer(CData): ...

class Pointer(CData, Generic[T]):
    @overload
    def __getitem__(self, index: int, /) -> T: ...
    @overload
    def __getitem__(self, index: slice, /) -> Pointer[T]: ...
    @overload
    def __setitem__(self, index: int, value: T, /) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Any, /) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[T]: ...

class Chars(Pointer[bytes]):
    def __enter__(self) -> Chars: ...
    def __exit__(self, *fault: object) -> None: ...

class Buffer:
    def __bytes__(self) -> bytes: ...
    def __len__(self) -> int: ...

'''
FFI = """\
class FFI:
    NULL: Any
    def string(self, text: Chars, most: int = ..., /) -> bytes: ...
    def buffer(self, at: CData, size: int = ..., /) -> Buffer: ...
    def from_buffer(self, given: Any, /) -> Chars: ...
    def cast(self, cdecl: Literal["void *"], value: int, /) -> VoidPointer: ...
    def addressof(self, of: C, /) -> C: ...
    def gc(self, of: C, free: Callable[[C], Any] | None, size: int = ..., /) -> C: ...
"""


@dataclass
class Declared:
    """What a text in C declares."""

    structs: dict[str, list[c_ast.Decl]] = field(default_factory=dict)  # empty: opaque
    enumerators: list[str] = field(default_factory=list)
    functions: dict[str, c_ast.FuncDecl] = field(default_factory=dict)


def _read(cdef: str) -> Declared:
    known = "".join(f"typedef unsigned {name};\n" for name in [*KNOWN, "bool"])
    made = Declared()
    for node in CParser().parse(known + _without_comments(cdef)).ext:
        inner = node.type
        if isinstance(inner, c_ast.FuncDecl):
            made.functions[node.name] = inner
        elif isinstance(inner, c_ast.Enum):
            made.enumerators += [e.name for e in inner.values.enumerators]
        elif isinstance(inner.type, c_ast.Struct):
            made.structs[node.name] = inner.type.decls or []
    return made


def _without_comments(cdef: str) -> str:
    return "\n".join(line.partition("//")[0] for line in cdef.splitlines())


def _plain(node: c_ast.TypeDecl) -> str:
    """Return the name of a type that is no pointer."""
    inner = node.type
    return "int" if isinstance(inner, c_ast.Enum) else " ".join(inner.names)


def _type(node: c_ast.Node) -> str:
    """Return what Python has for a C type."""
    if isinstance(node, c_ast.TypeDecl):
        name = _plain(node)
        known = {"void": "None", "bool": "bool", "int": "int"} | dict.fromkeys(KNOWN, "int")
        return known.get(name, name)
    inner = node.type
    if not isinstance(inner, c_ast.TypeDecl):
        return f"Pointer[{_type(inner)}]"
    name = _plain(inner)
    if name in ("char", "void"):
        return "Chars" if name == "char" else "VoidPointer"
    return "Pointer[int]" if name in [*KNOWN, "int"] else name


def _parameters(function: c_ast.FuncDecl) -> Iterator[str]:
    for given in function.args.params if function.args else []:
        made = _type(given.type)
        if made == "None":
            return  # (void)
        yield f"{given.name}: {'Chars | bytes' if made == 'Chars' else made}"


def _made_by_new(structs: dict[str, list[c_ast.Decl]]) -> Iterator[tuple[str, str]]:
    for name, fields in structs.items():
        if fields:
            yield f'"{name} *", "{name}[]"', name
        yield f'"{name} **"', f"Pointer[{name}]"
    yield ", ".join(f'"{name} *", "{name}[]"' for name in KNOWN), "Pointer[int]"
    yield '"char[]"', "Chars"
    yield '"char *[]"', "Pointer[Chars]"


def _lines(made: Declared) -> Iterator[str]:
    for name, fields in made.structs.items():
        if not fields:
            yield f"class {name}(CData): ...\n"
            continue
        yield f'class {name}(Pointer["{name}"]):'
        for declared in fields:
            yield f"    {declared.name}: {_type(declared.type)}"
        yield ""
    yield FFI.rstrip()
    for cdecls, result in _made_by_new(made.structs):
        yield "    @overload"
        given = f"self, cdecl: Literal[{cdecls}], init: Any = ..., /"
        yield f"    def new({given}) -> {result}: ..."
    yield "\nclass Lib:"
    for name in made.enumerators:
        yield f"    {name}: Final[int]"
    for name, function in made.functions.items():
        parameters = list(_parameters(function))
        given = ", ".join(["self", *parameters, *(["/"] if parameters else [])])
        yield f"    def {name}({given}) -> {_type(function.type)}: ..."
    yield "\nffi: FFI\nlib: Lib"


def stub(cdef: str) -> str:
    """Return the stub of the module that cffi makes of the declarations."""
    return HEAD + "\n".join(_lines(_read(cdef))) + "\n"
