"""config/: the promise of tests/fuzz/conf.py, for as long as a suite may take."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given

from nanomq_py.config.values.numbers import Whole
from tests.fuzz import conf, run
from tests.fuzz.conf import FILES, NAMES, keep_promise

pytestmark = pytest.mark.plain


@given(FILES)
def test_any_file_of_either_form_is_read_or_a_clear_error(text: str) -> None:
    keep_promise(text)


def test_names_that_are_tried_are_those_of_every_family() -> None:
    families = {"auth.1.login", "acl.rule.1", "listener.a.url", "web.hook.headers.a"}
    families |= {"bridge.mqtt.a.subscription.1.topic", "web.hook.rule.client.connack.1"}
    families |= {"auth.http.auth_req.headers.a", "auth.http.auth_req.url"}
    assert families <= set(NAMES)


@pytest.mark.plain
def test_target_that_keeps_its_promise_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "OUT", tmp_path)
    assert run.run("conf", 0, None)
    assert capsys.readouterr().out.startswith("conf: kept, 3 runs")  # its seeds


@pytest.mark.plain
def test_target_finds_a_fault_and_keeps_a_text_that_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Whole, text: str) -> int:
        raise ValueError(text)

    with monkeypatch.context() as planted:
        planted.setattr(Whole, "parse", fails)
        assert conf.main(["--seconds=20", f"--kept={tmp_path}/conf-"]) == 1
        with pytest.raises(ValueError, match=r".?"):
            keep_promise((tmp_path / "conf-crash").read_text())
        assert conf.main(["--seconds=0", f"--kept={tmp_path}/", str(tmp_path)]) == 1
    assert conf.main(["--seconds=0", f"--kept={tmp_path}/", str(tmp_path)]) == 0
