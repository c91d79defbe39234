"""Keys of the HTTP API that the broker serves: http_server."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.key import Applies, Checked, key
from nanomq_py.config.values.kind import Optional
from nanomq_py.config.values.networks import Address
from nanomq_py.config.values.numbers import U32, Whole
from nanomq_py.config.values.origins import Origins
from nanomq_py.config.values.texts import Text
from nanomq_py.config.values.words import Choice, Flag, Words

DIALECTS = ("v1", "v2", "v4")  # nanomq_py/dialects.py makes them

ISSUER_BY_KEYFILE = "%f"  # that of jwt.public.keyfile
DEFAULT_HTTP_PASSWORD = "public"  # noqa: S105 - the documented default, warned about at start


@dataclass(frozen=True, kw_only=True)
class HttpServer(Checked):
    enable: bool = key("enable", Flag(), True, "Serve the HTTP API.")
    host: str = key(
        "host",
        Address(),
        "",
        "Own key: the address to serve on. Empty: 127.0.0.1 while the password is the default"
        " one, otherwise every address.",
    )
    port: int = key(
        "port", Whole(0, 65535), 8081, "The port to serve on; 0 takes a free one."
    )
    max_connections: int = key(
        "max_connections",
        Whole(0, 65535),
        64,
        "Own key: most connections to the API at once; 0: no bound. For one more, a connection"
        " without a request is closed; if there is none, the new one waits.",
    )
    max_connections_per_address: int = key(
        "max_connections_per_address",
        Whole(0, 65535),
        32,
        "Own key: most connections to the API at once from one address; 0: no bound. Here too a"
        " connection without a request is closed for one more.",
    )
    dialects: tuple[str, ...] = key(
        "dialects",
        Words(DIALECTS),
        DIALECTS,
        "Own key: the APIs that are served. The paths of one that is left out answer 404, and"
        " it takes no memory.",
    )
    emqx_status: str = key(
        "emqx_status",
        Choice(("document", "always_200")),
        "document",
        "Own key: the HTTP status of an error below /api/v4. document: as EMQX's document says."
        " always_200: 200, as EMQX 4.4 answers; the code in the body tells.",
    )
    cors_origins: tuple[str, ...] = key(
        "cors.origins",
        Origins(),
        (),
        "Own key: web pages that may call the API from a browser, by their origin, such as"
        " https://dash.example.com. * lets in every page, without the logins that the browser"
        " keeps. Default: none.",
    )
    access_log: bool = key(
        "access_log",
        Flag(),
        False,
        "Own key: log a line for each request, whatever log.level is.",
    )
    username: str = key("username", Text(empty=False), "admin", "Who may call the API.")
    password: str = key(
        "password",
        Text(empty=False),
        DEFAULT_HTTP_PASSWORD,
        "Password for the API.",
        secret=True,
    )
    mask_secrets: str = key(
        "mask_secrets",
        Choice(("auto", "always", "never")),
        "auto",
        "Own key: whether request 11 answers ****** for passwords and the private key. auto:"
        " where the answer would cross the network in clear, to another machine without TLS.",
    )
    tls_enable: bool = key(
        "tls.enable", Flag(), False, "Own key: serve the API over TLS, and nothing else."
    )
    tls_keyfile: str | None = key(
        "tls.keyfile",
        Optional(Text()),
        None,
        "Own key: PEM file of the private key. Default: `tls.keyfile`; so for `key_password`,"
        " `certfile`, `cacertfile`, `crlfile` and `min_version`.",
        private_file=True,
    )
    tls_key_password: str | None = key(
        "tls.key_password", Optional(Text()), None, "Password of the key.", secret=True
    )
    tls_certfile: str | None = key(
        "tls.certfile", Optional(Text()), None, "PEM file of the chain."
    )
    tls_cacertfile: str | None = key(
        "tls.cacertfile", Optional(Text()), None, "PEM file of the CAs of callers."
    )
    tls_crlfile: str | None = key(
        "tls.crlfile",
        Optional(Text()),
        None,
        "Own key: PEM file of the certificates that those CAs have revoked.",
    )
    tls_verify_peer: bool = key(
        "tls.verify_peer", Flag(), False, "Own key: check callers' certificates."
    )
    tls_fail_if_no_peer_cert: bool = key(
        "tls.fail_if_no_peer_cert",
        Flag(),
        False,
        "Own key: refuse callers that have no certificate. They log in all the same.",
    )
    tls_min_version: str | None = key(
        "tls.min_version",
        Optional(Choice(("1.2", "1.3"))),
        None,
        "The oldest TLS that is spoken.",
    )
    auth_type: str = key(
        "auth_type", Choice(("basic", "jwt")), "basic", "How callers log in."
    )
    jwt_public_keyfile: str | None = key(
        "jwt.public.keyfile",
        Optional(Text()),
        None,
        "PEM file of the public key that RS256 tokens are checked with.",
    )
    jwt_private_keyfile: str | None = key(
        "jwt.private.keyfile",
        Optional(Text()),
        None,
        "NanoMQ's PEM file that tokens are signed with; the broker needs none.",
        applies=Applies.NEVER,
        private_file=True,
    )
    jwt_secret: str | None = key(
        "jwt.secret",
        Optional(Text()),
        None,
        "Own key: the secret that HS256 tokens are checked with, of 32 bytes or more.",
        secret=True,
    )
    jwt_issuer: str = key(
        "jwt.iss",
        Text(),
        ISSUER_BY_KEYFILE,
        "Own key: the issuer (`iss`) that a token must name. %f, as in NanoMQ: an RS256 token"
        " that names an issuer must name the file name of the public key. Empty: any issuer.",
    )
    jwt_audience: str | None = key(
        "jwt.aud",
        Optional(Text()),
        None,
        "Own key: the audience (`aud`) that a token must name. Default: any.",
    )
    jwt_max_life_s: int = key(
        "jwt.max_life",
        Whole(0, U32, "s"),
        0,
        "Own key: longest life of a token, from `iat` (without one: from now) to `exp`; one"
        " that lives longer is refused. 0: no bound.",
    )
