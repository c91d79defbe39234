"""The whole of the keys: those without a section, the sections, the families.

The file reader, the shipped file, the documentation, ``nanomq conf``, reload and the HTTP API
are views of :class:`Config` and of the dataclasses that it is made of.

Source  the keys and defaults of NanoMQ 0.6.8's nanomq.conf; those marked "Own key" are ours
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from nanomq_py.config.declare.family import NAME, NUMBER, family
from nanomq_py.config.declare.key import Applies, key
from nanomq_py.config.declare.section import Brought, section, sections_of
from nanomq_py.config.keys.access import RULE_LINE, AclRule, Auth, User
from nanomq_py.config.keys.bridges import Bridge
from nanomq_py.config.keys.durability import Durability
from nanomq_py.config.keys.flapping import FlappingDetect
from nanomq_py.config.keys.general import General
from nanomq_py.config.keys.http_client import HttpAuth, WebHook
from nanomq_py.config.keys.http_server import HttpServer
from nanomq_py.config.keys.limits import Limits
from nanomq_py.config.keys.listeners import URL_ELSEWHERE, Listener, Proxy, Tls, WebSocket
from nanomq_py.config.keys.log import Log
from nanomq_py.config.keys.mqtt5 import Mqtt5
from nanomq_py.config.keys.node import Node
from nanomq_py.config.keys.plugins import PREFIX, Plugins
from nanomq_py.config.keys.said import Said
from nanomq_py.config.keys.sqlite import NO_PLACE, Sqlite
from nanomq_py.config.keys.store import StoreKeys
from nanomq_py.config.keys.tokens import JwtLogin
from nanomq_py.config.values.kind import Optional
from nanomq_py.config.values.numbers import U32, Duration, Size, Whole
from nanomq_py.config.values.texts import Text
from nanomq_py.config.values.words import Flag

if TYPE_CHECKING:
    from nanomq_py.config.declare.plugged import Plugged

S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class Config(Mqtt5, Limits, General):  # the keys of the last come first
    """A whole configuration. Every default is the documented one, but for ``websocket``.

    One that a program makes listens where the program says, and on no WebSocket besides.
    """

    sys_interval: int = key(
        "sys_interval",
        Whole(0, 86400, "s"),
        10,
        "Own key: time between updates of the $SYS topics; 0: no $SYS topics.",
        heading="$SYS topics",
    )
    max_outgoing_size: int = key(
        "max_outgoing_size",
        Size(1024, 1 << 30),
        1 << 20,
        "Own key: bytes that may wait for one client before its publishers have to wait.",
        heading="Slow clients and old sessions",
        core="outbox_max_bytes",
    )
    slow_consumer_time: int = key(
        "slow_consumer_time",
        Duration(1, 60_000),
        1000,
        "Own key: how long publishers wait for a slow client before it loses QoS 0 messages;"
        " and how long a client that sends may take none of the answers before it is closed.",
        core="hold_ms",
    )
    max_session_expiry: int = key(
        "max_session_expiry",
        Whole(0, U32, "s"),
        U32,
        "Own key: longest time a session is kept; 4294967295: for ever.",
        core="expiry_max_s",
    )
    pid_file: str | None = key(
        "pid_file",
        Optional(Text()),
        None,
        "Own key: where the process number is kept for nanomq stop: a file in a folder where"
        " only this user can write. Default: by the path of the configuration file, in the"
        " user's run-time folder.",
        applies=Applies.RESTART,
        heading="The process number",
    )
    core_dumps: bool = key(
        "core_dumps",
        Flag(),
        False,
        "Own key: leave the memory of a process that crashes in a core file, as far as the"
        " system is set to. Passwords and messages are in it. While it is false, only root can"
        " look into the process, with gdb or in /proc/PID/fd.",
        applies=Applies.RESTART,
    )
    tls: Tls = section("tls", Tls, "MQTT over TLS: see docs/listeners.md")
    websocket: WebSocket = section(
        "websocket",
        WebSocket,
        "MQTT over WebSocket",
        default=lambda: WebSocket(enable=False),
    )
    proxy: Proxy = section(
        "proxy", Proxy, "PROXY headers of load balancers: see docs/listeners.md"
    )
    http_server: HttpServer = section("http_server", HttpServer, "HTTP API")
    node: Node = section("node", Node, "The name of this broker")
    log: Log = section("log", Log, "Log")
    store: StoreKeys = section("store", StoreKeys, "The store: see docs/store.md")
    durability: Durability = section(
        "durability",
        Durability,
        "Messages and sessions on disk: see docs/durability.md",
    )
    flapping_detect: FlappingDetect = section(
        "flapping_detect",
        FlappingDetect,
        "Clients that connect again and again: see docs/store.md",
    )
    sqlite: Sqlite = section("sqlite", Sqlite, "Sessions on disk")
    auth: Auth = section("auth", Auth, "Who may come in: see docs/security.md")
    auth_http: HttpAuth = section("auth.http", HttpAuth, "Clients judged by an HTTP server")
    auth_jwt: JwtLogin = section(
        "auth.jwt", JwtLogin, "Clients that log in with a token: see docs/tokens.md"
    )
    web_hook: WebHook = section("web.hook", WebHook, "Web hooks")
    plugins: Plugins = section(PREFIX, Plugins, "Plugins")
    listeners: tuple[Listener, ...] = family(
        "listener",
        Listener,
        NAME,
        title="Listeners",
        help="The names tcp, tls, ws and wss are the listeners of url, tls.url, websocket.url"
        " and websocket.tls_url. Any other name is one more listener.",
        example=("local.url=nmq-ipc:///run/nanomq/mqtt.sock", "tcp.max_connections=10000"),
        is_sparse=True,
        required=("url",),
        elsewhere=URL_ELSEWHERE,
    )
    users: tuple[User, ...] = family(
        "auth",
        User,
        NUMBER,
        title="Users",
        help="Clients that may log in. Where there are users, a client that gives a user name"
        " must be one of them and give its password.",
        example=("1.login=device", "1.password=change-me"),
        required=("login", "password"),
        unique="login",
        people="users",
    )
    acl_rules: tuple[AclRule, ...] = family(
        "acl.rule",
        AclRule,
        NUMBER,
        title="Access rules",
        help="Who may do what: the first rule that applies decides, and acl_nomatch where none"
        " does.",
        example=(
            '1={"permit":"allow","username":"admin","action":"pubsub","topics":["#"]}',
            '2={"permit":"deny","action":"subscribe","topics":["#"]}',
        ),
        line=RULE_LINE,
        keeps_place=True,
    )
    bridges: tuple[Bridge, ...] = family(
        "bridge.mqtt",
        Bridge,
        NAME,
        title="Bridges",
        help="Other brokers that messages go to and come from.",
        example=(
            "main.bridge_mode=true",
            "main.address=mqtt-tcp://broker.example.com:1883",
            "main.forwards=sensors/#",
            "main.subscription.1.topic=commands/#",
            "main.subscription.1.qos=1",
        ),
    )
    # The sections of parts, with their values.
    brought: tuple[Brought, ...] = ()
    # The plugins that plugins.load names.
    plugged: tuple[Plugged, ...] = field(default=(), compare=False, repr=False)
    # What the file says besides its values.
    said: Said = field(default_factory=Said, compare=False, repr=False)

    @property
    def kept(self) -> Durability:
        """What outlives the process: as ``durability`` says, or NanoMQ's ``sqlite``."""
        keys, sqlite = self.durability, self.sqlite
        if keys.is_on or not sqlite.enable:
            return keys
        folder = sqlite.mounted_file_path
        place = (
            f"{folder.rstrip('/')}/nanomq.journal" if folder not in ("", NO_PLACE) else None
        )
        return replace(keys, mode="always", location=keys.location or place)

    def of_part(self, kind: type[S]) -> S:
        """Return the values of a section that a part has brought: one of that dataclass."""
        for part, values in self.brought:
            if part.kind is kind and isinstance(values, kind):
                return values
        return kind()


# Sections of Config with their prefix in the file.
SECTIONS: dict[str, str] = {
    declared.name: f"{part.prefix}." for declared, part in sections_of(Config)
}
