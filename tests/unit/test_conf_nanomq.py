"""config/: the files that NanoMQ has shipped, in both forms and under its older names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nanomq_py.config import Config, ConfigError, load, parse
from nanomq_py.config.edit import edited
from nanomq_py.config.faults import MOST_FAULTS
from nanomq_py.config.keys.access import AclRule, User
from nanomq_py.config.keys.bridges import Bridge, BridgeForward, BridgeSubscription
from nanomq_py.config.keys.http_client import WebHookRule
from nanomq_py.config.keys.listeners import Listener
from nanomq_py.config.reader import read
from nanomq_py.config.settings import settings_of
from nanomq_py.listen.places import places_of

pytestmark = pytest.mark.plain

# What each version writes, in few lines.
FIRST = """\
url=tcp://0.0.0.0:1883
daemon=no
allow_anonymous=yes
websocket.enable=yes
websocket.url=ws://0.0.0.0:8083/mqtt
http_server.enable=off
tls.enable=no
tls.url=nmq-tls://0.0.0.0:8883
tls.key=/k.pem
tls.keypass=secret
"""
FLAT = """\
url=broker+tcp://0.0.0.0:1883
acl_enable=true
enable_acl_cache=on
acl_cache_ttl=1m
enable_ipc_internal=false
http_server.parallel=32
http_server.ip_addr=127.0.0.1
bridge.mqtt.emqx.bridge_mode=false
bridge.mqtt.emqx.address=mqtt-tcp://broker.emqx.io:1883
bridge.mqtt.emqx.quic_keepalive=120
bridge.mqtt.emqx.forwards.1.remote_topic=fwd/topic1
bridge.mqtt.emqx.forwards.1.local_topic=topic1
bridge.mqtt.emqx.subscription.1.remote_topic=cmd/topic1
bridge.mqtt.emqx.subscription.1.local_topic=topic1
bridge.mqtt.emqx.subscription.1.qos=1
bridge.mqtt.emqx.will.properties.user_property={"key1":"value1","key2":"value2"}
bridge.sqlite.enable=false
aws.bridge.mqtt.aws.bridge_mode=false
aws.bridge.mqtt.aws.tls.enable=true
aws..mqtt.aws.subscription.1.qos=1
rule_option=OFF
rule_option.sqlite=enable
rule.sqlite.event.publish.1.sql="SELECT * FROM "#" WHERE y > 10"
"""
NODES = """\
mqtt.session { msq_len = 7, max_packet_size = 2MB, allow_anonymous = false }
listeners.tcp { enable = true, bind = "127.0.0.1:1883" }
listeners.ssl { enable = off, bind = "127.0.0.1:8883", keyfile = "/k.pem" }
http_server { enable = false, parallel = 32 }
authorization {
    no_match = deny
    cache = { enable = false, ttl = 1m }
    sources = [
        { type = simple, users = [ {username = "a", password = "b"} ] }
        { type = file, rules = [ {"permit": "deny", "clientid": "c"} ] }
        { type = http, enable = false }
    ]
}
bridges.mqtt {
    nodes [
        {
            name = one
            enable = true
            connector { server = "mqtt-tcp://h:1", keepalive = 9s, ssl { enable = false } }
            subscription
                [
                    # a comment
                    { topic = "cmd", qos = 2 }
                ]
        }
        { name = two, enable = false, address = "mqtt-tcp://h:2" }
    ]
    sqlite { enable = false }
}
bridges.aws.nodes [ { name = "aws", enable = false, port = 8883 } ]
rules.sqlite { enabled = false, rules = [ { sql = "x", table = t } ] }
"""
NEWEST = """\
system { parallel = 0, hook_ipc_url = "ipc:///tmp/nanomq_hook.ipc" }
mqtt {
    max_packet_size = 260MB
    max_inflight_window = 2048
    max_awaiting_rel = 10s
}
listeners.tcp { bind = "0.0.0.0:1883" }
listeners.tcp.default_1 { bind = "0.0.0.0:1884", max_connections = 5 }
listeners.tcp.off { bind = "0.0.0.0:1885", enable = false }
listeners.ssl.default_1 { bind = "0.0.0.0:8881", keyfile = "/k.pem", certfile = "/c.pem" }
listeners.ws { bind = "0.0.0.0:8083/mqtt" }
http_server { ip_addr = 0.0.0.0, limit_conn = 32, password = other }
auth {
    cache = { max_size = 32, ttl = 1m }
    password { enable = false, admin = "x" }
    acl { enable = false, rules = [ {"permit": "deny"} ] }
    http_auth = {
        auth_req { enable = false, url = "http://127.0.0.1/mqtt/auth" }
        super_req { enable = false, url = "http://127.0.0.1/mqtt/super" }
    }
}
"""
# Sections that switch something on -> what is said of them.
ON = """\
sqlite { disk_cache_size = 0 }
bridges.mqtt.emqx1 { server = "mqtt-quic://h:14567", tcp { nodelay = false }, retry_qos_0 = no }
bridges.mqtt.cache { disk_cache_size = 1 }
bridges.aws.c1 { server = "127.0.0.1:8883" }
rules.mysql.db { conn = {host = h} }
exchange_client.mq1 { exchange { topic = "t", ringbus = {cap = 1} } }
parquet { dir = "/tmp" }
preset.session.1 { clientid = "x", topic = [ {qos = 2, remote_topic = "a"} ] }
plugin { libs = [{ path = "/x.so" }] }
exhook { servers = [ {name = a, url = "http://h:1"} ] }
"""


def test_first_versions_are_read() -> None:
    config = parse(FIRST, "x.conf")
    assert (config.url, config.daemon) == ("nmq-tcp://0.0.0.0:1883", False)
    assert (config.allow_anonymous, config.http_server.enable) == (True, False)
    assert config.websocket.url == "nmq-ws://0.0.0.0:8083/mqtt"
    assert (config.tls.enable, config.tls.url) == (False, "tls+nmq-tcp://0.0.0.0:8883")
    assert (config.tls.keyfile, config.tls.key_password) == ("/k.pem", "secret")
    assert (config.said.missing, config.said.ignored) == ((), ())


def test_last_flat_version_is_read_and_is_not_taken_for_nested() -> None:
    reading = read(FLAT, "x.conf")
    config = reading.config
    assert not reading.nested
    assert (config.url, config.http_server.host) == ("nmq-tcp://0.0.0.0:1883", "127.0.0.1")
    (bridge,) = config.bridges
    assert [(s.topic, s.qos) for s in bridge.subscription] == [("cmd/topic1", 1)]
    assert config.said.missing == ()
    assert {"enable_ipc_internal", "http_server.parallel", "acl_cache_ttl"} <= set(
        config.said.ignored
    )
    assert "acl_enable" not in config.said.ignored


def test_single_bridge_of_old_has_a_name_here() -> None:
    config = parse("bridge.mqtt.address=mqtt-tcp://h:1\nbridge.mqtt.bridge_mode=no", "x")
    assert [(b.name, b.address) for b in config.bridges] == [("main", "mqtt-tcp://h:1")]


def test_first_nested_versions_are_read() -> None:
    config = parse(NODES, "x.conf")
    assert (config.msq_len, config.max_packet_size) == (7, 2048)
    assert (config.allow_anonymous, config.acl_nomatch) == (False, "deny")
    assert (config.url, config.tls.enable) == ("nmq-tcp://127.0.0.1:1883", False)
    assert config.users == (User(login="a", password="b"),)
    assert config.acl_rules == (AclRule(permit="deny", clientid="c"),)
    assert not config.auth_http.enable
    one, two = config.bridges
    assert (one.name, one.bridge_mode, one.address) == ("one", True, "mqtt-tcp://h:1")
    assert (one.keepalive, [(s.topic, s.qos) for s in one.subscription]) == (
        9,
        [("cmd", 2)],
    )
    assert (two.name, two.bridge_mode) == ("two", False)
    assert config.said.missing == ()


def test_newest_version_is_read() -> None:
    config = parse(NEWEST, "x.conf")
    assert [(p.name, p.url) for p in places_of(config)] == [
        ("tcp", "nmq-tcp://0.0.0.0:1883"),
        ("ws", "nmq-ws://0.0.0.0:8083/mqtt"),
        ("tcp-default_1", "nmq-tcp://0.0.0.0:1884"),
        ("ssl-default_1", "tls+nmq-tcp://0.0.0.0:8881"),
    ]
    assert (config.max_packet_size, config.client_max_packet_size) == (266240, 266240)
    first, second = config.listeners
    assert first == Listener(
        name="tcp-default_1", url="nmq-tcp://0.0.0.0:1884", max_connections=5
    )
    assert (second.keyfile, second.certfile) == ("/k.pem", "/c.pem")
    assert config.http_server.host == "0.0.0.0"
    assert (config.users, config.acl_rules) == ((), ())
    assert (config.auth_http.enable, config.said.missing) == (False, ())
    assert {"system.hook_ipc_url", "mqtt.max_inflight_window", "http_server.limit_conn",
            "auth.cache.ttl"} == set(config.said.ignored) - {"auth.cache.max_size",
            "mqtt.max_awaiting_rel"}  # fmt: skip


def test_listeners_with_names_only_leave_the_others_out() -> None:
    config = parse('listeners.tcp.a { bind = "127.0.0.1:1" }\nlisteners.ws.b.bind = 2', "x")
    assert [(p.name, p.url) for p in places_of(config)] == [
        ("tcp-a", "nmq-tcp://127.0.0.1:1"),
        ("ws-b", "nmq-ws://0.0.0.0:2"),
    ]


def test_all_that_is_switched_on_in_vain_is_told_with_its_place() -> None:
    config = parse(ON, "x.conf")
    assert [(m.where, m.called) for m in config.said.missing] == [
        (f"x.conf:{line}", called)
        for line, called in enumerate(
            ("bridges.mqtt.cache",
             "bridges.aws.c1", "rules.mysql", "exchange_client.mq1",
             "parquet", "preset.session.1", "plugin", "exhook"),
            start=3,
        )
    ]  # fmt: skip
    assert all(missing.loss for missing in config.said.missing)


HOOKS = [
    WebHookRule(event="client.connack", action="on_client_connack"),
    WebHookRule(event="message.publish", action="on_message_publish", topic="a/#"),
]


@pytest.mark.parametrize(
    "rules",
    [
        "events = [ {event = on_client_connack}, {event = on_message_publish, topic = a/#} ]",
        "rule.client.connack = [ {action = on_client_connack} ]\n"
        "rule.message.publish = [ {action = on_message_publish, topic = a/#} ]",
    ],
)
def test_web_hooks_are_on_where_their_section_is(rules: str) -> None:
    text = f"""webhook {{
        url = "http://127.0.0.1:80", body.encoding = base64, pool_size = 4
        headers.content-type = "application/json"
        tls {{ cacertfile = "/ca.pem", certfile = "/c.pem", keyfile = "/k.pem" }}
        {rules}
    }}"""
    hook = parse(text, "x").web_hook
    assert (hook.enable, hook.url, hook.encoding) == (True, "http://127.0.0.1:80", "base64")
    assert (hook.cacertfile, hook.certfile, hook.keyfile) == ("/ca.pem", "/c.pem", "/k.pem")
    assert list(hook.rules) == HOOKS
    off = text.replace("pool_size = 4", "pool_size = 4, enable = false")
    assert not parse(off, "x").web_hook.enable


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("parquet.enable=true", "parquet.enable"),
        ("bridge.mqtt.a.transparent=on", "bridge.mqtt.a.transparent"),
        ("bridge.sqlite.enable=true", "bridge.sqlite.enable"),
        ("aws.bridge.mqtt.a.bridge_mode=true", "aws.bridge.mqtt.a.bridge_mode"),
        ("rule_option=ON\nrule_option.mysql=enable", "rule_option.mysql"),
        (
            "rule_engine_option=ON\nrule_engine_option.db=sqlite\nrule_engine.db.type=kv",
            "rule_engine_option",
        ),
        ("mqtt {}\nparquet { enable = true }", "parquet.enable"),
        ("mqtt {}\nrules.mysql.a { enabled = true }", "rules.mysql"),
    ],
)
def test_switch_of_what_is_missing_is_told(text: str, called: str) -> None:
    assert [m.called for m in parse(text, "x").said.missing] == [called]


@pytest.mark.parametrize(
    "text",
    [
        "mqtt {}\nsqlite { enable = false }",
        "mqtt {}\nbridges.mqtt.a { enable = no, server = \"mqtt-tcp://h:1\" }",
        "mqtt {}\nparquet { enable = off }",
        "rule_option=OFF\nrule_option.repub=enable",
    ],
)  # fmt: skip
def test_what_is_switched_off_is_not_told(text: str) -> None:
    assert parse(text, "x").said.missing == ()


def test_switched_off_rules_and_users_do_not_count() -> None:
    rules = 'acl.rule.1={"permit":"deny"}\nacl_nomatch=deny\nacl_file=f\n'
    users = "auth.1.login=a\nauth.1.password=b\nallow_anonymous=false\n"
    config = parse(f"acl_enable=false\nauth_enable=no\n{rules}{users}", "x")
    assert (config.acl_rules, config.acl_nomatch) == ((), "allow")
    assert config.acl_file is None
    assert (config.users, config.allow_anonymous) == ((), True)
    config = parse(f"acl_enable=true\n{rules}", "x")
    assert (len(config.acl_rules), config.acl_nomatch) == (1, "deny")
    with pytest.raises(ConfigError, match="acl_enable='perhaps': expected true or false"):
        parse("acl_enable=perhaps\n", "x")


def test_users_of_old_are_a_list() -> None:
    config = parse('auth [ {login = "a", password = "b"}, {login = c, password = d} ]', "x")
    assert config.users == (User(login="a", password="b"), User(login="c", password="d"))


def test_a_user_may_be_called_enable() -> None:
    config = parse("mqtt {}\nauth.password { enable = secret }", "x")
    assert config.users == (User(login="enable", password="secret"),)


# --- faults


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            "msq_len=0\nurll=x\nbogus\nmsq_len=2\nacl.rule.1={\nacl.rule.2=[]\n"
            "auth.1.login=a\nhttp_server.port=x\nlistener.a.max_connections=1\nrule.1={}\n",
            ["x:1: msq_len='0'", "x:2: urll: unknown key; did you mean url?",
             "x:3: expected key=value", "x:4: msq_len: given before",
             "x:5: acl.rule.1", "x:6: acl.rule.2", "x:7: auth.1.password: missing",
             "x:8: http_server.port='x'", "x:9: listener.a.url: missing",
             "x:10: rule.1: unknown key"],
        ),
        (
            "mqtt {\n  max_mqueue_len = 0\n  no_such = 1\n}\nlisteners.tcp.bind = x\n"
            "auth.acl.rules = [{permit = maybe}]\nlisteners.ssl { verify_peer = 2 }\n",
            ["x:2: mqtt.max_mqueue_len='0'", "x:3: mqtt.no_such: unknown key",
             "x:5: listeners.tcp.bind='nmq-tcp://x'", "x:6: auth.acl.rules[1]=",
             "x:7: listeners.ssl.verify_peer='2'"],
        ),
        (
            "mqtt {\n  a\n  = 3\n}\nurl = ${HOME}\nlog.to = \"a\" \"b\"\nmsq_len = 1\n",
            ["x:2: mqtt: expected = ", "x:3: mqtt: expected a name",
             "x:5: url: expected a value", "x:6: log.to: expected the end"],
        ),
        (
            "tls.key=/a\ntls.keyfile=/b\n",
            ["x:2: tls.keyfile: given before, as tls.key at x:1"],
        ),
    ],
)  # fmt: skip
def test_every_fault_is_told_at_once_by_the_names_that_were_written(
    text: str, faults: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x")
    told = [str(fault) for fault in caught.value.args]
    assert len(told) == len(faults), told
    for fault, expected in zip(told, faults, strict=True):
        assert fault.startswith(expected)


def test_faults_without_end_are_not_all_told() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("".join(f"no.such.{n}=1\n" for n in range(1000)), "x")
    assert len(caught.value.args) == MOST_FAULTS + 1
    assert caught.value.args[-1] == "and more"


def test_fault_beyond_the_text_names_what_was_written(tmp_path: Path) -> None:
    config = parse('listeners.ssl { bind = "h:1", keyfile = "/k" }', "x")
    assert config.said.called("tls.certfile") == "listeners.ssl.certfile"
    assert config.said.called("tls.url") == "listeners.ssl.bind"


# --- a configuration that a program makes


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"url": "bogus"}, "url='bogus': expected a URL nmq-tcp://HOST:PORT"),
        ({"url": 5}, "url=5: expected a URL"),
        ({"msq_len": 0}, "msq_len=0: expected a whole number from 1"),
        ({"msq_len": "5"}, "msq_len='5': expected a whole number"),
        ({"sys_interval": None}, "sys_interval=None: expected a whole number"),
        ({"allow_anonymous": 1}, "allow_anonymous=1: expected true or false"),
        ({"max_topic_levels": True}, "max_topic_levels=True: expected a whole number"),
    ],
)
def test_program_cannot_make_what_no_file_could_hold(
    values: dict[str, object], error: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(**values)  # type: ignore[arg-type]
    assert error in str(caught.value)


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"permit": "perhaps"}, "acl.rule: expected allow or deny, not 'perhaps'"),
        (
            {"permit": "deny", "action": "Publish"},
            "expected publish or subscribe or pubsub",
        ),
        ({"permit": "deny", "topics": ("a#",)}, "expected topics that are topic filters"),
        ({"permit": "deny", "ipaddr": "x"}, "expected an ipaddr such as"),
    ],
)
def test_program_cannot_make_a_rule_that_says_nothing(
    rule: dict[str, Any], error: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        AclRule(**rule)
    assert error in str(caught.value)


def test_secret_that_is_no_value_is_not_shown() -> None:
    with pytest.raises(ConfigError, match=r"password=\(hidden\): expected"):
        User(login="a", password="secret\x01")


def test_program_may_spell_a_value_as_a_file_may() -> None:
    assert Config(url="tcp://127.0.0.1:0").url == "nmq-tcp://127.0.0.1:0"


def test_program_gets_the_listeners_that_it_names() -> None:
    config = Config(url="nmq-tcp://127.0.0.1:0")
    assert [place.name for place in places_of(config)] == ["tcp"]
    assert [place.name for place in places_of(parse("", "x"))] == ["tcp", "ws"]


def test_load_takes_a_text_as_path(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("msq_len=5\n")
    assert load(str(tmp_path / "a.conf")).msq_len == 5


# --- editing


def test_edit_keeps_the_older_name() -> None:
    reading = read("tls.key=/k\nurl=tcp://h:1\nallow_anonymous=yes\n", "x")
    new = parse("tls.key=/other\nurl=tcp://h:2\nallow_anonymous=no\n", "x")
    made = edited(reading, new, "x", None)
    assert made.text == "tls.key=/other\nurl=nmq-tcp://h:2\nallow_anonymous=false\n"
    assert settings_of(made.config) == settings_of(new)


@pytest.mark.parametrize("section", ["auth { http_auth { %s } }", "auth_http { %s }"])
def test_request_that_is_off_is_not_asked(section: str) -> None:
    requests = """
        auth_req { url = "http://h/a", params = {clientid = "%c", username = "%u"} }
        super_req { enable = false, url = "http://h/s", params = {clientid = "%c"} }
        cache_ttl = 30s"""
    http = parse(section.replace("%s", requests), "x.conf").auth_http
    assert (http.enable, http.cache_ttl) == (True, 30_000)
    assert http.auth_req.params == ("clientid=%c", "username=%u")
    assert (http.super_req.url, http.super_req.params) == (None, ())


# --- bridges: one bridge in each form

OLDER_BRIDGE = """\
bridge.mqtt.emqx.bridge_mode=true
bridge.mqtt.emqx.address=tls+mqtt-tcp://h:8883
bridge.mqtt.emqx.proto_ver=5
bridge.mqtt.emqx.hybrid_servers=mqtt-tcp://i:1,ws://j:2/mqtt
bridge.mqtt.emqx.clean_start=false
bridge.mqtt.emqx.conn_properties.session_expiry_interval=3600
bridge.mqtt.emqx.keepalive=30
bridge.mqtt.emqx.backoff_max=2m
bridge.mqtt.emqx.max_send_queue_len=32
bridge.mqtt.emqx.max_recv_queue_len=32
bridge.mqtt.emqx.tls.enable=true
bridge.mqtt.emqx.tls.cacertfile=/ca.pem
bridge.mqtt.emqx.tls.key_password=secret
bridge.mqtt.emqx.will.topic=gone
bridge.mqtt.emqx.will.payload=bye
bridge.mqtt.emqx.forwards.1.local_topic=up/#
bridge.mqtt.emqx.forwards.1.remote_topic=site/up/#
bridge.mqtt.emqx.forwards.1.qos=1
bridge.mqtt.emqx.forwards.2.local_topic=state
bridge.mqtt.emqx.forwards.2.suffix=/emqx
bridge.mqtt.emqx.subscription.1.remote_topic=cmd/1
bridge.mqtt.emqx.subscription.1.local_topic=c
bridge.mqtt.emqx.subscription.1.qos=1
bridge.mqtt.emqx.subscription.1.retain=0
"""
NEWER_BRIDGE = """\
bridges.mqtt.emqx {
    server = "tls+mqtt-tcp://h:8883"
    proto_ver = 5
    hybrid_servers = ["mqtt-tcp://i:1", "ws://j:2/mqtt"]
    clean_start = false
    conn_properties { session_expiry_interval = 3600 }
    keepalive = 30s
    backoff_max = 2m
    max_send_queue_len = 32
    max_recv_queue_len = 32
    ssl { enable = true, cacertfile = "/ca.pem", key_password = secret }
    will { topic = gone, payload = bye, properties { will_delay_interval = 1 } }
    forwards = [
        { local_topic = "up/#", remote_topic = "site/up/#", qos = 1 }
        { local_topic = state, remote_topic = "", suffix = "/emqx" }
    ]
    subscription = [{ remote_topic = "cmd/1", local_topic = c, qos = 1, retain = 0 }]
}
"""


@pytest.mark.parametrize("text", [OLDER_BRIDGE, NEWER_BRIDGE])
def test_bridge_is_the_same_in_both_forms(text: str) -> None:
    config = parse(text, "x.conf")
    assert config.bridges == (
        Bridge(
            name="emqx",
            bridge_mode=True,
            address="tls+mqtt-tcp://h:8883",
            proto_ver=5,
            hybrid_servers=("mqtt-tcp://i:1", "nmq-ws://j:2/mqtt"),
            clean_start=False,
            session_expiry=3600,
            keepalive=30,
            backoff_max=120_000,
            max_send_queue_len=32,
            cacertfile="/ca.pem",
            key_password="secret",
            will_topic="gone",
            will_payload="bye",
            forward=(
                BridgeForward(local_topic="up/#", remote_topic="site/up/#", qos=1),
                BridgeForward(local_topic="state", suffix="/emqx"),
            ),
            subscription=(
                BridgeSubscription(topic="cmd/1", local_topic="c", qos=1, retain=0),
            ),
        ),
    )
    reading = read(text, "x.conf")
    (bridge,) = config.bridges
    forward = replace(bridge.forward[0], remote_topic="other/#", local_topic="#")
    for changed in (
        replace(bridge, forward=(forward,), keepalive=9),
        replace(bridge, forward=(), forwards=("a", "b/#"), subscription=()),
    ):
        made = edited(reading, replace(config, bridges=(changed,)), "x.conf", None)
        assert made.config.bridges == (changed,)
        assert parse(made.text, "x.conf").bridges == (changed,)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("forward.1.remote_topic=a", "forward.1.local_topic: missing"),
        ("forward.1.local_topic=a/#/b", "expected a topic filter without $share"),
        ("forwards=$share/g/a", "expected topic filters without $share, with commas"),
        ("forwards.1.local_topic=", "forwards.1.local_topic='': expected a topic filter"),
        ("forward.1.qos=3", "expected a whole number from 0 to 2, or nothing"),
        ("subscription.1.prefix=a/+", "expected a part of a topic, without + and #"),
        ("hybrid_servers=mqtt-tcp://h:1,x", "with commas between, each a URL mqtt-tcp://"),
        ("hybrid_servers=mqtt-tcp://u:secret@h:1", "(hidden): expected with commas"),
        ("tls.key_password=\x01secret", "tls.key_password=(hidden): expected a text"),
        ("when_full=all", "expected oldest or newest"),
        ("ssl.cacertfil=/x", "unknown key"),
    ],
)
def test_wrong_key_of_a_bridge_is_named_with_its_place(line: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(f"bridge.mqtt.b.{line}\n", "x.conf")
    text = str(caught.value)
    assert text.startswith("x.conf:1: bridge.mqtt.b.")
    assert says in text
    assert "secret" not in text
