"""config/: a part brings a section of its own, and every view takes it as one of Config's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nanomq_py.config import Config, ConfigError, load, parse
from nanomq_py.config.declare.section import Brought
from nanomq_py.config.edit import edited
from nanomq_py.config.environment import from_environment
from nanomq_py.config.file import ConfFile
from nanomq_py.config.nanomq.form import is_nested
from nanomq_py.config.reader import from_texts, read
from nanomq_py.config.settings import differences, is_secret, settings_of
from nanomq_py.config.shipped import shipped
from tests.samples import SAMPLES, Cache, Rule, Samples, Sink, Source, Store
from tools.configuration import page

pytestmark = pytest.mark.plain

FLAT = """\
samples.rate=3
samples.store.password={p
samples.store.cache.size=2
samples.sink.a.token=[t
samples.source.1.topic=a/#
samples.source.1.tags=x,y
samples.source.2.topic=b
samples.rule.1={"take":"a"}
"""
NESTED = """\
mqtt {}
samples = { rate = 3, store { password = "{p", cache.size = 2 }, sink.a { token = "[t" }
  source = [ {topic = "a/#", tags = [x, y]}, b ]
  rule { 1 = { take = a } } }
"""
READ = Samples(
    rate=3,
    store=Store(password="{p", cache=Cache(size=2)),
    sinks=(Sink(name="a", token="[t"),),
    sources=(Source(topic="a/#", tags=("x", "y")), Source(topic="b")),
    rules=(Rule(take="a"),),
)


@pytest.mark.parametrize("text", [FLAT, NESTED])
def test_section_of_a_part_is_read_shown_and_edited(text: str) -> None:
    reading = read(text, "x", brought=(SAMPLES,))
    config = reading.config
    assert reading.nested == (text == NESTED)
    assert config.of_part(Samples) == READ
    shown = {name: setting.shown for name, setting in settings_of(config).items()}
    assert (shown["samples.rate"], shown["samples.sink.a.token"]) == ("3", "(hidden)")
    assert shown["samples.store.password"] == "(hidden)"
    assert is_secret("samples.sink.a.token", (SAMPLES,))

    new = replace(READ, rate=4, sources=(Source(topic="c", tags=("z",)),))
    other = replace(config, brought=(Brought(SAMPLES, new),))
    assert "samples.rate: 3 -> 4" in [str(d) for d in differences(config, other)]
    made = edited(reading, other, "x", None)
    assert made.config == other
    assert "[t" in made.text

    texts = {name: setting.text for name, setting in settings_of(other).items()}
    assert from_texts(texts, "there", (SAMPLES,)) == other


def test_sections_of_parts_are_read_by_every_reader(tmp_path: Path) -> None:
    conf = tmp_path / "nanomq.conf"
    conf.write_text(FLAT)
    assert load(conf, (SAMPLES,)).of_part(Samples) == READ
    assert parse(FLAT, "x", (SAMPLES,)).of_part(Samples) == READ
    file = ConfFile(conf, {}, (SAMPLES,))
    assert file.read().config.of_part(Samples) == READ
    before = ConfFile.taking_over(conf, {}, file.reading.config)
    assert before.read().config.of_part(Samples) == READ
    assert is_nested("samples = { rate = 1 }", (SAMPLES,))
    assert not is_nested("samples = { rate = 1 }")


def test_sections_of_parts_are_read_from_the_environment() -> None:
    environ = {
        "NANOMQ_SAMPLES_RATE": "7",
        "NANOMQ_SAMPLES_SOURCE_2_TOPIC": "b",
        "NANOMQ_SAMPLES_RULE_1": '{"take":"a"}',
        "NANOMQ_SAMPLES_SINK_A_TOKEN": "t",  # a or A: nobody can tell
        "NANOMQ_SAMPLES_NO_SUCH": "1",
    }
    entries = from_environment(environ, (SAMPLES,))
    assert {name: entry.value for name, entry in entries.items()} == {
        "samples.rate": "7",
        "samples.source.2.topic": "b",
        "samples.rule.1": '{"take":"a"}',
    }
    reading = read("samples.rate=1", "x", overrides=entries, brought=(SAMPLES,))
    assert reading.config.of_part(Samples).rate == 7
    assert from_environment(environ) == {}


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
    assert (
        "\n# --- Sinks\n# Where samples go.\n#samples.sink.main.token=change-me\n"
        in shipped((SAMPLES,))
    )
    assert "## Samples of a part" in page((SAMPLES,))
    assert "| `samples.sink.NAME.token` |" in page((SAMPLES,))
    assert "| `samples.rule.N` | JSON such as" in page((SAMPLES,))
    assert "| `samples.rate` | a whole number from 0 to 9 | `5` |" in page((SAMPLES,))
