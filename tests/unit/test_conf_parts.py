"""config/: a part brings a section of its own, and every view takes it as one of Config's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from nanomq_py.config import Config, ConfigError, parse
from nanomq_py.config.declare.family import NAME, family
from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.declare.section import Brought, Section
from nanomq_py.config.edit import edited
from nanomq_py.config.reader import from_texts, read
from nanomq_py.config.settings import differences, is_secret, settings_of
from nanomq_py.config.shipped import shipped
from nanomq_py.config.values.kind import Optional
from nanomq_py.config.values.numbers import Whole
from nanomq_py.config.values.texts import Text
from tools.configuration import page


@dataclass(frozen=True, kw_only=True)
class Sink(Checked):
    name: str = ""
    token: str | None = key(
        "token", Optional(Text()), None, "What it asks for.", secret=True
    )


@dataclass(frozen=True, kw_only=True)
class Samples(Checked):
    rate: int = key("rate", Whole(0, 9), 5, "Samples a second.")
    sinks: tuple[Sink, ...] = family("sink", Sink, NAME, required=("token",))


SAMPLES = Section("samples", Samples, "Samples of a part")
FLAT = "samples.rate=3\nsamples.sink.a.token=[t\n"
NESTED = 'mqtt {}\nsamples { rate = 3, sink.a { token = "[t" } }\n'


@pytest.mark.parametrize("text", [FLAT, NESTED])
def test_section_of_a_part_is_read_shown_and_edited(text: str) -> None:
    reading = read(text, "x", brought=(SAMPLES,))
    config = reading.config
    samples = config.of_part(Samples)
    assert samples == Samples(rate=3, sinks=(Sink(name="a", token="[t"),))
    shown = {name: setting.shown for name, setting in settings_of(config).items()}
    assert (shown["samples.rate"], shown["samples.sink.a.token"]) == ("3", "(hidden)")
    assert is_secret("samples.sink.a.token", (SAMPLES,))

    other = replace(config, brought=(Brought(SAMPLES, replace(samples, rate=4)),))
    assert [str(d) for d in differences(config, other)] == ["samples.rate: 3 -> 4"]
    made = edited(reading, other, "x", None)
    assert made.config == other
    assert "[t" in made.text

    texts = {name: setting.text for name, setting in settings_of(other).items()}
    assert from_texts(texts, "there", (SAMPLES,)).of_part(Samples).rate == 4


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("samples.rate=10", "x:1: samples.rate='10': expected a whole number from 0 to 9"),
        ("samples.sink.a.x=1", "samples.sink.a.token: missing, samples.sink.a needs one"),
        ("samples.rat=1", "samples.rat: unknown key; did you mean samples.rate?"),
    ],
)
def test_fault_in_a_section_of_a_part_is_told(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text, "x", brought=(SAMPLES,))
    assert error in str(caught.value)


def test_keys_are_unknown_when_no_part_brings_them() -> None:
    with pytest.raises(ConfigError, match=r"x:1: samples\.rate: unknown key"):
        parse("samples.rate=3\n", "x")
    many = "".join(f"samples.sink.n{n}.token=t\n" for n in range(100))
    assert len(read(many, "x", brought=(SAMPLES,)).config.of_part(Samples).sinks) == 100
    assert Config().of_part(Samples) == Samples()


def test_section_of_a_part_is_shipped_and_documented() -> None:
    assert "\n# --- Samples of a part\n# Samples a second.\nsamples.rate=5\n" in shipped(
        (SAMPLES,)
    )
    assert "## Samples of a part" in page((SAMPLES,))
    assert "| `samples.rate` | a whole number from 0 to 9 | `5` |" in page((SAMPLES,))
