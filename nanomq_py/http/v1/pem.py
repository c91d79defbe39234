"""PEM files of TLS, which requests 11 and 12 show and take as texts."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from nanomq_py import kept
from nanomq_py.config import ConfigError
from nanomq_py.config.file import write_new
from nanomq_py.http.codes import Code
from nanomq_py.http.v1.reply import Refused
from nanomq_py.http.v1.values import refuse
from nanomq_py.listen.tls import MAX_PEM_BYTES

log = logging.getLogger("nanomq.http")


def read_pem(path: str | None) -> str | None:
    if path is None:
        return None
    try:
        return kept.read_bytes(path, MAX_PEM_BYTES).decode("ascii")
    except (OSError, ValueError):
        log.warning("%s cannot be read; req 11 answers null for it", path)
        return None


@dataclass
class PemFiles:
    """PEM texts of a request, on their way to files beside the configuration file."""

    conf: Path | None
    texts: dict[Path, str] = field(default_factory=dict, repr=False)
    _made: list[Path] = field(default_factory=list)

    def path_for(self, name: str, text: str) -> str:
        """Return where the text will be. Raises Refused."""
        if "-----BEGIN " not in text or "\0" in text or not text.isascii():
            raise refuse(f"tls.{name}", "the text of a PEM file")
        if self.conf is None:
            raise Refused(
                400,
                Code.REQ_PARAM_ERROR,
                f"tls.{name}: the broker was started without a file to keep it beside",
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
