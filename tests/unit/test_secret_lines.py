"""Members that are one line of JSON, and a secret."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest

from nanomq_py.config import ConfigError
from nanomq_py.config.declare.family import NUMBER, BadMember, Line, family
from nanomq_py.config.declare.key import Checked, Key
from nanomq_py.config.declare.section import Section
from nanomq_py.config.reader import read
from nanomq_py.http.errors import BadParameter
from nanomq_py.http.values import MASK, changed, values_json

pytestmark = pytest.mark.plain


class _DoorJson(msgspec.Struct, forbid_unknown_fields=True):
    code: str
    floor: int = 0


@dataclass(frozen=True, kw_only=True)
class Door:
    code: str
    floor: int = 0

    def __post_init__(self) -> None:
        if self.floor > 9:
            raise BadMember("a floor up to 9")


@dataclass(frozen=True, kw_only=True)
class Doors(Checked):
    doors: tuple[Door, ...] = family(
        "door",
        Door,
        NUMBER,
        line=Key("", Line(_DoorJson, '{"code":"a"}'), "What opens it.", secret=True),
    )


DOORS = Doors(doors=(Door(code="1234", floor=1), Door(code="5678")))


def test_what_they_say_is_masked() -> None:
    assert values_json(DOORS, masked=False) == {
        "door": [{"code": "1234", "floor": 1}, {"code": "5678"}]
    }
    assert values_json(DOORS, masked=True) == {
        "door": [{"code": MASK, "floor": MASK}, {"code": MASK}]
    }


def test_a_mask_leaves_one_as_it_is() -> None:
    assert changed(DOORS, "", values_json(DOORS, masked=True)) == DOORS
    made = changed(DOORS, "", {"door": [{"code": MASK, "floor": 2}]})
    assert made == Doors(doors=(Door(code="1234", floor=2),))
    with pytest.raises(BadParameter, match="door"):
        changed(Doors(), "", {"door": [{"code": MASK}]})


def test_an_error_does_not_show_one() -> None:
    line = 'doors.door.1={"code":"1234","floor":10}\n'
    with pytest.raises(ConfigError, match="a floor up to 9") as caught:
        read(line, "conf", brought=(Section("doors", Doors),))
    assert "1234" not in str(caught.value)
