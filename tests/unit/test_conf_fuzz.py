"""config/: the promise of tests/fuzz/conf.py, for as long as a suite may take."""

from __future__ import annotations

from hypothesis import given

from tests.fuzz.conf import FILES, NAMES, keep_promise


@given(FILES)
def test_any_file_of_either_form_is_read_or_a_clear_error(text: str) -> None:
    keep_promise(text)


def test_names_that_are_tried_are_those_of_every_family() -> None:
    families = {"auth.1.login", "acl.rule.1", "listener.a.url", "web.hook.headers.a"}
    families |= {"bridge.mqtt.a.subscription.1.topic", "web.hook.rule.client.connack.1"}
    families |= {"auth.http.auth_req.headers.a", "auth.http.auth_req.url"}
    assert families <= set(NAMES)
