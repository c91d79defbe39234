"""config/: every key is read, every fault is one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.auth.acl import rules_of_one
from nanomq_py.config import Config, ConfigError, load, parse
from nanomq_py.config.declare.key import keys_of
from nanomq_py.config.declare.section import join
from nanomq_py.config.keys.config import SECTIONS
from nanomq_py.config.keys.http_client import Header
from nanomq_py.config.keys.listeners import WebSocket
from nanomq_py.config.keys.tokens import Claim

pytestmark = pytest.mark.plain

ROOT = Path(__file__).resolve().parents[2]

SAMPLES = {
    "url": ("nmq-tcp://[::1]:1", "nmq-tcp://[::1]:1"),
    "user": ("nobody", "nobody"),
    "daemon": ("true", True),
    "auth.chain": ("file, plugin:own,anonymous", ("file", "plugin:own", "anonymous")),
    "auth.password_file": ("/etc/x", "/etc/x"),
    "auth.superusers": ("ann, bob", ("ann", "bob")),
    "max_connections": ("9", 9),
    "max_connections_per_address": ("9", 9),
    "max_subscriptions": ("9", 9),
    "max_queue_size": ("0", 0),
    "max_message_rate": ("9", 9),
    "max_byte_rate": ("1MB", 1 << 20),
    "max_memory": ("2GB", 2 << 30),
    "max_sessions": ("9", 9),
    "max_retained_messages": ("9", 9),
    "max_retained_bytes": ("1MB", 1 << 20),
    "max_groups_per_client": ("9", 9),
    "max_filters_per_packet": ("9", 9),
    "max_clientid_length": ("23", 23),
    "max_connect_size": ("1KB", 1 << 10),
    "max_keepalive": ("600", 600),
    "tls.min_version": ("1.3", "1.3"),
    "tls.crlfile": ("/etc/x", "/etc/x"),
    "tls.ciphers": ("ECDHE+AES", "ECDHE+AES"),
    "websocket.path": ("*", "*"),
    "proxy.trusted": ("10.0.0.5, 2001:db8::/32", ("10.0.0.5/32", "2001:db8::/32")),
    "num_taskq_thread": ("0", 0),
    "max_taskq_thread": ("8", 8),
    "parallel": ("16", 16),
    "property_size": ("1", 1),
    "msq_len": ("64", 64),
    "qos_duration": ("10", 10),
    "allow_anonymous": ("false", False),
    "max_packet_size": ("1", 1),
    "client_max_packet_size": ("2", 2),
    "keepalive_backoff": ("1500", 1500),
    "acl_nomatch": ("deny", "deny"),
    "acl_deny_action": ("disconnect", "disconnect"),
    "acl_file": ("/etc/nanomq.acl", "/etc/nanomq.acl"),
    "connect_timeout": ("500ms", 500),
    "answer_timeout": ("2s", 2000),
    "max_topic_levels": ("9", 9),
    "max_topic_alias": ("0", 0),
    "max_outgoing_size": ("2MB", 2 << 20),
    "slow_consumer_time": ("2", 2000),
    "max_session_expiry": ("60", 60),
    "pid_file": ("/run/x.pid", "/run/x.pid"),
    "core_dumps": ("true", True),
    "plugins.load": ("counter,x_2", ("counter", "x_2")),
    "tls.enable": ("true", True),
    "tls.url": ("tls+nmq-tcp://h:1", "tls+nmq-tcp://h:1"),
    "tls.keyfile": ("/k", "/k"),
    "tls.key_password": ("p=q#r", "p=q#r"),
    "tls.certfile": ("/c", "/c"),
    "tls.cacertfile": ("NULL", None),
    "tls.verify_peer": ("true", True),
    "tls.fail_if_no_peer_cert": ("true", True),
    "websocket.enable": ("false", False),
    "websocket.url": ("nmq-ws://0.0.0.0:1/x", "nmq-ws://0.0.0.0:1/x"),
    "websocket.tls_url": ("nmq-wss://0.0.0.0:1/x", "nmq-wss://0.0.0.0:1/x"),
    "http_server.enable": ("false", False),
    "http_server.host": ("::1", "::1"),
    "http_server.port": ("1", 1),
    "http_server.max_connections": ("9", 9),
    "http_server.max_connections_per_address": ("8", 8),
    "http_server.dialects": ("v1", ("v1",)),
    "http_server.emqx_status": ("always_200", "always_200"),
    "http_server.cors.origins": (
        "https://a.b, http://[::1]:3",
        ("https://a.b", "http://[::1]:3"),
    ),
    "http_server.access_log": ("true", True),
    "node.name": ("n@h", "n@h"),
    "http_server.username": ("u", "u"),
    "http_server.password": ("p", "p"),
    "http_server.mask_secrets": ("always", "always"),
    "http_server.tls.enable": ("true", True),
    "http_server.tls.keyfile": ("/k", "/k"),
    "http_server.tls.key_password": ("p", "p"),
    "http_server.tls.certfile": ("/c", "/c"),
    "http_server.tls.cacertfile": ("/ca", "/ca"),
    "http_server.tls.crlfile": ("/l", "/l"),
    "http_server.tls.verify_peer": ("true", True),
    "http_server.tls.fail_if_no_peer_cert": ("true", True),
    "http_server.tls.min_version": ("1.3", "1.3"),
    "http_server.auth_type": ("jwt", "jwt"),
    "http_server.jwt.public.keyfile": ("/p", "/p"),
    "http_server.jwt.private.keyfile": ("/q", "/q"),
    "http_server.jwt.secret": ("s" * 32, "s" * 32),
    "http_server.jwt.iss": ("", ""),
    "http_server.jwt.aud": ("nanomq", "nanomq"),
    "http_server.jwt.max_life": ("1h", 3600),
    "log.to": ("file, console", ("file", "console")),
    "log.level": ("DEBUG", "debug"),
    "log.dir": ("/var/log", "/var/log"),
    "max_outgoing_topic_alias": ("0", 0),
    "receive_maximum": ("1", 1),
    "server_keepalive": ("60", 60),
    "max_qos_allowed": ("1", 1),
    "retain_available": ("false", False),
    "wildcard_subscription": ("false", False),
    "shared_subscription": ("false", False),
    "subscription_identifier": ("false", False),
    "strict_clientid": ("true", True),
    "allow_empty_clientid": ("false", False),
    "response_information": ("resp/", "resp/"),
    "sys_interval": ("0", 0),
    "log.file": ("x.log", "x.log"),
    "log.rotation.size": ("1KB", 1024),
    "log.rotation.count": ("2", 2),
    "store.path": ("/var/lib/nanomq/nanomq.db", "/var/lib/nanomq/nanomq.db"),
    "durability": ("always", "always"),
    "durability.topics": ("a/#, b/+", ("a/#", "b/+")),
    "durability.location": ("/var/lib/a", "/var/lib/a"),
    "durability.interval": ("500ms", 500),
    "durability.gather": ("5ms", 5),
    "durability.max_size": ("1GB", 1 << 30),
    "durability.segment_size": ("1MB", 1 << 20),
    "durability.on_error": ("stop", "stop"),
    "durability.hold": ("1s", 1000),
    "durability.slow_flush": ("2s", 2000),
    "durability.on_corruption": ("skip", "skip"),
    "flapping_detect.enable": ("true", True),
    "flapping_detect.max_count": ("30", 30),
    "flapping_detect.window_time": ("2m", 120_000),
    "flapping_detect.ban_time": ("1h", 3_600_000),
    "sqlite.enable": ("true", True),
    "sqlite.disk_cache_size": ("1", 1),
    "sqlite.mounted_file_path": ("/x", "/x"),
    "sqlite.flush_mem_threshold": ("1", 1),
    "sqlite.resend_interval": ("1", 1),
    "auth.http.enable": ("true", True),
    "auth.http.timeout": ("5s", 5000),
    "auth.http.connect_timeout": ("1m", 60000),
    "auth.http.pool_size": ("1", 1),
    "auth.jwt.enable": ("true", True),
    "auth.jwt.from": ("username", "username"),
    "auth.jwt.secret": ("s" * 32, "s" * 32),
    "auth.jwt.public.keyfile": ("/p", "/p"),
    "auth.jwt.jwks.file": ("/j", "/j"),
    "auth.jwt.jwks.url": ("https://a/j", "https://a/j"),
    "auth.jwt.jwks.cacertfile": ("/c", "/c"),
    "auth.jwt.jwks.refresh": ("1h", 3600),
    "auth.jwt.iss": ("i", "i"),
    "auth.jwt.aud": ("a", "a"),
    "auth.jwt.leeway": ("5", 5),
    "auth.jwt.require_exp": ("false", False),
    "auth.jwt.acl_claim": ("rights", "rights"),
    "auth.jwt.superuser_claim": ("is_superuser", "is_superuser"),
    "auth.http.cache_ttl": ("0s", 0),
    "auth.http.on_failure": ("pass", "pass"),
    "auth.http.ssl.cacertfile": ("/ca.pem", "/ca.pem"),
    "auth.http.ssl.certfile": ("/c.pem", "/c.pem"),
    "auth.http.ssl.keyfile": ("/k.pem", "/k.pem"),
    "web.hook.enable": ("true", True),
    "web.hook.url": ("http://127.0.0.1:80", "http://127.0.0.1:80"),
    "web.hook.body.encoding_of_payload_field": ("base64", "base64"),
    "web.hook.pool_size": ("1", 1),
    "web.hook.secret": ("whsec_MTIz", "whsec_MTIz"),
    "web.hook.allow": ("10.0.0.0/8,h", ("10.0.0.0/8", "h")),
    "web.hook.timeout": ("1s", 1000),
    "web.hook.max_attempts": ("3", 3),
    "web.hook.max_waiting": ("10", 10),
    "web.hook.max_waiting_size": ("1MB", 1 << 20),
    "web.hook.ssl.cacertfile": ("/ca.pem", "/ca.pem"),
    "web.hook.ssl.certfile": ("/c.pem", "/c.pem"),
    "web.hook.ssl.keyfile": ("/k.pem", "/k.pem"),
}


def every_key() -> dict[str, tuple[object, str]]:
    """Key -> (section, field) of everything that is one key."""
    found: dict[str, tuple[object, str]] = {
        key.name: ("", declared.name) for declared, key in keys_of(Config)
    }
    for section, prefix in SECTIONS.items():
        for declared, key in keys_of(type(getattr(Config(), section))):
            found[join(prefix[:-1], key.name)] = (section, declared.name)
    return found


@pytest.mark.parametrize("name", every_key())
def test_every_key_is_read(name: str) -> None:
    text, value = SAMPLES[name]
    config = parse(f"{name}={text}\n", "x.conf")
    section, field = every_key()[name]
    holder = getattr(config, str(section)) if section else config
    assert getattr(holder, field) == value


def test_families_of_keys_are_read() -> None:
    config = parse(
        """
        auth.2.login=second
        auth.2.password=b
        auth.1.login = first
        auth.1.password = a
        acl.rule.1={"permit":"allow","username":"u","action":"subscribe","topics":["a/#"]}
        acl.rule.2={"permit":"deny","ipaddr":"127.0.0.1"}
        bridge.mqtt.emqx.bridge_mode=true
        bridge.mqtt.emqx.address=mqtt-tcp://broker.emqx.io:1883
        bridge.mqtt.emqx.forwards=a/#,b
        bridge.mqtt.emqx.subscription.1.topic=c
        bridge.mqtt.emqx.subscription.1.qos=2
        web.hook.headers.content-type=application/json
        web.hook.rule.client.connect.1={"action":"on_client_connect"}
        auth.http.auth_req.url=http://127.0.0.1:80/auth
        auth.http.auth_req.headers.content-type=text/plain
        auth.http.auth_req.params=clientid=%c,username=%u
        auth.jwt.claims.device_id=%c
        """,
        "x.conf",
    )
    assert config.auth_jwt.claims == (Claim("device_id", "%c"),)
    assert [(u.login, u.password) for u in config.users] == [
        ("first", "a"),
        ("second", "b"),
    ]
    assert [r.permit for r in config.acl_rules] == ["allow", "deny"]
    assert config.acl_rules[0].topics == ("a/#",)
    (bridge,) = config.bridges
    assert (bridge.name, bridge.forwards) == ("emqx", ("a/#", "b"))
    assert [(s.topic, s.qos) for s in bridge.subscription] == [("c", 2)]
    assert config.web_hook.headers == (Header("content-type", "application/json"),)
    assert config.web_hook.rules[0].action == "on_client_connect"
    assert config.auth_http.auth_req.params == ("clientid=%c", "username=%u")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("url", "x.conf:1: expected key=value"),
        ("a\n\n# c\nurll=x", "x.conf:1: expected key=value"),
        ("# c\nurll=nmq-tcp://h:1", "x.conf:2: urll: unknown key; did you mean url?"),
        ("msq_len=0", "x.conf:1: msq_len='0': expected a whole number from 1 to 65535"),
        ("msq_len=1\nmsq_len=2", "x.conf:2: msq_len: given before, at x.conf:1"),
        (
            "url=http://h:1",
            "x.conf:1: url='http://h:1': expected a URL nmq-tcp://HOST:PORT",
        ),
        ("url=nmq-tcp://h", "expected a URL nmq-tcp://HOST:PORT"),
        ("url=nmq-tcp://h:99999", "expected a URL nmq-tcp://HOST:PORT"),
        ("daemon=maybe", "x.conf:1: daemon='maybe': expected true or false"),
        ("log.level=loud", "expected trace or debug or info"),
        ("auth.1.password=x", "x.conf:1: auth.1.login: missing"),
        ("x=1\nauth.1.login=a", "x.conf:2: auth.1.password: missing"),
        (
            "auth.1.login=a\nauth.1.password=",
            "auth.1.password=(hidden): expected a text that",
        ),
        (
            "auth.1.login=a\nauth.1.password=p\nauth.2.login=a\nauth.2.password=q",
            "auth.N.login='a': given to two users",
        ),
        ("acl.rule.1={", "x.conf:1: acl.rule.1='{': expected JSON such as"),
        ('acl.rule.1={"permit":"maybe"}', "acl.rule.1="),
        ('acl.rule.1={"permit":"deny","ipaddr":"1.2.3"}', "expected an ipaddr such as"),
        (
            'acl.rule.1={"permit":"deny","ipaddr":"::ffff:10.0.0.0/95"}',
            "expected a prefix of 96 bits or more",
        ),
        (
            "proxy.trusted=10.0.0.1,::ffff:0:0/0",
            "proxy.trusted='10.0.0.1,::ffff:0:0/0': expected a prefix of 96 bits or more",
        ),
        ('acl.rule.1={"permit":"deny","topics":["a#"]}', "expected topics that are topic"),
        ('acl.rule.1={"permit":"deny","topics":[""]}', "expected topics that are topic"),
        ('acl.rule.1={"permit":"deny","username":"a\\u0000"}', "printable characters"),
        (
            'acl.rule.1={"permit":"deny","topics":["eq a#"]}',
            "expected topics that are topic",
        ),
        (
            'acl.rule.1={"permit":"deny","topics":["%s"]}' % ("a/" * 256),
            "expected topics that are topic",
        ),
        ('acl.rule.1={"permit":"deny","qos":3}', "expected qos of 0 to 2, not (3,)"),
        (
            'acl.rule.1={"permit":"deny","qos":"<1"}',
            'expected qos such as 1, [0,1] or "<=1"',
        ),
        ('acl.rule.1={"permit":"deny","or":[]}', "conditions that one client can meet"),
        (
            'acl.rule.1={"permit":"deny","clientid":"a","and":[{"clientid":"b"}]}',
            "conditions that one client can meet",
        ),
        (
            'acl.rule.1={"permit":"deny","ipaddr":"::/1","and":[{"ipaddr":"10.0.0.0/8"}]}',
            "conditions that one client can meet",
        ),
        (
            'acl.rule.1={"permit":"deny","and":[{"ipaddr":"x"}]}',
            "expected an ipaddr such as",
        ),
        ('acl.rule.1={"permit":"deny","or":[{"user":"x"}]}', "unknown field `user`"),
        (
            'acl.rule.1={"permit":"deny","and":[{"clientid":"a\\u0000"}]}',
            "printable characters",
        ),
        (
            'acl.rule.1={"permit":"deny","action":"subscribe","retain":true}',
            "expected retain only where the action is publish or pubsub",
        ),
        ("tls.key_password=\x01secret", "tls.key_password=(hidden): expected a text"),
        ("x\x00y=1", "x.conf: holds a zero byte"),
        ("bridge.mqtt.a.qos=1", "x.conf:1: bridge.mqtt.a.qos: unknown key"),
    ],
)
def test_fault_names_file_line_key_value_and_what_was_expected(
    text: str, error: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "x.conf")
    assert error in str(caught.value)
    assert "secret" not in str(caught.value)


def test_file_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.conf: cannot be read: No such file"):
        load(tmp_path / "none.conf")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)
    (tmp_path / "latin").write_bytes(b"url=\xff")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 4"):
        load(tmp_path / "latin")


def test_shipped_file_holds_the_defaults() -> None:
    assert load(ROOT / "etc" / "nanomq.conf") == parse("", "x")
    assert parse("", "x") == Config(websocket=WebSocket())


@given(st.binary(max_size=300))
def test_any_bytes_as_the_file_are_read_or_a_clear_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.conf"
    path.write_bytes(data)
    try:
        load(path)
    except ConfigError as fault:
        assert str(fault)


LINE = st.builds(
    lambda name, value: f"{name}={value}",
    st.sampled_from([*SAMPLES, "auth.1.login", "acl.rule.1", "bridge.mqtt.a.address"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)


@given(st.lists(LINE, max_size=5))
def test_any_values_are_read_or_a_clear_error(lines: list[str]) -> None:
    try:
        parse("\n".join(lines), "x.conf")
    except ConfigError as fault:
        assert "x.conf" in str(fault) or "auth.N" in str(fault)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("::ffff:127.0.0.1", "127.0.0.1/32"),
        ("::ffff:7f00:1/128", "127.0.0.1/32"),
        ("::ffff:127.0.0.1/104", "127.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("::ffff:0:0:1/64", "::/64"),  # translated addresses, which are none of IPv4
        ("192.0.2.1/255.255.255.0", "192.0.2.0/24"),
    ],
)
def test_network_of_mapped_addresses_is_that_of_ipv4(text: str, network: str) -> None:
    config = parse(
        f'proxy.trusted={text}\nacl.rule.1={{"permit":"deny","ipaddr":"{text}"}}', "x.conf"
    )
    assert config.proxy.trusted == (network,)
    assert str(rules_of_one(config.acl_rules[0])[0].network) == network
