"""``nanomq import``: what other brokers' files become, and what is said of the rest."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.cli import main
from nanomq_py.config import Config, ConfigError, load
from nanomq_py.config.keys.bridges import Bridge, BridgeForward, BridgeSubscription
from nanomq_py.importing.form import FORMS, form_of
from nanomq_py.importing.mosquitto import read_mosquitto

pytestmark = pytest.mark.plain

MOSQUITTO = """\
# a broker for a site
persistence true
log_dest file /var/log/mosquitto/mosquitto.log
log_dest stdout
log_type warning
log_type information
max_queued_messages 5000
max_packet_size 2000000
persistent_client_expiration 14d
listener 1883
max_connections -1
listener 8883 192.0.2.1
certfile /etc/c.pem
keyfile /etc/k.pem
cafile /etc/ca.pem
require_certificate true
use_identity_as_username true
tls_version tlsv1.3
listener 9001 ::1
protocol websockets
listener 0 /tmp/m.sock
mount_point site/
connection cloud
remote_password sesame
connection up/stream
addresses cloud.example.com:8884 192.0.2.7 [2001:db8::1]:1885
bridge_cafile /etc/ca.pem
bridge_protocol_version mqttv50
bridge_identity x
bridge_psk sesame
remote_clientid site
remote_username u
remote_password sesame
cleansession true
keepalive_interval 30
restart_timeout 5 300
start_type manual
try_private false
bridge_insecure true
topic plain/#
topic sensors/+/t out 1 local/ remote/
topic cmd/# in 2 "" site/
topic both/# both 1 l/ r/
topic "" out 0 here there
topic bad around
"""


def taken(tmp_path: Path, name: str, text: str, form: str = "") -> Config:
    """Return the configuration that the written file holds."""
    given_file, made = tmp_path / name, tmp_path / "made.conf"
    given_file.write_text(text)
    made.unlink(missing_ok=True)
    main(
        ["import", str(given_file), "--to", str(made), *(["--form", form] if form else [])]
    )
    return load(made)


def test_mosquitto_file_becomes_ours(tmp_path: Path) -> None:
    config = taken(tmp_path, "mosquitto.conf", MOSQUITTO)
    assert (config.url, config.websocket.enable, config.allow_anonymous) == (
        None,
        False,
        False,
    )
    listeners = {listener.name: listener for listener in config.listeners}
    assert {name: listener.url for name, listener in listeners.items()} == {
        "m1883": "nmq-tcp://0.0.0.0:1883",
        "m8883": "tls+nmq-tcp://192.0.2.1:8883",
        "m9001": "nmq-ws://[::1]:9001/mqtt",
        "m0": "nmq-ipc:///tmp/m.sock",
    }
    tls = listeners["m8883"]
    assert (tls.verify_peer, tls.fail_if_no_peer_cert) == (True, True)
    assert tls.username_from == "cn"
    assert tls.min_version == "1.3"
    assert listeners["m0"].mountpoint == "site/"
    assert config.log.to == ("file", "console")
    assert (config.log.level, config.log.dir) == ("info", "/var/log/mosquitto")
    assert (config.msq_len, config.max_packet_size) == (5000, 1954)
    assert config.max_session_expiry == 14 * 86400


def test_connection_of_mosquitto_becomes_a_bridge(tmp_path: Path) -> None:
    config = taken(tmp_path, "mosquitto.conf", MOSQUITTO)
    (bridge,) = config.bridges  # without an address there is none
    assert bridge == Bridge(
        name="up-stream",
        bridge_mode=True,
        address="tls+mqtt-tcp://cloud.example.com:8884",
        hybrid_servers=(
            "tls+mqtt-tcp://192.0.2.7:8883",
            "tls+mqtt-tcp://[2001:db8::1]:1885",
        ),
        paused=True,
        proto_ver=5,
        try_private=False,
        clientid="site",
        username="u",
        password="sesame",
        clean_start=True,
        keepalive=30,
        backoff_min=5000,
        backoff_max=300_000,
        cacertfile="/etc/ca.pem",
        verify_peer=False,
        forward=(
            BridgeForward(local_topic="plain/#", qos=0),
            BridgeForward(
                local_topic="local/sensors/+/t", remote_topic="remote/sensors/+/t", qos=1
            ),
            BridgeForward(local_topic="l/both/#", remote_topic="r/both/#", qos=1),
            BridgeForward(local_topic="here", remote_topic="there", qos=0),
        ),
        subscription=(
            BridgeSubscription(topic="site/cmd/#", local_topic="cmd/#", qos=2),
            BridgeSubscription(topic="r/both/#", local_topic="l/both/#", qos=1),
        ),
    )


def test_listener_of_mosquitto_with_pre_shared_keys(tmp_path: Path) -> None:
    text = "psk_file /etc/psk\nlistener 8884\npsk_hint h\nuse_identity_as_username true\n"
    (tls,) = taken(tmp_path, "mosquitto.conf", f"{text}listener 1883\n").listeners[:1]
    assert (tls.url, tls.psk_file) == ("tls+nmq-tcp://0.0.0.0:8884", "/etc/psk")
    assert tls.names_from == "psk"


def test_what_is_not_taken_is_said_line_by_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mosquitto.conf"
    file.write_text(MOSQUITTO)
    assert main(["import", str(file)]) == 1
    told = capsys.readouterr()
    for line, what in (
        (2, "persistence true"),
        (23, "connection cloud"),
        (45, "topic bad around"),
    ):
        assert f"{file}:{line}: {what}: " in told.err
        assert f"# not taken: {file}:{line}: {what}: " in told.out
    assert "bridge_psk (hidden)" in told.err
    assert "sesame" not in told.err
    assert told.out.count("sesame") == 1  # the password of the bridge


def test_file_with_passwords_is_for_its_owner_and_none_is_replaced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, made = tmp_path / "mosquitto.conf", tmp_path / "made.conf"
    file.write_text("listener 1883\n")
    assert main(["import", str(file), "--to", str(made)]) == 0
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    before = made.read_text()
    assert main(["import", str(file), "--to", str(made)]) == 2
    assert "File exists" in capsys.readouterr().err
    assert made.read_text() == before


@pytest.mark.parametrize(
    ("text", "url", "anonymous"),
    [
        ("", "nmq-tcp://127.0.0.1:1883", True),  # this machine only
        ("allow_anonymous false\n", "nmq-tcp://127.0.0.1:1883", False),
        ("port 1884\n", "nmq-tcp://0.0.0.0:1884", False),
        ("bind_address 192.0.2.1\n", "nmq-tcp://192.0.2.1:1883", False),
        ("listener 1884\nallow_anonymous true\n", "nmq-tcp://0.0.0.0:1884", True),
        ("listener 1884\nsocket_domain ipv6\n", "nmq-tcp://[::]:1884", False),
    ],
)
def test_mosquitto_lets_in_whom_it_let_in(
    tmp_path: Path, text: str, url: str, anonymous: bool
) -> None:
    config = taken(tmp_path, "mosquitto.conf", text, "mosquitto")
    assert [listener.url for listener in config.listeners] == [url]
    assert config.allow_anonymous is anonymous


def test_listeners_of_mosquitto_may_let_in_others(tmp_path: Path) -> None:
    text = "per_listener_settings true\nlistener 1\nallow_anonymous true\nlistener 2\n"
    config = taken(tmp_path, "mosquitto.conf", text)
    assert [listener.allow_anonymous for listener in config.listeners] == [True, None]
    assert config.allow_anonymous is False


def test_included_folder_is_read_in_its_order(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    for name, port in (("b.conf", 2), ("a.conf", 1), ("c.txt", 3)):
        (folder / name).write_text(f"listener {port}\n")
    config = taken(tmp_path, "mosquitto.conf", f"include_dir {folder}\nlistener 4\n")
    assert [listener.name for listener in config.listeners] == ["m1", "m2", "m4"]


def test_fault_in_a_foreign_file_names_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mosquitto.conf"
    file.write_text("listener 1883\nmax_keepalive soon\n")
    assert main(["import", str(file)]) == 2
    assert (
        f"{file}:2: max_keepalive='soon': expected a whole number"
        in capsys.readouterr().err
    )


EMQX_5 = """\
node { name = "emqx@127.0.0.1", cookie = "sesame" }
listeners.tcp.default { bind = "0.0.0.0:1883", max_connections = infinity }
listeners.ssl.default {
  bind = 8883
  ssl_options { certfile = "c.pem", keyfile = "k.pem", verify = verify_peer,
                versions = ["tlsv1.3", "tlsv1.2"] }
}
listeners.ws.default { enable = false, bind = 8083 }
mqtt { max_packet_size = 1MB, session_expiry_interval = 2h, keepalive_multiplier = 1.5
       max_mqueue_len = infinity }
authorization { no_match = deny, deny_action = disconnect, sources = [{type = file}] }
dashboard.listeners.http.bind = "127.0.0.1:18083"
"""
EMQX_4 = """\
node.name = emqx@127.0.0.1
listener.tcp.external = 0.0.0.0:1883
listener.tcp.external.max_connections = 1024000
listener.ws.external = 8083
listener.ws.external.mqtt_path = /mqtt
zone.external.session_expiry_interval = 2h
zone.external.keepalive_backoff = 0.75
mqtt.max_packet_size = 1MB
allow_anonymous = false
acl_nomatch = deny
log.level = warning
"""


def test_file_of_emqx_5_becomes_ours(tmp_path: Path) -> None:
    config = taken(tmp_path, "emqx.conf", EMQX_5)
    listeners = {listener.name: listener for listener in config.listeners}
    assert {name: listener.url for name, listener in listeners.items()} == {
        "tcp-default": "nmq-tcp://0.0.0.0:1883",
        "ssl-default": "tls+nmq-tcp://0.0.0.0:8883",
    }
    assert listeners["ssl-default"].verify_peer is True
    assert listeners["ssl-default"].min_version == "1.2"
    assert (config.max_packet_size, config.max_session_expiry) == (1024, 7200)
    assert (config.acl_nomatch, config.acl_deny_action) == ("deny", "disconnect")
    assert config.http_server.port == 18083
    assert config.msq_len == 65535


def test_login_that_is_not_taken_lets_nobody_in(tmp_path: Path) -> None:
    login = "authentication = [{mechanism = password_based, backend = built_in_database}]\n"
    assert taken(tmp_path, "emqx.conf", EMQX_5 + login).allow_anonymous is False
    assert taken(tmp_path, "emqx.conf", EMQX_5).allow_anonymous is True


def test_file_of_emqx_4_becomes_ours(tmp_path: Path) -> None:
    config = taken(tmp_path, "emqx.conf", EMQX_4)
    listeners = {listener.name: listener for listener in config.listeners}
    assert listeners["tcp-external"].max_connections == 1024000
    assert listeners["ws-external"].path == "/mqtt"
    assert (config.max_session_expiry, config.keepalive_backoff) == (7200, 1500)
    assert (config.allow_anonymous, config.acl_nomatch) == (False, "deny")
    assert config.log.level == "warn"


@pytest.mark.parametrize(("factor", "ours"), [("0.75", 1500), ("0.5", 1000), ("1", 2000)])
def test_keep_alive_of_emqx_4_counts_twice(tmp_path: Path, factor: str, ours: int) -> None:
    text = EMQX_4.replace("backoff = 0.75", f"backoff = {factor}")
    assert taken(tmp_path, "emqx.conf", text).keepalive_backoff == ours


def test_nested_form_becomes_the_flat_one(tmp_path: Path) -> None:
    text = 'mqtt { property_size = 7 }\nlisteners.tcp { bind = "127.0.0.1:1884" }\n'
    config = taken(tmp_path, "nanomq.conf", text)
    assert (config.property_size, config.url) == (7, "nmq-tcp://127.0.0.1:1884")


def test_whose_file_it_is_is_seen(tmp_path: Path) -> None:
    for name, text in (("mosquitto", MOSQUITTO), ("emqx", EMQX_5), ("emqx", EMQX_4)):
        (tmp_path / "file").write_text(text)
        assert form_of(tmp_path / "file") == name
    (tmp_path / "file").write_text("who knows\n")
    with pytest.raises(ConfigError, match="whose is it"):
        form_of(tmp_path / "file")


def test_each_option_of_mosquitto_is_known(tmp_path: Path) -> None:
    """Each option of the manual is known: none is called unknown."""
    names = (
        (Path(__file__).parent / "vectors" / "mosquitto-options.txt").read_text().split()
    )
    file = tmp_path / "mosquitto.conf"
    file.write_text("".join(f"{name} 1\n" for name in names if name != "include_dir"))
    unknown = [left for left in read_mosquitto(file).left if "not known here" in left.why]
    assert unknown == []


_WORDS = st.sampled_from(
    ["listener", "port", "log_dest", "max_qos", "a.b", "{", "}", "=", "["]
)
_VALUES = st.one_of(st.text(max_size=12), st.integers().map(str), _WORDS)


@given(st.lists(st.tuples(_WORDS, _VALUES), max_size=12), st.sampled_from(sorted(FORMS)))
def test_any_file_is_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]], form: str
) -> None:
    file = tmp_path_factory.mktemp("any") / "file"
    file.write_text("\n".join(" ".join(line) for line in lines), errors="replace")
    try:
        draft = FORMS[form](file)
        text = draft.text(["file"])
        config = draft.config()
    except ConfigError:
        return
    file.write_text(text)
    assert load(file) == config


def test_password_files_and_revocation_lists_of_mosquitto_are_used(tmp_path: Path) -> None:
    text = (
        "per_listener_settings true\nlistener 8883\ncertfile c\nkeyfile k\ncrlfile /r.pem\n"
    )
    text += "password_file /etc/passwd.txt\nlistener 1884\npassword_file /etc/passwd.txt\n"
    config = taken(tmp_path, "mosquitto.conf", text)
    assert config.auth.password_file == "/etc/passwd.txt"
    assert [listener.crlfile for listener in config.listeners if listener.crlfile] == [
        "/r.pem"
    ]
    (tmp_path / "m.conf").write_text(text + "password_file /etc/other.txt\n")
    left = read_mosquitto(tmp_path / "m.conf").left
    assert any("share one file" in one.why for one in left)
