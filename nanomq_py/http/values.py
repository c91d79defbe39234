"""Values of a dataclass of the configuration as JSON, and JSON put into one.

::

    samples.rate=3               {"rate": 3,
    samples.store.path=/s         "store": {"path": "/s"},
    samples.sink.a.token=t        "sink": [{"name": "a", "token": "t"}],
    samples.source.1.topic=x      "source": [{"topic": "x"}]}

A section is an object, a family a list of objects: what its members are called is a field. The
names are those of the file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import Field, replace
from typing import Any, TypeVar

import orjson

from nanomq_py.config.declare.family import BadMember, Family, families_of
from nanomq_py.config.declare.key import Key, keys_of
from nanomq_py.config.declare.section import sections_of
from nanomq_py.config.values.kind import BadValue, UserInUrl
from nanomq_py.http.errors import BadParameter

MASK = "******"  # in place of a secret; a change does not take it for a value
S = TypeVar("S")


def refuse(name: str, expected: str) -> BadParameter:
    return BadParameter(f"{name}: expected {expected}")


def object_of(name: str, value: object) -> dict[str, Any]:
    """Return the fields of a JSON object. Raises BadParameter."""
    if not isinstance(value, dict):
        raise refuse(name, "an object")
    return value


# --- to JSON


def _called(declared: Field[Any], key: Key) -> str:
    """Return the name of a key in JSON; the only value of a member has none in the file."""
    return key.name or declared.name


def keys_json(values: Any, *, masked: bool) -> dict[str, Any]:
    """Return the keys of a dataclass, without what is below it.

    masked  secrets are MASK
    """
    data = {}
    for declared, key in keys_of(type(values)):
        value = getattr(values, declared.name)
        if masked and key.secret and value:
            value = MASK
        data[_called(declared, key)] = list(value) if isinstance(value, tuple) else value
    return data


def _line_json(key: Key, member: Any, *, masked: bool) -> dict[str, Any]:
    """Return a member that the file writes on one line."""
    fields: dict[str, Any] = orjson.loads(key.kind.render(member))
    return dict.fromkeys(fields, MASK) if masked and key.secret else fields


def members_json(
    family: Family, members: tuple[Any, ...], *, masked: bool
) -> list[dict[str, Any]]:
    made = []
    for member in members:
        attribute = family.index.attribute
        named = {attribute: getattr(member, attribute)} if attribute else {}
        if family.line is not None:
            fields = _line_json(family.line, member, masked=masked)
        else:
            fields = values_json(member, masked=masked)
        made.append({**named, **fields})
    return made


def values_json(values: Any, *, masked: bool) -> dict[str, Any]:
    """Return all that a dataclass declares. ``masked``: secrets are MASK."""
    data = keys_json(values, masked=masked)
    for declared, section in sections_of(type(values)):
        data[section.prefix] = values_json(getattr(values, declared.name), masked=masked)
    for declared, family in families_of(type(values)):
        members = getattr(values, declared.name)
        data[family.prefix] = members_json(family, members, masked=masked)
    return data


# --- from JSON


def _value(name: str, key: Key, value: object) -> Any:
    """Return the value of a key. Raises BadParameter."""
    kind = key.kind
    texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
    if type(value) is not kind.json or (kind.json is list and not texts):
        raise refuse(name, kind.expected)
    try:
        parsed = kind.parse(kind.render(tuple(value) if isinstance(value, list) else value))
    except UserInUrl:
        raise refuse(name, key.no_user) from None
    except BadValue as bad:
        raise refuse(name, bad.expected(kind.expected)) from None
    if isinstance(value, list) and list(parsed) != value:
        raise refuse(name, kind.expected)
    return parsed


def changed(
    values: S,
    prefix: str,
    data: Mapping[str, Any],
    names: Collection[str] | None = None,
    masked: Any = None,
) -> S:
    """Return the values with those of ``data``; null, or a MASK, leaves one alone.

    prefix  stands before the names in errors
    names   that may be given; None: all
    masked  holds what a MASK stands for; None: ``values``
    Raises  BadParameter naming the field
    """
    before = values if masked is None else masked
    kind = type(values)
    keys = {_called(declared, key): (declared, key) for declared, key in keys_of(kind)}
    sections = {section.prefix: declared for declared, section in sections_of(kind)}
    families = {family.prefix: (declared, family) for declared, family in families_of(kind)}
    known = {*keys, *sections, *families} if names is None else names
    made: dict[str, Any] = {}
    for name, value in data.items():
        at = f"{prefix}{name}"
        if name not in known:
            raise BadParameter(f"{at}: unknown key")
        if value is None:
            continue
        if name in keys:
            field, key = keys[name]
            old = getattr(before, field.name)
            made[field.name] = old if _is_mask(key, value) else _value(at, key, value)
        elif name in sections:
            field = sections[name]
            part, old = getattr(values, field.name), getattr(before, field.name)
            made[field.name] = changed(part, f"{at}.", object_of(at, value), masked=old)
        else:
            field, family = families[name]
            made[field.name] = changed_members(
                family, getattr(before, field.name), at, value
            )
    new: S = replace(values, **made)  # type: ignore[type-var]
    return new


def _is_mask(key: Key, value: object) -> bool:
    return key.secret and value == MASK


def changed_members(
    family: Family, old: Sequence[Any], at: str, value: object
) -> tuple[Any, ...]:
    """Return the members of a list, which are all that there will be."""
    if not isinstance(value, list):
        raise refuse(at, "a list of objects")
    attribute = family.index.attribute
    # What a MASK stands for: the value of the member that has that name, or place.
    before = {getattr(m, attribute) if attribute else n: m for n, m in enumerate(old)}
    made = []
    for number, item in enumerate(value):
        place = f"{at}[{number}]"
        fields = dict(object_of(place, item))
        named = {}
        if attribute:
            name = fields.pop(attribute, None)
            named[attribute] = member_name(family, f"{place}.{attribute}", name)
        known = before.get(named[attribute] if attribute else number)
        if family.line is not None:
            fields = _unmasked(family.line, fields, known)
            made.append(_line(family, family.line, place, fields, named))
            continue
        member = changed(family.member(**named), f"{place}.", fields, masked=known)
        _check_required(family, place, member)
        made.append(member)
    return tuple(made)


def member_name(family: Family, at: str, value: object) -> str:
    """Return the name of a member. Raises BadParameter."""
    if not isinstance(value, str) or re.fullmatch(family.index.names, value) is None:
        raise refuse(at, f"a name that matches {family.index.names}")
    return value


def _unmasked(key: Key, fields: dict[str, Any], known: Any) -> dict[str, Any]:
    """Return the fields of a line with what each MASK stands for; without those of nothing."""
    before = {} if known is None else _line_json(key, known, masked=False)
    return {
        name: before[name] if _is_mask(key, value) else value
        for name, value in fields.items()
        if name in before or not _is_mask(key, value)
    }


def _line(
    family: Family, key: Key, at: str, fields: dict[str, Any], named: dict[str, str]
) -> Any:
    """Return a member that the file writes on one line. Raises BadParameter."""
    try:
        return family.member(**key.kind.parse(orjson.dumps(fields).decode()), **named)
    except BadValue as bad:
        raise refuse(at, bad.expected(key.kind.expected)) from None
    except BadMember as bad:
        raise refuse(at, bad.args[0]) from None
    except orjson.JSONEncodeError:  # a number that no file of JSON here could hold
        raise refuse(at, key.kind.expected) from None


def _check_required(family: Family, at: str, member: Any) -> None:
    """Raise BadParameter where a key that every member has is not given."""
    for declared, key in keys_of(type(member)):
        if key.name in family.required and getattr(member, declared.name) in ("", None):
            raise refuse(f"{at}.{key.name}", key.kind.expected)
