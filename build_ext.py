"""Compile ``csrc/`` into ``nanomq_py._core``; pyproject.toml names BuildCore as its build_ext.

For people and CI it is also a command, which builds in place::

    python build_ext.py [--sanitize address,undefined|thread] [--debug] [--coverage] [--test]

``--test`` also builds ``tests/_core_test``: every header of the core, with allocations that
are counted and can be made to fail.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cffi import FFI
from setuptools import Distribution, Extension
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # pip runs this file from elsewhere

from tools import declared_events  # noqa: E402
from tools.declared import for_cffi, for_python, tables  # noqa: E402
from tools.stub import stub  # noqa: E402

PACKAGE = ROOT / "nanomq_py"
CSRC = ROOT / "csrc"
SOURCES = sorted(p.relative_to(ROOT) for p in CSRC.rglob("*.c"))
# What nmq.h includes, in that order; cffi reads them.
HEADERS = [
    Path("csrc") / name
    for name in [
        "base/status.h",
        "base/process.h",
        "io/engine.h",
        "io/psk.h",
        "io/tls.h",
        "bridge/options.h",
        "bridge/bridges.h",
        "io/endpoint.h",
        "io/peer_name.h",
        "net/listener_options.h",
        "store/wal_found.h",
        "net/durability_keys.h",
        "route/acl_rules.h",
        "route/acl_ruling.h",
        "route/acl_trial.h",
        "route/ban_kind.h",
        "route/consume.h",
        "route/note_record.h",
        "route/feed.h",
        "route/kick.h",
        "route/publication.h",
        "route/page.h",
        "route/consumer_list.h",
        "route/query.h",
        "serve/kept_row.h",
        "serve/question.h",
        "serve/question_note.h",
        "store/meter.h",
        "store/wal_look.h",
        "store/wal_remake.h",
        "nmq.h",
    ]
]
# In the order of inclusion; what cffi cannot read (locks, atomics, attributes) stays out.
TEST_HEADERS = [
    *HEADERS,
    *(
        Path("csrc") / name
        for name in [
            "base/mem.h",
            "base/bytes.h",
            "base/peer.h",
            "base/sha1.h",
            "base/crc32c.h",
            "base/vec.h",
            "base/places.h",
            "base/map.h",
            "base/wheel.h",
            "base/worker.h",
            "base/ring.h",
            "mqtt/varint.h",
            "mqtt/wire.h",
            "mqtt/packet_type.h",
            "mqtt/props.h",
            "mqtt/packet.h",
            "mqtt/topic.h",
            "mqtt/decode.h",
            "mqtt/encode.h",
            "base/ws_frame.h",
            "mqtt/reason.h",
            "mqtt/conn_state.h",
            "mqtt/client_state.h",
            "store/origin.h",
            "store/message.h",
            "store/levels.h",
            "store/sub_list.h",
            "store/groups.h",
            "store/topic_tree.h",
            "store/tree_routes.h",
            "store/retain.h",
            "store/retain_cursor.h",
            "store/owed.h",
            "store/queue.h",
            "store/inflight.h",
            "store/outbox.h",
            "store/aliases.h",
            "store/observer.h",
            "store/outward.h",
            "store/session_state.h",
            "store/session_tell.h",
            "store/session_load.h",
            "store/session.h",
            "store/session_subs.h",
            "store/session_write.h",
            "store/session_acks.h",
            "store/disk.h",
            "store/disk_folder.h",
            "store/wal_segments.h",
            "store/wal.h",
            "store/wal_recover.h",
            "store/flush_times.h",
            "route/bans.h",
            "route/who.h",
            "route/feed_record.h",
            "route/acl_tree.h",
            "route/acl_group.h",
            "route/acl_search.h",
            "route/acl.h",
            "route/acl_tried.h",
            "io/certificate.h",
            "io/proxy.h",
            "io/ws.h",
            "net/states.h",
            "serve/question_bytes.h",
        ]
    ),
    Path("tests/c/mqtt_client.h"),
    Path("tests/c/journal_memory.h"),
    Path("tests/c/disk_memory.h"),
    Path("tests/c/journal_disk.h"),
]
TEST_SOURCES = [
    Path("tests/c/mqtt_client.c"),
    Path("tests/c/journal_memory.c"),
    Path("tests/c/disk_memory.c"),
    Path("tests/c/journal_disk.c"),
]
# Where no instruction works on 64 bits at once (ARMv6), the compiler calls libatomic.
LIBRARIES = ["pthread"] if sys.maxsize > 2**32 else ["pthread", "atomic"]
# `make lint` adds -Wpedantic -Werror; here the wrappers that cffi writes are compiled too.
WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion"]


@dataclass(frozen=True)
class Options:
    """How to compile."""

    sanitize: str = ""
    debug: bool = False
    coverage: bool = False
    whole_program: bool = True  # optimise over files: linking takes seconds

    def compile_args(self) -> list[str]:
        args = ["-std=c11", "-D_GNU_SOURCE", "-fvisibility=hidden", "-O2", *WARNINGS]
        if self.sanitize:
            args += [f"-fsanitize={self.sanitize}", "-fno-omit-frame-pointer", "-g", "-O1"]
            args += ["-fno-sanitize-recover=all"]
        if self.debug:
            args += ["-Og", "-g"]
        if self.coverage:
            args += ["--coverage", "-fprofile-update=atomic", "-O0"]
        if self._is_whole():
            args += ["-flto=auto", "-fno-semantic-interposition"]
        return args

    def _is_whole(self) -> bool:
        return self.whole_program and not (self.sanitize or self.debug or self.coverage)

    def link_args(self) -> list[str]:
        args = [f"-fsanitize={self.sanitize}"] if self.sanitize else []
        args += ["--coverage"] if self.coverage else []
        args += ["-flto=auto"] if self._is_whole() else []
        return args


def cdef(header: Path) -> str:
    """Return the declarations of a header that is kept free of macros, for cffi."""
    lines = (ROOT / header).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def declarations(headers: list[Path]) -> str:
    """Return all that cffi is told of the core."""
    return "\n".join([for_cffi(tables()), *(cdef(h) for h in headers)])


def write_declared() -> None:
    """Write what Python needs of the declarations in C, where it is another than it was."""
    made = {
        PACKAGE / "core" / "declared.py": for_python(tables()),
        PACKAGE / "core" / "declared_events.py": declared_events.for_python(tables()),
        PACKAGE / "_core.pyi": stub(declarations(HEADERS)),
    }
    for path, text in made.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def core(options: Options, *, test: bool = False) -> FFI:
    """Return the builder of the extension module."""
    headers = TEST_HEADERS if test else HEADERS
    macros: list[tuple[str, str | None]] = [("NMQ_MEM_COUNT", None)] if test else []
    if options.sanitize:
        macros.append(("NMQ_CHECK_STEPS", None))  # of the states of a connection
    ffi = FFI()
    ffi.cdef(declarations(headers), override=test)  # headers share a few
    ffi.set_source(
        "tests._core_test" if test else "nanomq_py._core",
        "\n".join(f'#include "{Path(*h.parts[1:])}"' for h in headers),
        sources=[str(p) for p in SOURCES + (TEST_SOURCES if test else [])],
        include_dirs=["csrc", "tests"],
        define_macros=macros,
        extra_compile_args=options.compile_args(),
        extra_link_args=options.link_args(),
        libraries=LIBRARIES,
        py_limited_api=True,
    )
    return ffi


def _is_current(target: Path, made_by: str) -> bool:
    """Return whether an object was made by this command of what its sources are now."""
    try:
        made = target.stat().st_mtime_ns
        if target.with_suffix(".args").read_text() != made_by:
            return False
        needs = target.with_suffix(".d").read_text().replace("\\\n", " ").split()[1:]
        return all(Path(need).stat().st_mtime_ns < made for need in needs)
    except OSError:
        return False


class Incremental(build_ext):
    """setuptools' build_ext, which compiles and links what has changed, on all processors."""

    def build_extensions(self) -> None:
        self.compiler.compile = self._compile_changed
        self.compiler.force = (
            False  # the linker runs where an object is newer than its module
        )
        super().build_extensions()

    def _compile_changed(
        self,
        sources: list[str],
        output_dir: str | None = None,
        macros: list[Any] | None = None,
        include_dirs: list[str] | None = None,
        debug: bool = False,
        extra_preargs: list[str] | None = None,
        extra_postargs: list[str] | None = None,
        depends: list[str] | None = None,
    ) -> list[str]:
        compiler = self.compiler
        _, objects, postargs, options, build = compiler._setup_compile(
            output_dir, macros, include_dirs, sources, depends, extra_postargs
        )
        arguments = compiler._get_cc_args(options, debug, extra_preargs)

        def compile_one(target: str) -> None:
            path = Path(target)
            made_by = " ".join([*compiler.compiler_so, *arguments, *postargs])
            if _is_current(path, made_by):
                return
            noted = [*postargs, "-MMD", "-MF", str(path.with_suffix(".d"))]
            compiler._compile(target, *build[target], arguments, noted, options)
            path.with_suffix(".args").write_text(made_by)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compile_one, objects))
        return list(objects)


class BuildPython(build_py):
    """setuptools' build_py, which finds the modules that the declarations make."""

    def run(self) -> None:
        write_declared()
        super().run()


class BuildCore(Incremental):
    """What pip runs, told by cffi what to build. Its objects are those of build_in_place."""

    def finalize_options(self) -> None:
        work = ROOT / "build" / "core-plain"
        work.mkdir(parents=True, exist_ok=True)
        extension = core(Options()).distutils_extension(str(work.relative_to(ROOT)))
        self.distribution.ext_modules = [extension]
        super().finalize_options()
        self.build_temp = str(work.relative_to(ROOT))


def build_in_place(options: Options, *, test: bool) -> Path:
    """Build one extension module and put it beside its package's sources."""
    name = "test" if test else "core"
    work = ROOT / "build" / f"{name}-{options.sanitize or 'plain'}"
    work.mkdir(parents=True, exist_ok=True)
    if (
        options.coverage
    ):  # objects must keep their place: the counts are written beside them
        os.environ["GCOV_PREFIX_STRIP"] = "0"
    ffi = core(options, test=test)
    extension = ffi.distutils_extension(str(work.relative_to(ROOT)))
    dist = Distribution({"ext_modules": [extension]})
    command = Incremental(dist)
    command.build_temp = str(work.relative_to(ROOT))
    command.build_lib = str(work / "lib")
    command.force = True  # setuptools would look at no header
    command.ensure_finalized()
    built = Path(command.get_ext_fullpath(extension.name))
    _unlink_if_made_of_others(built, work, extension)
    command.run()
    target = ROOT / extension.name.replace(".", "/")
    final = target.parent / built.name
    if not final.exists() or final.stat().st_mtime_ns != built.stat().st_mtime_ns:
        new = final.with_suffix(".new")
        shutil.copy2(built, new)
        new.replace(final)  # a process that runs keeps the file that it has loaded
    return final


def _unlink_if_made_of_others(built: Path, work: Path, extension: Extension) -> None:
    """Have a module linked again that is of other sources: none of its objects is newer."""
    noted = work / "sources"
    now = "\n".join([*extension.sources, *extension.extra_link_args])
    if not noted.exists() or noted.read_text() != now:
        built.unlink(missing_ok=True)
        noted.write_text(now)


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the C core in place.")
    parser.add_argument("--sanitize", default="", help="address,undefined or thread")
    parser.add_argument("--debug", action="store_true")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--test", action="store_true", help="also tests/_core_test")
    args = parser.parse_args()
    os.chdir(ROOT)
    options = Options(args.sanitize, args.debug, args.coverage)
    write_declared()
    if "CC" not in os.environ and not shutil.which(
        sysconfig.get_config_var("CC").split()[0]
    ):
        os.environ["CC"] = "gcc"
    print(build_in_place(options, test=False))
    if args.test:
        print(build_in_place(replace(options, whole_program=False), test=True))


if __name__ == "__main__":
    main()
