"""Reading a configuration ends soon, however hostile it is, and what was read can be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from nanomq_py.cli.start import files_of
from nanomq_py.config import ConfigError, build, load, parse, reader
from nanomq_py.config.faults import MOST_FAULTS
from nanomq_py.config.reader import MOST_FILES, from_texts
from nanomq_py.config.settings import settings_of
from nanomq_py.run import systemd
from tests.samples import SAMPLES, Samples

pytestmark = pytest.mark.plain


def test_includes_of_includes_are_counted_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for level in range(8):
        (tmp_path / f"{level}.conf").write_text(f'include "{level + 1}.conf"\n' * 5)
    (tmp_path / "8.conf").write_text("mqtt { property_size = 1 }\n")
    read: list[Path] = []
    read_text = reader.read_text

    def counted(path: Path) -> str:
        read.append(path)
        return read_text(path)

    monkeypatch.setattr(reader, "read_text", counted)
    with pytest.raises(
        ConfigError, match=f"expected at most {MOST_FILES} includes"
    ) as caught:
        load(tmp_path / "0.conf")
    assert len(caught.value.args) == 1
    assert len(read) <= MOST_FILES + 1


def test_as_many_includes_as_may_be_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("msq_len = 7\n")
    conf = tmp_path / "x.conf"
    conf.write_text('include "a.conf"\n' * MOST_FILES)
    assert load(conf).msq_len == 7
    conf.write_text('include "a.conf"\n' * (MOST_FILES + 1))
    with pytest.raises(ConfigError, match=f"x.conf:{MOST_FILES + 1}: include 'a.conf': "):
        load(conf)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"no_such_{n}=1\n" for n in range(1000)),
        "".join(f"auth.no_such_{n}=1\n" for n in range(1000)),
        "mqtt {\n" + "".join(f"no_such_{n}=1\n" for n in range(1000)) + "}\n",
    ],
)
def test_unknown_keys_without_end_are_not_all_looked_at(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at = []
    is_known = build.is_known

    def counted(name: str) -> bool:
        looked_at.append(name)
        return is_known(name)

    monkeypatch.setattr(build, "is_known", counted)
    with pytest.raises(ConfigError) as caught:
        parse(text, "x")
    first = 2 if text.startswith("mqtt") else 1
    assert caught.value.args[0].startswith(f"x:{first}: ")
    assert len(caught.value.args) == MOST_FAULTS + 1
    assert caught.value.args[-1] == "and more"
    assert len(looked_at) <= 2 * MOST_FAULTS + 2


def test_lines_without_a_key_without_end_are_not_all_told() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("bogus\n" * 1000, "x")
    assert len(caught.value.args) == MOST_FAULTS + 1
    assert caught.value.args[-1] == "and more"


@pytest.mark.parametrize(
    "text",
    [
        "bridge.mqtt.z.subscription.3.qos=0\n",
        "bridges.mqtt.z { subscription = [{qos = 0}] }",
    ],
)
def test_subscription_of_a_bridge_needs_a_topic(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x")
    (fault,) = caught.value.args
    assert fault.startswith("x:1: ")
    assert "topic: missing" in fault


def test_number_of_a_subscription_may_begin_with_0() -> None:
    start = "bridge.mqtt.z.subscription.0"
    (bridge,) = parse(f"{start}3.qos=1\n{start}3.topic=b\n{start}1.topic=a\n", "x").bridges
    assert [(s.topic, s.qos) for s in bridge.subscription] == [("a", 0), ("b", 1)]


@pytest.mark.parametrize(
    "text",
    [
        "bridge.mqtt.z.subscription.3.qos=1\nbridge.mqtt.z.subscription.3.topic=a\n",
        "bridge.mqtt.z.bridge_mode=false\nlistener.tcp.proxy_protocol=false\n",
        "auth.http.auth_req.headers.X=Y\nauth.http.auth_req.params=a=b,c=d\n",
        "web.hook.headers.a-B=c\nweb.hook.rule.client.connack.7={\"action\":\"x\"}\n",
        'mqtt {}\nweb.hook { headers { a = "b" } }\n',
    ],
)  # fmt: skip
def test_what_is_read_can_be_read_again(text: str) -> None:
    config = parse(text, "x")
    texts = {name: setting.text for name, setting in settings_of(config).items()}
    again = settings_of(from_texts(texts, "y"))
    assert {name: setting.text for name, setting in again.items()} == texts


def test_what_ran_before_and_cannot_be_read_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By a restart: the file is used, and nothing is left where it is wrong too."""
    texts = {"bridge.mqtt.z.subscription.3.qos": "0"}
    monkeypatch.setattr(systemd, "config_of", lambda environ: texts)
    conf = tmp_path / "x.conf"
    conf.write_text("msq_len=7\n")
    files, faults = files_of(conf, None, ())
    assert [file.reading.config.msq_len for file in files] == [7]
    (told,) = faults
    assert told.startswith(
        "before the restart: bridge.mqtt.z.subscription.3.topic: missing"
    )
    assert told.endswith("the broker cannot go on with what ran before the restart")
    conf.write_text("msq_len=x\n")
    with pytest.raises(ConfigError) as caught:
        files_of(conf, None, ())
    assert [str(text).partition(": ")[0] for text in caught.value.args] == [
        f"{conf}:1",
        "before the restart",
    ]


def test_what_ran_before_has_the_keys_of_parts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(systemd, "config_of", lambda environ: {"samples.rate": "3"})
    conf = tmp_path / "x.conf"
    conf.write_text("msq_len=x\n")
    files, faults = files_of(conf, None, (SAMPLES,))
    assert [file.reading.config.of_part(Samples).rate for file in files] == [3]
    assert [fault.partition(": ")[0] for fault in faults] == [f"{conf}:1"]
