"""Keys of tokens (JWT) that MQTT clients log in with: auth.jwt."""

from __future__ import annotations

from dataclasses import dataclass

from nanomq_py.config.declare.family import Index, family
from nanomq_py.config.declare.key import Checked, key
from nanomq_py.config.values.kind import Optional
from nanomq_py.config.values.numbers import Whole
from nanomq_py.config.values.texts import Text
from nanomq_py.config.values.urls import Url
from nanomq_py.config.values.words import Choice, Flag


@dataclass(frozen=True)
class Claim(Checked):
    """One ``claims.NAME``: what a claim must be."""

    name: str = ""
    text: str = key(
        "",
        Text(empty=False),
        "",
        "Own key: what the claim must be; %c is the client identifier, %u the user name of"
        " CONNECT.",
    )


_CLAIM = Index("NAME", "[A-Za-z0-9_-]{1,64}", "name")


@dataclass(frozen=True, kw_only=True)
class JwtLogin(Checked):
    enable: bool = key(
        "enable", Flag(), False, "Own key: let MQTT clients log in with a token (JWT)."
    )
    taken_from: str = key(
        "from",
        Choice(("password", "username")),
        "password",
        "Own key: where a client puts its token.",
    )
    secret: str | None = key(
        "secret",
        Optional(Text()),
        None,
        "Own key: the secret that HS256 tokens are checked with, of 32 bytes or more.",
        secret=True,
    )
    public_keyfile: str | None = key(
        "public.keyfile",
        Optional(Text()),
        None,
        "Own key: PEM file of the public key, of RSA (RS256) or of the curve P-256 (ES256),"
        " that tokens are checked with.",
    )
    jwks_file: str | None = key(
        "jwks.file",
        Optional(Text()),
        None,
        "Own key: file with a JSON Web Key Set, of 1,000 keys and 1 MiB at most.",
    )
    jwks_url: str | None = key(
        "jwks.url",
        Optional(Url(("http", "https"))),
        None,
        "Own key: where a JSON Web Key Set is fetched from.",
    )
    jwks_cacertfile: str | None = key(
        "jwks.cacertfile",
        Optional(Text()),
        None,
        "Own key: PEM file of the CAs that may vouch for the server of `jwks.url`. Default:"
        " those of the system.",
    )
    jwks_refresh_s: int = key(
        "jwks.refresh",
        Whole(10, 86400, "s"),
        300,
        "Own key: time between fetches of the set of `jwks.url`. A token that names a key which"
        " is not there has it fetched at once, every 10 s at most.",
    )
    issuer: str | None = key(
        "iss", Optional(Text()), None, "Own key: the issuer that a token must name."
    )
    audience: str | None = key(
        "aud", Optional(Text()), None, "Own key: the audience that a token must name."
    )
    leeway_s: int = key(
        "leeway",
        Whole(0, 3600, "s"),
        0,
        "Own key: how far clocks may be apart, for `exp` and `nbf`.",
    )
    require_exp: bool = key(
        "require_exp",
        Flag(),
        True,
        "Own key: refuse tokens that have no end. The connection of any other ends with it.",
    )
    acl_claim: str = key(
        "acl_claim",
        Text(),
        "acl",
        "Own key: the claim that says what the client may do. Empty: none does.",
    )
    superuser_claim: str = key(
        "superuser_claim",
        Text(),
        "",
        "Own key: the claim that is true in tokens of clients for whom no access rule counts"
        " (EMQX: is_superuser). Empty: none is.",
    )
    claims: tuple[Claim, ...] = family("claims", Claim, _CLAIM)
