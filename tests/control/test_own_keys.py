"""A part brings keys of its own: they are read, changed, shown and written as all others."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nanomq_py.cli import main
from nanomq_py.config.declare.section import Section
from nanomq_py.config.shipped import shipped
from nanomq_py.kernel.part import Part
from tests.conftest import Process, running_broker
from tests.samples import SAMPLES, Samples, SamplesPart

pytestmark = pytest.mark.plain

KEYS = {
    "samples__rate": "3",
    "samples__store__password": "store-secret",
    "samples__store__cache__size": "2",
    "samples__sink__a__token": "sink-secret",
    "samples__source__1__topic": "a/#",
    "samples__source__1__tags": "x,y",
    "samples__rule__1": '{"take":"a"}',
}
AS_JSON: dict[str, Any] = {
    "rate": 3,
    "store": {"path": "/tmp", "password": "store-secret", "cache": {"size": 2}},
    "sink": [{"name": "a", "token": "sink-secret"}],
    "source": [{"topic": "a/#", "tags": ["x", "y"]}],
    "rule": [{"take": "a"}],
}
SECRETS = ("store-secret", "sink-secret")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    with running_broker(tmp_path, module="tests.samples", **KEYS) as running:
        yield running


def samples_of(process: Process) -> Any:
    return process.api(req=11).json["data"]["samples"]


def test_file_is_read_and_reload_changes_what_the_part_does(process: Process) -> None:
    process.waits_for("samples: 3 a second")
    assert process.reload(samples__rate="4")["applied"] == ["samples.rate"]
    process.waits_for("samples: 4 a second")
    process.set_keys(samples__rate="9")
    got = process.api(req=10, action="reload")
    lines = process.conf.read_text().splitlines()
    line = 1 + next(n for n, text in enumerate(lines) if text.startswith("samples.rate"))
    assert (got.status, got.json["message"]) == (
        400, f"{process.conf}:{line}: samples.rate: 9 is more than this part can do",
    )  # fmt: skip
    process.set_keys(samples__rat="5", samples__rate=None)
    got = process.api(req=10, action="reload")
    assert "samples.rat: unknown key; did you mean samples.rate?" in got.json["message"]
    assert samples_of(process)["rate"] == 4


def test_environment_stands_above_the_file(tmp_path: Path) -> None:
    environ = {"NANOMQ_SAMPLES_RATE": "7", "NANOMQ_SAMPLES_SOURCE_1_TOPIC": "b"}
    with running_broker(tmp_path, environ, module="tests.samples", **KEYS) as process:
        process.waits_for("samples: 7 a second")
        assert samples_of(process) == {
            **AS_JSON, "rate": 7, "source": [{"topic": "b", "tags": ["x", "y"]}],
        }  # fmt: skip
        got = process.api(req=12, data={"samples": {"rate": 1}})
        assert (
            "NANOMQ_SAMPLES_RATE in the environment says otherwise" in got.json["message"]
        )


def test_request_11_shows_and_request_12_sets_them(process: Process) -> None:
    assert samples_of(process) == AS_JSON
    new = {
        "rate": 6,
        "store": {"path": "/s", "password": "new", "cache": {"size": 3}},
        "sink": [{"name": "b", "token": "t"}],
        "source": [{"topic": "c"}, {"topic": "d", "tags": ["z"]}],
        "rule": [{"take": "b"}, {"take": "c"}],
    }
    got = process.api(req=12, data={"samples": new})
    assert got.status == 200, got
    assert "samples.rate" in got.json["data"]["applied"]
    process.waits_for("samples: 6 a second")
    new["source"] = [{"topic": "c", "tags": []}, {"topic": "d", "tags": ["z"]}]
    assert samples_of(process) == new
    text = process.conf.read_text()
    assert "samples.store.path=/s\n" in text
    assert 'samples.rule.2={"take":"c"}\n' in text
    assert "sink-secret" not in text
    # What was written is what is read again.
    assert process.reload()["applied"] == []


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"rat": 1}, "samples.rat: unknown key"),
        ({"rate": "1"}, "samples.rate: expected a whole number"),
        ({"rate": 10}, "samples.rate: expected a whole number from 0 to 9"),
        ({"rate": 9}, "samples.rate: 9 is more than this part can do"),
        ({"store": []}, "samples.store: expected an object"),
        ({"store": {"path": ""}}, "samples.store.path: expected a text that is not empty"),
        ({"store": {"x": 1}}, "samples.store.x: unknown key"),
        ({"sink": {}}, "samples.sink: expected a list of objects"),
        ({"sink": [1]}, "samples.sink[0]: expected an object"),
        ({"sink": [{"token": "t"}]}, "samples.sink[0].name: expected a name that"),
        (
            {"sink": [{"name": "a b", "token": "t"}]},
            "samples.sink[0].name: expected a name",
        ),
        ({"sink": [{"name": "b"}]}, "samples.sink[0].token: expected a text"),
        ({"sink": [{"name": "b", "token": "******"}]}, "samples.sink[0].token: expected"),
        ({"source": [{"tags": []}]}, "samples.source[0].topic: expected a text"),
        ({"rule": [{"give": 1}]}, "samples.rule[0]: expected JSON such as"),
    ],
)
def test_wrong_value_is_refused_with_its_place(
    shared: Process, data: dict[str, Any], says: str
) -> None:
    text = shared.conf.read_text()
    got = shared.api(req=12, data={"qos_duration": 9, "samples": data})
    assert (got.status, got.json["code"]) == (400, 108)
    assert says in got.json["message"], got.json
    assert shared.conf.read_text() == text
    assert samples_of(shared) == AS_JSON


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("samples")
    with running_broker(folder, module="tests.samples", **KEYS) as running:
        yield running


def test_secrets_are_masked_and_a_mask_leaves_them_alone(tmp_path: Path) -> None:
    given = {**KEYS, "http_server__mask_secrets": "always"}
    with running_broker(tmp_path, module="tests.samples", **given) as process:
        masked = samples_of(process)
        assert (masked["store"]["password"], masked["sink"][0]["token"]) == ("******",) * 2
        masked["rate"] = 2
        masked["sink"].insert(0, {"name": "b", "token": "other"})
        assert process.api(req=12, data={"samples": masked}).status == 200
        text = process.conf.read_text()
        assert "samples.sink.a.token=sink-secret\n" in text
        assert "samples.sink.b.token=other\n" in text
        assert "samples.store.password=store-secret\n" in text
        process.waits_for("samples: 2 a second")
        assert not any(secret in line for line in process.lines for secret in SECRETS)


def test_they_outlive_a_restart_whose_file_is_broken(process: Process) -> None:
    process.conf.write_text("no_such=1\n")
    process.popen.send_signal(signal.SIGUSR2)
    process.waits_for("not restarted: ")
    process.set_keys(no_such=None, samples__rate="8")
    process.popen.send_signal(signal.SIGUSR2)
    process.waits_for("samples: 8 a second")


# --- the command line

PARTS = (SamplesPart,)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "nanomq.conf"
    path.write_text("".join(f"{k.replace('__', '.')}={v}\n" for k, v in KEYS.items()))
    path.chmod(0o600)
    return path


def test_conf_check_knows_the_keys_of_parts(
    conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["conf", "check", str(conf)], PARTS) == 0
    told = capsys.readouterr()  # as root there is a word about "user", too
    assert (told.out.splitlines()[-1], told.err) == (f"{conf}: good", "")
    conf.chmod(0o644)
    assert main(["conf", "check", str(conf)], PARTS) == 0
    assert "user of this machine read samples.store.password" in capsys.readouterr().err
    assert main(["conf", "check", str(conf)]) == 2
    assert "samples.rate: unknown key" in capsys.readouterr().err
    conf.write_text("samples.rate=10\nsamples.sink.a.x=1\n")
    assert main(["conf", "check", str(conf)], PARTS) == 2
    told = capsys.readouterr().err
    assert "nanomq.conf:1: samples.rate='10': expected" in told
    assert "samples.sink.a.token: missing" in told


def test_conf_show_and_diff_show_the_keys_of_parts_without_secrets(
    conf: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NANOMQ_SAMPLES_RATE", "7")
    assert main(["conf", "show", str(conf)], PARTS) == 0
    shown = capsys.readouterr().out
    assert "# default: 5\nsamples.rate=7\n" in shown
    assert "samples.sink.a.token=(hidden)\n" in shown
    assert main(["conf", "diff", str(conf)], PARTS) == 0
    diff = capsys.readouterr().out
    assert "samples.rate: 5 -> 7 (at once)\n" in diff
    assert not any(secret in shown + diff for secret in SECRETS)
    assert main(["conf", "show", "--defaults"], PARTS) == 0
    assert capsys.readouterr().out == shipped((SAMPLES,))


class Twice(Part):
    brings = (Section("tls", Samples),)


def test_key_that_two_declare_is_the_fault_of_a_part() -> None:
    with pytest.raises(ValueError, match="declared twice: tls"):
        main(["conf", "show"], (Twice,))
    with pytest.raises(ValueError, match=r"declared twice: samples, samples.rate"):
        main(["conf", "show"], (SamplesPart, SamplesPart))
