"""What a configuration never tells: passwords and tokens, in faults, lists of keys and logs."""

from __future__ import annotations

import pytest

from nanomq_py import Config
from nanomq_py.config import ConfigError, parse
from nanomq_py.config.keys.bridges import Bridge
from nanomq_py.config.keys.http_client import Header, HttpAuthRequest, WebHook
from nanomq_py.config.reader import from_texts
from nanomq_py.config.settings import differences, is_secret, settings_of

pytestmark = pytest.mark.plain


def faults_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x")
    return [str(fault) for fault in caught.value.args]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("auth.2.password hunter2", "x:1: auth.2.password: expected key=value"),
        ("auth.2.password\thunter2=", "x:1: auth.2.password: expected key=value"),
        ("a=b\n\nauth.2.password:hunter2=", "x:3: auth.2.password: expected key=value"),
        ("hunter2", "x:1: expected key=value"),
        ("=hunter2", "x:1: expected key=value"),
        ('http_server {\n password = "hun"ter2"\n}', "x:2: http_server.password: expected"),
        ('http_server {\n password "hunter2"\n}', "x:2: http_server.password: expected = and"),
        ("http_server {\n password = hunter{2secret\n}", "x:2: http_server.password: "),
        ("http_server {\n password = $hunter2\n}", "x:2: http_server.password: expected a"),
        ('http_server {\n password = "hunter2\n}', "x:2: http_server.password: expected"),
        ('http_server {\n password = "a\n hunter2 b"\n}', "x:2: http_server.password: "),
        ('http_server {\n password = """a\nhunter2 b\n}', "x:2: http_server.password: "),
        ("http_server {\n password = a,hunter2 b\n}", "x:2: http_server: expected = and"),
        ("http_server.password: hunter2$", "x:1: http_server.password: expected the end"),
        ("auth.password {\n joe hunter2\n}", "x:2: auth.password.joe: expected = and"),
        ("http_server {\n password += hunter2\n}", "x:2: http_server.password: expected ="),
        ('http_server { password = ["hunter2", $]}', "x:1: http_server.password: expected a"),
    ],
)  # fmt: skip
def test_fault_of_the_syntax_names_line_and_key_and_nothing_behind(
    text: str, told: str
) -> None:
    faults = faults_of(text)
    assert any(fault.startswith(told) for fault in faults), faults
    for piece in ("hunter2", "ter2", "2secret", "hun"):
        assert piece not in " ".join(faults)


HEADERS = """
auth.http.auth_req.headers.Authorization=Bearer hunter2
auth.http.acl_req.params=token=hunter2,user=%u
web.hook.headers.Authorization=Bearer hunter2
"""


def test_headers_and_params_are_secrets() -> None:
    config = parse(HEADERS, "x")
    for name in HEADERS.split("\n")[1:4]:
        assert is_secret(name.partition("=")[0]), name
    shown = [f"{n}={s.shown}" for n, s in settings_of(config).items()]
    assert "auth.http.auth_req.headers.Authorization=(hidden)" in shown
    assert "auth.http.acl_req.params=(hidden)" in shown
    assert "web.hook.headers.Authorization=(hidden)" in shown
    changes = [str(d) for d in differences(Config(), config)]
    assert "web.hook.headers.Authorization: (none) -> (hidden)" in changes
    assert "hunter2" not in " ".join(shown + changes) + repr(config)


def test_headers_and_params_are_not_in_the_repr_of_what_a_program_makes() -> None:
    made = HttpAuthRequest(headers=(Header("A", "hunter2"),), params=("a=hunter2",))
    assert "hunter2" not in repr(made) + repr(WebHook(headers=(Header("A", "hunter2"),)))


@pytest.mark.parametrize(
    ("key", "url"),
    [
        ("bridge.mqtt.b.address", "mqtt-tcp://u:hunter2@h:1"),
        ("bridge.mqtt.b.address", "mqtt-tcp://hunter2@h:1"),
        ("bridge.mqtt.b.address", "mqtt-tcp://u:hun/ter2@h:1"),
        ("bridge.mqtt.b.address", "mqtt-tcp://u:hunter2@h:x"),
        ("bridge.mqtt.b.address", "u:hunter2@h:1"),
        ("web.hook.url", "http://u:hunter2@h/"),
        ("auth.http.auth_req.url", "https://u:hunter2@h"),
        ("url", "nmq-tcp://u:hunter2@0.0.0.0:1883"),
    ],
)
def test_url_takes_no_user_and_does_not_show_one(key: str, url: str) -> None:
    (fault,) = faults_of(f"{key}={url}")
    assert fault.startswith(f"x:1: {key}=(hidden): expected a URL ")
    assert "without a user name" in fault
    assert "ter2" not in fault
    with pytest.raises(ConfigError) as caught:
        Bridge(name="b", address="mqtt-tcp://u:hunter2@h:1")
    assert "hunter2" not in str(caught.value)
    assert "username" in str(caught.value)


def test_sign_of_a_user_elsewhere_in_a_url_is_none() -> None:
    config = parse("web.hook.url=http://h/a@b\nlistener.i.url=nmq-ipc:///tmp/a@b\n", "x")
    assert config.web_hook.url == "http://h/a@b"
    assert config.listeners[0].url == "nmq-ipc:///tmp/a@b"


# --- texts that are no text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("acl.rule.1", '{"permit":"deny","topics":["a\udc80"]}'),
        ("web.hook.rule.client.connack.1", '{"action":"a\udc80"}'),
        ("listener.i.url", "nmq-ipc:///tmp/\udc80"),
        ("url", "nmq-tcp://h\udc80:1"),
        ("bridge.mqtt.b.forwards", "a,b\udc80"),
        ("bridge.mqtt.b.forwards", "a\nauth.1.login=x"),
        ("http_server.host", "\udc80"),
        ("web.hook.headers.A", "a\udc80"),
        ("web.hook.headers.A", "a\r\nB: c"),
        ("auth.http.auth_req.headers.A", "\udc80"),
    ],
)
def test_value_that_is_no_text_is_a_fault_of_its_key(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_texts({name: value}, "there")
    (fault,) = caught.value.args
    assert f"there: {name}=" in fault
    fault.encode()
