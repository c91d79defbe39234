"""config/: the nested form, the environment, the shipped file, and editing both forms."""

from __future__ import annotations

import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nanomq_py.config import Config, ConfigError, load
from nanomq_py.config.declare.key import keys_of
from nanomq_py.config.edit import edited
from nanomq_py.config.environment import from_environment
from nanomq_py.config.forms.nested import quoted
from nanomq_py.config.keys.access import AclRule, Condition, User
from nanomq_py.config.keys.bridges import Bridge, BridgeForward, BridgeSubscription
from nanomq_py.config.keys.config import SECTIONS
from nanomq_py.config.keys.listeners import Listener
from nanomq_py.config.nanomq.form import is_nested
from nanomq_py.config.reader import parse, read
from nanomq_py.config.settings import differences, line_of, settings_of
from nanomq_py.config.shipped import shipped
from nanomq_py.config.values.kind import BadValue
from tests.unit.test_config import SAMPLES, every_key

pytestmark = pytest.mark.plain

NESTED = """
# comments of both kinds
system { num_taskq_thread = 2, parallel = 0 }
mqtt {
    property_size = 8            // and here
    max_packet_size = 2MB
    max_mqueue_len = 2048
    retry_interval = 10s
    keepalive_multiplier = 1.5
    max_awaiting_rel = 10s
}
listeners.tcp { bind = "127.0.0.1:1883", max_connections = 9 }
listeners.ssl {
    bind = "127.0.0.1:8883"
    keyfile = "/k.pem"
    certfile = "/c.pem"
    verify_peer = false
}
listeners.wss.bind = "127.0.0.1:8084/mqtt"
http_server {
    port = 8082
    limit_conn = 2
    username = admin
    password = pub#lic
    auth_type = basic
    jwt { public.keyfile = "/jwt.pub" }
}
log {
    to = [file, console]
    rotation { size = 10MB, count = 3 }
}
auth {
    allow_anonymous = false
    no_match = deny
    deny_action = disconnect
    cache = { max_size = 32, ttl = 1m }
    password { device : "a b", "client.1" : c }
    acl {
        rules = [
            {"permit": "allow", "username": "dashboard", "topics": ["$SYS/#", "a,b"]}
            {permit = deny, qos = 1, retain = false, or = [{clientid = a}, {ipaddr = "::1"}]}
            {permit = deny}
        ]
    }
}
bridges.mqtt.first {
    server = "mqtt-tcp://127.0.0.1:1884"
    keepalive = 30s
    clean_start = false
    conn_properties = { user_property = {key1 = value1} }
    will { topic = "w", qos = 1 }
    forwards = [ {remote_topic = "r/a", local_topic = "a/#", qos = 1}, "b" ]
    subscription = [
        {remote_topic = "cmd/1", local_topic = "c", qos = 2},
        {remote_topic = "cmd/2"}
    ]
    max_parallel_processes = 3
}
bridges.mqtt.cache { disk_cache_size = 1 }
"""


def test_nested_form_is_read_under_newer_names() -> None:
    config = parse(NESTED, "x.conf")
    assert (config.num_taskq_thread, config.parallel, config.property_size) == (2, 0, 8)
    assert (config.max_packet_size, config.msq_len, config.qos_duration) == (2048, 2048, 10)
    assert config.keepalive_backoff == 1500
    assert config.url == "nmq-tcp://127.0.0.1:1883"
    assert config.listeners == (Listener(name="tcp", max_connections=9),)
    assert (config.tls.enable, config.tls.url) == (True, "tls+nmq-tcp://127.0.0.1:8883")
    assert (config.tls.keyfile, config.tls.certfile) == ("/k.pem", "/c.pem")
    assert config.websocket.url is None  # it is not among the listeners
    assert config.websocket.tls_url == "nmq-wss://127.0.0.1:8084/mqtt"
    http = config.http_server
    assert (http.port, http.password, http.jwt_public_keyfile) == (
        8082, "pub#lic", "/jwt.pub",
    )  # fmt: skip
    assert (config.log.to, config.log.rotation_count) == (("file", "console"), 3)
    assert (config.allow_anonymous, config.acl_nomatch) == (False, "deny")
    assert config.acl_deny_action == "disconnect"
    assert config.users == (
        User(login="device", password="a b"),
        User(login="client.1", password="c"),
    )
    assert config.acl_rules == (
        AclRule(permit="allow", username="dashboard", topics=("$SYS/#", "a,b")),
        AclRule(
            permit="deny",
            qos=(1,),
            retain=False,
            or_=(Condition(clientid="a"), Condition(ipaddr="::1")),
        ),
        AclRule(permit="deny"),
    )
    (bridge,) = config.bridges
    assert (bridge.bridge_mode, bridge.address) == (True, "mqtt-tcp://127.0.0.1:1884")
    assert (bridge.keepalive, bridge.parallel) == (30, 3)
    assert bridge.forward == (
        BridgeForward(local_topic="a/#", remote_topic="r/a", qos=1),
        BridgeForward(local_topic="b"),
    )
    assert bridge.subscription == (
        BridgeSubscription(topic="cmd/1", local_topic="c", qos=2),
        BridgeSubscription(topic="cmd/2"),
    )
    assert (bridge.will_topic, bridge.will_qos) == ("w", 1)


@pytest.mark.parametrize("name", every_key())
def test_nested_form_takes_every_flat_name(name: str) -> None:
    text, value = SAMPLES[name]
    config = parse(f"other {{}}\n{name} = {quoted(text)}\n", "x.conf")
    section, field = every_key()[name]
    assert getattr(getattr(config, str(section)) if section else config, field) == value


def test_later_value_counts_whatever_its_spelling() -> None:
    assert parse("mqtt { max_mqueue_len = 5 }\nmsq_len = 6", "x").msq_len == 6
    assert parse("msq_len = 6\nmqtt { max_mqueue_len = 5 }", "x").msq_len == 5
    assert (
        parse("mqtt { max_mqueue_len = 5 }\nmqtt { max_mqueue_len = 7 }", "x").msq_len == 7
    )
    text = "bridge.mqtt.a.subscription = [{topic = x}, {topic = y}]\n"
    bridge = parse(f"a {{}}\n{text}bridges.mqtt.a.subscription = [{{topic = z}}]", "x")
    assert [s.topic for s in bridge.bridges[0].subscription] == ["z"]


def test_json_is_a_nested_file() -> None:
    config = parse('{"mqtt": {"max_mqueue_len": 5}, "log": {"to": ["console"]}}', "x.conf")
    assert config.msq_len == 5


def test_listener_that_is_switched_off_does_not_listen() -> None:
    config = parse('listeners.tcp { bind = "h:1", enable = false }', "x.conf")
    assert config.url is None


@pytest.mark.parametrize(
    ("text", "is_it"),
    [
        ("url=nmq-tcp://h:1\n", False),
        ('acl.rule.1={"permit":"allow","topics":["a"]}\n', False),
        ("acl.rule.1={\n", False),
        ("# mqtt {\nmsq_len=1\n", False),
        ("http_server.password={x\n", False),
        ("auth.1.login=[\nbridge.mqtt.a.password = [x", False),
        ("auth = {", True),
        ("mqtt {\n}\n", True),
        ("mqtt.max_mqueue_len = 2", True),
        ("auth.password = {include \"x\"}", True),
        ('include "x"', True),
        ("log.to = [console]", True),
        ('bridge.mqtt.a.will.properties.user_property={"k":"v"}', False),
        ("no.such={x\nweb.hook.headers.a={b}", False),
        ("nodes [\n]", True),
        ("  // comment", True),
        ("level: warn", True),
    ],
)  # fmt: skip
def test_form_is_told_by_what_only_one_has(text: str, is_it: bool) -> None:
    assert is_nested(text) is is_it


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("mqtt {\n", "x.conf:1: a section is not closed: expected }"),
        ("mqtt {\n a = [1, \n", "x.conf:2: a list is not closed: expected ]"),
        ("mqtt {\n max_mqueue_len\n}", "x.conf:2: .*expected = and a value"),
        ("mqtt {\n max_mqueue_len =\n}", "x.conf:2: .*expected a value"),
        ("mqtt {\n = 3\n}", "x.conf:2: mqtt: expected a name"),
        ("mqtt {\n max_mqueue_len = 0\n}", "x.conf:2: mqtt.max_mqueue_len='0': expected"),
        ("mqtt {\n no_such = 0\n}", "x.conf:2: mqtt.no_such: unknown key"),
        ("mqtt {}\nurl = ${HOME}", "x.conf:2: .*expected a value"),
        ("mqtt {}\nmsq_len += 1", "x.conf:2: .*expected = and a value"),
        ('mqtt {}\nurl = "a" "b"', "x.conf:2: .*expected the end of the line"),
        ("{}\nmsq_len = 1", "x.conf:2: .*expected nothing after the last }"),
        ('include url("http://h/x")', 'x.conf:1: include: expected include "FILE"'),
        ("include x", "x.conf:1: .*expected"),
        ("http_server {\n password = \"a\\u0001\"\n}", r"password=\(hidden\): expected"),
        ("a { " * 40, "x.conf:1: .*expected at most 32 sections in each other"),
        ("a = " + "[" * 40, "x.conf:1: .*expected"),
        (".".join("a" * 40) + " { }", "expected a path of at most 32 names"),
    ],
)  # fmt: skip
def test_fault_of_the_nested_form_names_its_line(text: str, error: str) -> None:
    with pytest.raises(ConfigError, match=error):
        parse(text, "x.conf")


class TestInclude:
    def test_is_read_from_the_folder_of_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "a.conf").write_text('include "b.conf"\nmsq_len = 5\n')
        (tmp_path / "sub" / "b.conf").write_text("url=nmq-tcp://h:2\nmsq_len=4 # x\n")
        conf = tmp_path / "x.conf"
        conf.write_text('include file("sub/a.conf")\nqos_duration = 3\n')
        config = load(conf)
        assert (config.url, config.msq_len, config.qos_duration) == ("nmq-tcp://h:2", 5, 3)

    def test_fault_names_both_places(self, tmp_path: Path) -> None:
        (tmp_path / "a.conf").write_text("mqtt {\n")
        conf = tmp_path / "x.conf"
        conf.write_text('\nauth.password = {include "a.conf"}\n')
        with pytest.raises(ConfigError, match=r"a\.conf:1: a section is not closed"):
            load(conf)
        (tmp_path / "a.conf").unlink()
        with pytest.raises(
            ConfigError, match=r"x\.conf:2: include 'a\.conf': .*No such file"
        ):
            load(conf)

    def test_of_itself_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a.conf").write_text('include "x.conf"\n')
        conf = tmp_path / "x.conf"
        conf.write_text('include "a.conf"\n')
        with pytest.raises(
            ConfigError, match=r"a\.conf:1: include 'x\.conf': includes itself"
        ):
            load(conf)


def test_environment_stands_above_the_file() -> None:
    overrides = from_environment(
        {
            "NANOMQ_TLS_ENABLE": "true",
            "NANOMQ_HTTP_SERVER_JWT_PUBLIC_KEYFILE": "/k",
            "NANOMQ_BROKER_URL": "nmq-tcp://h:1",
            "NANOMQ_AUTH_1_LOGIN": "u",
            "NANOMQ_AUTH_1_PASSWORD": "p",
            "NANOMQ_ACL_RULE_1": '{"permit":"deny"}',
            "NANOMQ_PORT": "tcp://10.0.0.1:1883",
            "HOME": "/",
        }
    )
    config = read("tls.enable=false\n", "x", overrides=overrides).config
    assert (config.tls.enable, config.url) == (True, "nmq-tcp://h:1")
    assert config.http_server.jwt_public_keyfile == "/k"
    assert config.users == (User(login="u", password="p"),)
    assert config.acl_rules == (AclRule(permit="deny"),)
    with pytest.raises(ConfigError, match="NANOMQ_MSQ_LEN in the environment: msq_len='x'"):
        read("", "x", overrides=from_environment({"NANOMQ_MSQ_LEN": "x"}))


def test_shipped_file_holds_every_key_and_the_defaults() -> None:
    assert parse(shipped(), "x") == parse("", "x")
    for name in every_key():
        assert f"\n{name}=" in shipped() or f"\n#{name}=" in shipped()


# --- writing


def of_kind(kind: Any) -> list[Any]:
    """Return values that the samples of the test suite show."""
    found = []
    for _, value in SAMPLES.values():
        try:
            read = kind.parse(kind.render(value))
            if read == value and type(read) is type(value):
                found.append(value)
        except (BadValue, TypeError, AttributeError):
            continue
    return [value for value in found if kind.json is not str or isinstance(value, str)]


def section(cls: type[Any]) -> st.SearchStrategy[Any]:
    fields = {
        declared.name: st.sampled_from([declared.default, *of_kind(key.kind)])
        for declared, key in keys_of(cls)
    }
    return st.builds(cls, **fields)


NAMES = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=5)
TEXTS = st.text(min_size=1, max_size=8).filter(
    lambda text: text.isprintable() and text.strip() == text
)
CONFIGS = st.builds(
    replace,
    section(Config),
    **{name: section(type(getattr(Config(), name))) for name in SECTIONS
       if name not in ("auth_http", "web_hook")},
    users=st.lists(TEXTS, unique=True, max_size=3).map(
        lambda names: tuple(User(login=name, password=name[::-1]) for name in names)
    ),
    acl_rules=st.lists(
        st.builds(
            AclRule,
            permit=st.sampled_from(["allow", "deny"]),
            username=st.none() | TEXTS,
            ipaddr=st.sampled_from([None, "10.0.0.0/8"]),
            and_=st.lists(st.just(Condition(ipaddr="10.1.0.0/16")), max_size=1).map(tuple),
            or_=st.sampled_from(
                [None, (Condition(clientid="é"), Condition(username="#", ipaddr="10.1.2.3"))]
            ),
            qos=st.sampled_from([(), (0,), (1, 2)]),
            retain=st.none() | st.booleans(),
            topics=st.sampled_from([("#",), ("a/+", "b,c"), ('say "x"', "eq a/+", "@#")]),
        ),
        max_size=3,
    ).map(tuple),
    bridges=st.lists(
        st.builds(
            replace, section(Bridge), name=NAMES,
            forwards=st.sampled_from([(), ("a/#",), ("a", "b/+")]),
            subscription=st.sampled_from(
                [(), (BridgeSubscription(topic="x", qos=1), BridgeSubscription(topic="y"))]
            ),
        ),
        max_size=2, unique_by=lambda bridge: bridge.name,
    ).map(tuple),
)  # fmt: skip


def flat_text(config: Config) -> str:
    return "".join(f"{name}={s.text}\n" for name, s in settings_of(config).items())


@given(CONFIGS)
def test_settings_read_as_the_configuration_that_they_are_of(config: Config) -> None:
    assert parse(flat_text(config), "x") == config
    nested = "other {}\n" + "".join(
        f"{name} = {quoted(setting.text)}\n"
        for name, setting in settings_of(config).items()
    )
    assert parse(nested, "x") == config


def in_order_of_names(config: Config) -> Config:
    return replace(config, bridges=tuple(sorted(config.bridges, key=lambda one: one.name)))


@given(CONFIGS, CONFIGS)
@example(
    replace(Config(), bridges=(Bridge(name="0", parallel=9), Bridge(name="1"))),
    replace(Config(), bridges=(Bridge(name="1"), Bridge(name="0"))),
)
def test_edited_file_reads_as_the_new_configuration(old: Config, new: Config) -> None:
    text = "# first\n\n  unknown_looking_comment = # no\n".replace("  unknown", "# unknown")
    reading = read(text + flat_text(old) + "# last", "x")
    made = edited(reading, new, "x", None)
    assert in_order_of_names(made.config) == in_order_of_names(new)
    assert read(made.text, "x").config == made.config
    comments = [line for line in made.text.split("\n") if line.startswith("#")]
    assert comments == [line for line in reading.text.split("\n") if line.startswith("#")]


FLAT = """\
# mine
  url = nmq-tcp://127.0.0.1:1883

tls.enable=false   \r
# before http
http_server.port=8081
msq_len=256
bridge.mqtt.a.bridge_mode=false
bridge.mqtt.a.subscription.3.topic=x
bridge.mqtt.a.subscription.7.topic=y
"""


def test_edit_of_the_flat_form_touches_nothing_else() -> None:
    reading = read(FLAT, "x")
    bridge = replace(
        reading.config.bridges[0], subscription=(BridgeSubscription(topic="z", qos=1),)
    )
    new = replace(
        reading.config,
        url="nmq-tcp://h:1",
        qos_duration=5,
        http_server=replace(reading.config.http_server, username="me"),
        bridges=(bridge,),
    )
    assert (
        edited(reading, new, "x", None).text
        == """\
# mine
  url = nmq-tcp://h:1

tls.enable=false   \r
# before http
http_server.port=8081
http_server.username=me
msq_len=256
bridge.mqtt.a.bridge_mode=false
qos_duration=5
bridge.mqtt.a.subscription.1.topic=z
bridge.mqtt.a.subscription.1.qos=1
"""
    )


def test_edit_of_the_nested_form_changes_values_where_they_stand() -> None:
    reading = read(NESTED, "x.conf")
    config = reading.config
    bridge = replace(config.bridges[0], subscription=(BridgeSubscription(topic="z"),))
    new = replace(
        config,
        msq_len=7,
        url="nmq-tcp://h:1",
        http_server=replace(config.http_server, password='a"b'),
        bridges=(bridge,),
    )
    made = edited(reading, new, "x.conf", None)
    assert made.config == new
    assert made.text == (
        NESTED.replace("max_mqueue_len = 2048", 'max_mqueue_len = "7"').replace(
            "password = pub#lic", 'password = "a\\"b"'
        )
        + 'url = "nmq-tcp://h:1"\n'
        'bridge.mqtt.first.subscription = [{topic = "z"}]\n'
    )


def test_byte_order_mark_stays_and_hides_no_form() -> None:
    reading = read("\ufeffmqtt { max_mqueue_len = 5 }\n", "x")
    made = edited(reading, replace(reading.config, msq_len=6), "x", None)
    assert made.text == '\ufeffmqtt { max_mqueue_len = "6" }\n'


def test_value_that_the_file_cannot_hold_is_refused() -> None:
    reading = read("msq_len=5\n", "x")
    new = replace(
        reading.config, http_server=replace(reading.config.http_server, password=" x")
    )
    with pytest.raises(ConfigError, match=r"http_server\.password: not changed: the file"):
        edited(reading, new, "x", None)


def test_differences_hide_secrets() -> None:
    old = Config(users=(User(login="u", password="old-secret"),))
    new = replace(old, users=(User(login="u", password="new-secret"),), msq_len=5)
    text = line_of(differences(old, new))
    assert text == "msq_len: (none) -> 5; auth.1.password: (hidden) -> (hidden)"


# --- anything


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_as_a_nested_file_is_read_or_a_clear_error(text: str) -> None:
    for tried in (f"mqtt {{\n{text}", f"a {{}}\n{text}", f"a = [{text}"):
        try:
            parse(tried, "x.conf")
        except ConfigError as fault:
            assert "x.conf" in str(fault) or "auth.N" in str(fault)


TOKENS = st.sampled_from(
    ["{", "}", "[", "]", "=", ":", ",", "\n", '"', '"a"', '"""', "#", "//", "include", ".", "$",
     "mqtt", "url", "auth", "password", "bridges.mqtt.a", "acl", "rules", "listeners.tcp",
     "subscription", " ", "\\", "1", "true", "include \"x\"", "headers", "params", "webhook",
     "events", "bind"]
)  # fmt: skip


@given(st.lists(TOKENS, max_size=25).map("".join))
def test_any_tokens_are_read_or_a_clear_error(text: str) -> None:
    try:
        parse("mqtt {}\n" + text, "x.conf")
    except ConfigError as fault:
        assert str(fault)


@pytest.mark.parametrize(
    "text",
    [
        'durability = always\ndurability.location = "/a"\nmqtt {}\n',
        'durability { location = "/a" }\ndurability = always\n',
        'durability.location = "/a"\ndurability = always\nmqtt {}\n',
        'durability = off\ndurability { location = "/a" }\ndurability = always\n',
    ],
)
def test_a_key_that_has_keys_below_it_is_both_in_the_nested_form(text: str) -> None:
    keys = parse(text, "x.conf").durability
    assert (keys.mode, keys.location) == ("always", "/a")


def test_of_a_value_and_a_section_the_later_one_counts() -> None:
    assert parse("mqtt = 1\nmqtt { max_packet_size = 2MB }\n", "x").max_packet_size == 2048
    with pytest.raises(ConfigError, match="mqtt: unknown key"):
        parse("mqtt { max_packet_size = 2MB }\nmqtt = 1\n", "x")
