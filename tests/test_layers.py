"""Walls: which module may know which, and what only some may know. See tools/layers.py."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tools.layers import faults, read
from tools.walls import circles

pytestmark = pytest.mark.plain

SOURCES = read(ROOT)
KNOWN = set((ROOT / "tests" / "known-faults.txt").read_text().splitlines())
FOUND = faults(SOURCES)


def test_no_wall_has_a_new_hole() -> None:
    new = [str(fault) for fault in FOUND if fault.name not in KNOWN]
    assert not new, "\n".join(new)


def test_what_is_mended_leaves_the_list_of_known_faults() -> None:
    layers = {name for name in KNOWN if not name.startswith("size: ")}
    assert layers <= {fault.name for fault in FOUND}


# Each is planted in the sources as they are; the fault must be found, and name its module.
PLANTED = [
    # what one writes, and sees at once
    ("csrc/base/map.h", '#include "nmq.h"', "top: base/map"),
    ("csrc/base/map.c", '#include "route/router.h"', "upward: base/map"),
    ("csrc/mqtt/decode.c", '#include "store/queue.h"', "upward: mqtt/decode"),
    ("csrc/store/queue.c", '#include "io/stream.h"', "upward: store/queue"),
    ("csrc/io/ws.c", '#include "mqtt/wire.h"', "upward: io/ws"),
    ("csrc/route/link.h", '#include "broker.h"', "top: route/link"),
    # the same in other forms
    ("csrc/base/wheel.c", '#  include "net/conn.h"', "upward: base/wheel"),
    ("csrc/base/ring.c", "#include <net/conn.h>", "upward: base/ring"),
    ("csrc/base/ring.c", "#include <nmq.h>", "top: base/ring"),
    ("csrc/base/peer.h", '#include "../route/router.h"', "upward: base/peer"),
    ("csrc/base/peer.h", '#include "../nmq.h"', "top: base/peer"),
    ("csrc/base/mem.c", '/* why */ #include "base/./../net/rate.c"', "include: base/mem"),
    ("csrc/base/mem.c", '#include /* why */ "net/conn.h"', "upward: base/mem"),
    ("csrc/base/mem.c", '#incl\\\nude "net/conn.h"', "upward: base/mem"),
    ("csrc/base/text.h", "#include HEADER", "include: base/text"),
    ("csrc/mqtt/topic.c", '#include "../base/bytes.h"', "include: mqtt/topic"),
    ("csrc/mqtt/topic.c", '#include "../../tests/c/x.h"', "include: mqtt/topic"),
    ("csrc/util/x.c", '#include "base/mem.h"', "no such room: util/x"),
    # without an include
    ("csrc/base/map.c", "int nmq_conn_x(int);", "declared elsewhere: net/x"),
    ("csrc/base/map.c", "int f(void) { return nmq_conn_x(1); }", "upward: base/map"),
    ("csrc/base/map.c", "int (*f)(int) = nmq_conn_x;", "upward: base/map"),
    ("csrc/base/map.h", "#define X nmq_conn_x(1)", "upward: base/map"),
    ("csrc/base/map.c", "extern int nmq_net_flag;", "declared elsewhere: net/x"),
    ("csrc/base/sha1.c", "int f(void) { return 1; }", "declared nowhere: base/sha1"),
    # circles inside a room
    ("csrc/base/sha1.h", '#include "base/sha2.h"', "circle: base/sha1"),
    (
        "csrc/base/sha1.c",
        "static int f(void) { return nmq_sha2_x(); }",
        "circle: base/sha1",
    ),
    # Python: the same order, in every form
    (
        "nanomq_py/config/values/kind.py",
        "from nanomq_py import server",
        "upward: config.values.kind",
    ),
    (
        "nanomq_py/config/values/kind.py",
        "from nanomq_py.server import x",
        "upward: config.values.kind",
    ),
    (
        "nanomq_py/config/values/kind.py",
        "import nanomq_py.http.app as c",
        "upward: config.values.kind",
    ),
    (
        "nanomq_py/config/values/kind.py",
        "from ... import server",
        "upward: config.values.kind",
    ),
    (
        "nanomq_py/config/values/kind.py",
        "from ...http.app import x",
        "upward: config.values.kind",
    ),
    ("nanomq_py/config/__init__.py", "from ..http import app", "upward: config"),
    (
        "nanomq_py/config/values/kind.py",
        "def f():\n    from nanomq_py import server",
        "upward: config.values.kind",
    ),
    (
        "nanomq_py/config/values/kind.py",
        "if TYPE_CHECKING:\n    import nanomq_py.server",
        "upward: config.values.kind",
    ),
    (
        "nanomq_py/config/values/kind.py",
        "importlib.import_module('nanomq_py.server')",
        "upward: config.values.kind",
    ),
    (
        "nanomq_py/config/values/kind.py",
        "import_module('...server', __package__)",
        "upward: config.values.kind",
    ),
    (
        "nanomq_py/config/values/kind.py",
        "__import__('nanomq_py.server')",
        "upward: config.values.kind",
    ),
    (
        "nanomq_py/config/values/kind.py",
        "sys.modules['nanomq_py.server']",
        "upward: config.values.kind",
    ),
    (
        "nanomq_py/config/values/kind.py",
        "import_module(name)",
        "import: config.values.kind",
    ),
    (
        "nanomq_py/config/values/kind.py",
        "from nanomq_py import *",
        "upward: config.values.kind",
    ),
    ("nanomq_py/util/x.py", "import nanomq_py.config", "no such room: util.x"),
    (
        "nanomq_py/config/forms/flat.py",
        "from nanomq_py.config.keys.config import Config",
        "upward: config.forms.flat",
    ),
    (
        "nanomq_py/config/keys/config.py",
        "from nanomq_py.config import reader",
        "upward: config.keys.config",
    ),
    (
        "nanomq_py/http/serving.py",
        "from nanomq_py.http.v1 import api",
        "upward: http.serving",
    ),
    # circles, the binding, and what is private
    (
        "nanomq_py/config/declare/key.py",
        "import nanomq_py.config.declare.family",
        "circle: config.declare.key",
    ),
    (
        "nanomq_py/config/declare/key.py",
        "def f():\n    from . import family",
        "circle: config.declare.key",
    ),
    ("nanomq_py/listen/tls.py", "from nanomq_py import _core", "the C core: listen.tls"),
    (
        "nanomq_py/listen/tls.py",
        "from nanomq_py._core import lib",
        "the C core: listen.tls",
    ),
    ("nanomq_py/listen/tls.py", "def f(x):\n    x._hidden = 1", "private: listen.tls"),
    (
        "nanomq_py/listen/tls.py",
        "class C:\n    def f(self, x):\n        x._h()",
        "private: listen.tls",
    ),
    (
        "nanomq_py/listen/tls.py",
        "from nanomq_py.config.declare.key import _h",
        "private: listen.tls",
    ),
]
# What the planted lines speak of; no fault by itself.
SCENE = {
    "csrc/scene.def": "X(one)\n",
    "csrc/net/x.h": "int nmq_conn_x(int a);\nextern int nmq_net_flag;\n",
    "csrc/net/x.c": "int nmq_net_flag;\nint\nnmq_conn_x(int a)\n{\n return a;\n}\n",
    "csrc/base/sha2.h": '#include "base/sha1.h"\nint nmq_sha2_x(void);\n',
    "csrc/base/sha2.c": "int\nnmq_sha2_x(void)\n{\n return 1;\n}\n",
}


def names_after(path: str, line: str) -> set[str]:
    tree = {**SOURCES, **SCENE}
    tree[path] = f"{tree.get(path, '')}\n{line}\n"
    return {fault.name.replace(": nanomq_py.", ": ") for fault in faults(tree)}


@pytest.fixture(scope="module")
def before() -> set[str]:
    return names_after("csrc/net/x.h", "")


def test_the_scene_is_no_fault(before: set[str]) -> None:
    assert before == {fault.name.replace(": nanomq_py.", ": ") for fault in FOUND}


@pytest.mark.parametrize(("path", "line", "fault"), PLANTED, ids=lambda given: given[:60])
def test_a_planted_fault_is_found(
    path: str, line: str, fault: str, before: set[str]
) -> None:
    assert fault in names_after(path, line) - before


ALLOWED = [
    ("csrc/net/x.c", '#include "base/map.h"'),
    ("csrc/net/x.c", "#include <string.h> // not <nmq.h>"),
    ("csrc/net/x.c", '// #include "broker.h"'),
    ("csrc/net/x.c", 'static const char *what = "\\n#include \\"broker.h\\"";'),
    ("csrc/net/x.h", '#include "scene.def"'),
    ("csrc/net/x.c", "static int nmq_sha2_x(void) { return 1; }"),
    ("nanomq_py/server.py", "from nanomq_py.config import values"),
    ("nanomq_py/server.py", "import json, os\nos._exit(json.loads('1'))"),
    ("nanomq_py/server.py", "'imports nanomq_py.cli, says a text'"),
    (
        "nanomq_py/server.py",
        "class C:\n    def __eq__(self, o):\n        return self._a == o._a",
    ),
]


@pytest.mark.parametrize(("path", "line"), ALLOWED, ids=lambda given: given[:60])
def test_what_is_allowed_is_no_fault(path: str, line: str, before: set[str]) -> None:
    assert names_after(path, line) == before


def test_circles_are_what_reaches_itself() -> None:
    graph = {
        "a": {"b"},
        "b": {"c"},
        "c": {"a", "d"},
        "d": {"e"},
        "e": set(),
        "f": {"a", "e"},
    }
    assert circles(graph) == [{"a", "b", "c"}]
    assert circles({**graph, "e": {"d"}}) == [{"d", "e"}, {"a", "b", "c"}]
    assert circles({**graph, "e": {"f"}}) == [{"a", "b", "c", "d", "e", "f"}]


# --- what only some may know

WALL_CLOCK = {"clock.c", "bytes.c", "moment.py"}  # times that people read; a seed


def test_waits_go_by_the_monotonic_clock() -> None:
    for path, text in SOURCES.items():
        name = path.rpartition("/")[2]
        if path.startswith("csrc/"):
            assert "CLOCK_REALTIME" not in text or name in WALL_CLOCK, path
            assert "pthread_condattr" not in text or name == "clock.c", path
            if "pthread_cond_timedwait" in text:
                assert "nmq_clock_cond_init" in text, path
        else:
            wall = re.search(r"\btime\.time\(|\bdatetime\.now\(\)", text)
            assert not wall or name in WALL_CLOCK, path


NNG = {
    "acceptor_tls",
    "attempt_tls",
    "door",
    "engine",
    "nng",
    "stream_nng",
    "tls",
    "tls_config",
    "tls_library",
    "tls_peer",
}


def test_nng_is_known_to_those_who_make_streams_of_it_only() -> None:
    for path, text in SOURCES.items():
        if path.startswith("csrc/") and not path.endswith(
            tuple(f"/{n}.{x}" for n in NNG for x in "ch")
        ):
            assert not re.search(r"\bnng(_\w+\(|\.\w)|io/nng", text), path


def test_every_package_is_installed() -> None:
    """A folder that pyproject.toml does not name is missing in the wheel."""
    text = (ROOT / "pyproject.toml").read_text()
    (listed,) = re.findall(r"^packages = \[\n(.*?)^\]", text, re.M | re.S)
    folders = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for path in (ROOT / "nanomq_py").rglob("__init__.py")
    }
    assert set(re.findall(r'"([\w.]+)"', listed)) == folders
