"""PEM files of TLS, which dialects show and take as texts."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nanomq_py import kept
from nanomq_py.config import Config, ConfigError
from nanomq_py.config.file import write_new
from nanomq_py.config.keys.listeners import Tls
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.values import MASK, refuse
from nanomq_py.kernel.part import Change, Part
from nanomq_py.listen.tls import MAX_PEM_BYTES

log = logging.getLogger("nanomq.http")

# Fields of "tls" that are the text of a file -> the key that names the file.
PEM = {"key": "keyfile", "cert": "certfile", "cacert": "cacertfile"}


def read_pem(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return kept.read_bytes(path, MAX_PEM_BYTES).decode("ascii")
    except (OSError, ValueError):
        log.warning("%s cannot be read; the HTTP API answers null for it", path)
        return None


@dataclass
class PemFiles:
    """PEM texts of a request, on their way to files beside the configuration file."""

    conf: Path | None
    texts: dict[Path, str] = field(default_factory=dict, repr=False)
    _made: list[Path] = field(default_factory=list)

    def path_for(self, name: str, text: str) -> str:
        """Return where the text will be. Raises BadParameter."""
        if "-----BEGIN " not in text or "\0" in text or not text.isascii():
            raise refuse(f"tls.{name}", "the text of a PEM file")
        if self.conf is None:
            raise BadParameter(
                f"tls.{name}: the broker was started without a file to keep it beside"
            )
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        path = self.conf.with_name(f"{self.conf.stem}-{name}-{digest}.pem")
        self.texts[path] = text
        return str(path)

    def write(self) -> None:
        """Write them, for the owner only. Raises ConfigError, and leaves none."""
        for path, text in self.texts.items():
            if os.path.exists(path):  # a closed folder is told by the write
                continue
            try:
                write_new(path, text.encode(), 0o600)
            except OSError as fault:
                self.remove()
                raise ConfigError(f"{path}: not written: {fault.strerror}") from None
            self._made.append(path)

    def remove(self) -> None:
        """Take back what :meth:`write` did."""
        for path in self._made:
            path.unlink(missing_ok=True)
        self._made.clear()

    def remove_old(self) -> None:
        """Remove those that neither the file nor its ``.bak`` names any more."""
        if self.conf is None or not self.texts:
            return
        backup = self.conf.with_name(f"{self.conf.name}.bak")
        said = "".join(
            path.read_text(encoding="utf-8", errors="replace")
            for path in (self.conf, backup)
            if path.exists()
        )
        pattern = re.escape(self.conf.stem) + r"-(key|cert|cacert)-[0-9a-f]{16}\.pem"
        for path in self.conf.parent.iterdir():
            if re.fullmatch(pattern, path.name) and path.name not in said:
                path.unlink(missing_ok=True)


class _PemChange(Change):
    """The PEM files of a change, written already."""

    def __init__(self, pem: PemFiles) -> None:
        self._pem = pem

    async def undo(self) -> None:
        await asyncio.to_thread(self._pem.remove)


class PemPart(Part):
    """The PEM files of a change of the configuration, as a part of it."""

    name = "pem"

    def __init__(self, pem: PemFiles) -> None:
        self._pem = pem

    async def prepare(self, config: Config) -> Change:
        await asyncio.to_thread(self._pem.write)
        return _PemChange(self._pem)


def pem_json(tls: Tls, *, masked: bool) -> dict[str, str | None]:
    """Return the texts of the PEM files, by the names of PEM. Blocks."""
    pem = {name: read_pem(getattr(tls, attribute)) for name, attribute in PEM.items()}
    if masked and pem["key"] is not None:
        pem["key"] = MASK
    return pem


def pem_paths(tls: Tls, data: dict[str, Any], pem: PemFiles) -> dict[str, str]:
    """Take the PEM texts out of ``data``; return the keys that name their files. Blocks.

    Raises   BadParameter
    """
    if "keypass" in data:  # the table of nanomq-http-api-v1.txt calls it so
        data.setdefault("key_password", data.pop("keypass"))
    paths = {}
    for name, attribute in PEM.items():
        text = data.pop(name, None)
        if text is None or (name == "key" and text == MASK):
            continue
        if not isinstance(text, str):
            raise refuse(f"tls.{name}", "the text of a PEM file")
        if text != read_pem(getattr(tls, attribute)):
            paths[attribute] = pem.path_for(name, text)
    return paths
