"""The syntax of ``mosquitto.conf``: ``option value`` lines, and files that it includes.

Source  mosquitto.conf(5) of mosquitto 2.0 and 2.1
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nanomq_py.config.faults import ConfigError
from nanomq_py.config.reader import read_text
from nanomq_py.importing.draft import Option

MOST_FILES = 256  # of all folders that are included


def lines_of(path: Path) -> list[Option]:
    """Return the lines of a file, and of the folders that it includes in their places.

    Raises   ConfigError where a file cannot be read, or a folder includes others
    """
    found: list[Option] = []
    for option in _read(path):
        if option.name != "include_dir":
            found.append(option)
            continue
        for below in _files(path, option):
            inner = list(_read(below))
            nested = next((line for line in inner if line.name == "include_dir"), None)
            if nested is not None:
                raise ConfigError(f"{nested.where}: include_dir: expected in {path} only")
            found += inner
    return found


def _read(path: Path) -> Iterator[Option]:
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        text = line.strip()
        if text and not text.startswith("#"):
            name, _, value = text.partition(" ")
            yield Option(name, value.strip(), f"{path}:{number}")


def _files(path: Path, option: Option) -> list[Path]:
    """Return the ``.conf`` files of an included folder, in the order of their names."""
    folder = path.parent / option.value
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix == ".conf")
    except OSError as fault:
        where = f"{option.where}: include_dir {option.value!r}"
        raise ConfigError(f"{where}: cannot be read: {fault.strerror}") from None
    if len(files) > MOST_FILES:
        raise ConfigError(
            f"{option.where}: include_dir: expected {MOST_FILES} files at most"
        )
    return files
