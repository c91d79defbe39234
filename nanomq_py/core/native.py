"""cffi's view of the C core, with the nng of pynng put in: the only importer of ``_core``.

For this room alone: nothing of cffi leaves it.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pynng._nng

from nanomq_py._core import ffi as ffi
from nanomq_py._core import lib as lib

if TYPE_CHECKING:
    from nanomq_py._core import CData, Chars


class CoreError(Exception):
    """A call into the core failed; ``status`` is its negative ``enum nmq_status``."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(ffi.string(lib.nmq_status_text(status)).decode())


def check(status: int) -> int:
    """Return a count from C, or raise the :class:`CoreError` that it stands for."""
    if status < 0:
        raise CoreError(status)
    return status


def check_opened(status: int) -> int:
    """Return as :func:`check` does, for a call that needs a descriptor.

    Raises   OSError where the process may have no more of them
    """
    if status == lib.NMQ_EFILES:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return check(status)


def _bind_nng() -> None:
    """Give the core the nng functions that it names, out of pynng's nng."""
    for index in range(lib.nmq_engine_count()):
        name = ffi.string(lib.nmq_engine_name(index)).decode()
        address = pynng._nng.ffi.addressof(pynng._nng.lib, name)
        number = int(pynng._nng.ffi.cast("uintptr_t", address))
        lib.nmq_engine_bind(index, ffi.cast("void *", number))


_bind_nng()
# Whether TLS 1.3 is safe. If not, 1.2 is spoken, unless the configuration refuses it.
TLS_IS_GUARDED: bool = lib.nmq_tls_guard() == lib.NMQ_OK


def c_text(value: str | None, kept: list[CData]) -> Chars:
    """Return a C string that lives as long as ``kept``."""
    if value is None:
        return ffi.NULL  # type: ignore[no-any-return] # it is of every type
    text = ffi.new("char[]", value.encode())
    kept.append(text)
    return text


def text_of(at: Chars, length: int) -> str:
    return bytes(ffi.buffer(at, length)).decode(errors="replace")


def optional_text(at: Chars, length: int) -> str | None:
    return None if at == ffi.NULL else text_of(at, length)


def optional_bytes(at: Chars, length: int) -> bytes | None:
    return None if at == ffi.NULL else bytes(ffi.buffer(at, length))
