"""Reads the parameters of a request, in its query and its body, into msgspec structs."""

from __future__ import annotations

import re
from collections.abc import Hashable
from functools import lru_cache
from typing import TypeVar, cast, get_args
from urllib.parse import parse_qsl

import msgspec

from nanomq_py.http.errors import BadParameter, MissingParameter, NotJson

MOST_FIELDS = 200  # of a query

_MISSING = re.compile(r"Object missing required field `(.*?)`")

T = TypeVar("T")


class Nothing(msgspec.Struct, frozen=True):
    """A request has no such parameters; what it has is not looked at."""


NOTHING = Nothing()


@lru_cache(1000)
def _required(shape: Hashable) -> tuple[str, ...]:
    """Return the fields that a struct cannot be without, or one beside other types."""
    for each in (shape, *get_args(shape)):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            return tuple(f.encode_name for f in msgspec.structs.fields(each) if f.required)
    return ()


def converted(said: object, shape: type[T], *, strict: bool = True) -> T:
    """Return a value of JSON as that type. Raises MissingParameter, BadParameter."""
    if isinstance(said, dict) and (
        missing := [n for n in _required(cast(Hashable, shape)) if said.get(n) is None]
    ):
        raise MissingParameter(missing)
    try:
        return msgspec.convert(said, shape, strict=strict)
    except (msgspec.ValidationError, RecursionError) as fault:
        if (match := _MISSING.match(str(fault))) is not None:
            raise MissingParameter([match[1]]) from None
        raise BadParameter(_told(str(fault))) from None


def _told(fault: str) -> str:
    """Return what msgspec says of a value, with the place first: ``qos: Expected ...``."""
    what, _, where = fault.partition(" - at `$")
    place = where.rstrip("`").lstrip(".")
    return f"{place}: {what}" if place else what


def read_query(query: bytes, shape: type[T]) -> T:
    """Return the parameters of a query string; of a name that comes twice, the last counts.

    Raises   BadParameter naming the parameter
    """
    if not query:
        return converted({}, shape, strict=False)
    try:
        pairs = parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            max_num_fields=MOST_FIELDS,
            errors="strict",
        )
    except ValueError:  # UnicodeDecodeError too
        raise BadParameter(
            f"query: expected percent-encoded UTF-8, of {MOST_FIELDS} parameters at most"
        ) from None
    return converted(dict(pairs), shape, strict=False)


def read_json(body: bytes, shape: type[T]) -> T:
    """Return what a JSON body says; an empty one counts where nothing is required.

    Raises   NotJson, MissingParameter, BadParameter
    """
    if not body.strip() and not _required(cast(Hashable, shape)):
        body = b"{}"
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
        raise NotJson(f"body: expected JSON: {fault}") from None
    return converted(said, shape, strict=True)
