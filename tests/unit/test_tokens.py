"""Tokens: which key verifies one, what it must claim, and what is no token at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.auth.token_keys import keys_of_files
from nanomq_py.config.keys.tokens import JwtLogin
from nanomq_py.tokens.claims import Demands, check
from nanomq_py.tokens.jws import Key, Refused, UnknownKey, token_of
from nanomq_py.tokens.keyset import key_of_pem, keys_of_jwks
from tests.tokens import CURVE, RSA, SECRET, encoded, jwk, pem, signature, token

pytestmark = pytest.mark.plain

SECRET_KEY = keys_of_files(JwtLogin(secret=SECRET))["auth.jwt.secret"][0]
ALL = (SECRET_KEY, key_of_pem(pem(RSA)), key_of_pem(pem(CURVE)))
ALGORITHMS = ("HS256", "RS256", "ES256")


def claims_of(text: str | bytes, keys: tuple[Key, ...] = ALL) -> dict[str, Any]:
    made = token_of(text.encode() if isinstance(text, str) else text)
    assert made is not None
    return made.verified(made.keys(keys))


def with_header(text: str, header: object) -> str:
    """Return the token with another header, and the signature that it had."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return ".".join([encoded(raw), *text.split(".")[1:]])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_right_token_says_what_it_claims(algorithm: str) -> None:
    assert claims_of(token(algorithm, {"sub": "dev"})) == {"sub": "dev"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_token_of_another_key_is_refused(algorithm: str) -> None:
    others = {
        "HS256": b"x" * 32,
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
    }
    with pytest.raises(Refused, match="signature"):
        claims_of(token(algorithm, {}, key=others[algorithm]))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("part", [0, 1, 2])
def test_token_that_was_changed_is_refused(algorithm: str, part: int) -> None:
    parts = token(algorithm, {"sub": "dev"}, header={"x": "y"}).split(".")
    for at in range(0, len(parts[part]) - 1, 7):
        old = parts[part][at]
        wrong = list(parts)
        new = "A" if old != "A" else "B"
        wrong[part] = parts[part][:at] + new + parts[part][at + 1 :]
        try:
            made = token_of(".".join(wrong).encode())
            if made is None:
                continue  # its header is none: no token
            made.verified(made.keys(ALL))
        except Refused:
            continue
        pytest.fail(f"verified: {at}")


@pytest.mark.parametrize(
    "alg",
    ["none", "None", "NONE", "hs256", "Hs256", "HS256 ", "HS384", "", None, 1, ["HS256"]],
)
def test_games_with_alg_are_refused(alg: object) -> None:
    good = token("HS256", {})
    for text in (
        with_header(good, {"alg": alg}),
        with_header(good, {"alg": alg, "kid": "a"}),
    ):
        with pytest.raises(Refused):
            claims_of(text)
        with pytest.raises(Refused):
            claims_of(text.rpartition(".")[0] + ".")  # no signature


def test_token_without_alg_is_refused() -> None:
    for header in ({}, {"typ": "JWT"}):
        with pytest.raises(Refused):
            claims_of(with_header(token("HS256", {}), header))


@pytest.mark.parametrize("key", [RSA, CURVE])
def test_public_key_is_no_secret(key: Any) -> None:
    """HS256 with the bytes of a public key, in each form that somebody might have."""
    public = (key_of_pem(pem(key)),)
    for secret in (pem(key), pem(key).strip(), json.dumps(jwk(key))):
        forged = token("HS256", {}, key=secret.encode())
        for keys in (public, ALL):
            with pytest.raises(Refused):
                claims_of(forged, keys)


def test_key_is_used_with_its_own_algorithm_only() -> None:
    for real in ALGORITHMS:
        for said in {*ALGORITHMS, "RS512", "PS256", "ES384"} - {real}:
            message = token(real, {}, header={"alg": said}).rpartition(".")[0]
            text = f"{message}.{encoded(signature(real, message.encode()))}"
            with pytest.raises(Refused):
                claims_of(text)


@pytest.mark.parametrize(
    "text",
    [
        b"", b".", b"..", b"...", b"a.b.c", b"hunter2", b"my.pass.word", b"\xff.\xfe.\xfd",
        b"1.2.3", b"W10.W10.", b"bnVsbA.e30.AA", b"a" * 65536, b"e30.e30.e30.e30", b"eyJh",
        "ä.ö.ü".encode(), b"e30=.e30.AA",
    ],
)  # fmt: skip
def test_what_is_no_token_is_none(text: bytes) -> None:
    assert token_of(text) is None


@given(st.binary(max_size=300))
def test_any_password_is_a_token_or_none_or_refused(text: bytes) -> None:
    for given_text in (text, b"e30." + text, b"eyJhbGciOiJIUzI1NiJ9." + text + b".AA"):
        try:
            made = token_of(given_text)
            if made is not None:
                made.verified(made.keys(ALL))
        except Refused:
            continue


def test_token_of_a_mebibyte_is_none() -> None:
    assert token_of(token("HS256", {"x": "y" * (1 << 20)}).encode()) is None


def test_token_with_a_critical_extension_is_refused() -> None:
    with pytest.raises(Refused, match="crit"):
        claims_of(token("HS256", {}, header={"crit": ["b64"], "b64": False}))


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"1", b'"a"', b"null", b"{", b"\xff", b'{"a":"\xff"}', b"[" * 30000],
)
def test_claims_that_are_no_object_are_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        claims_of(token("HS256", body))


class TestKeySet:
    """JSON Web Key Sets: which keys are taken, and how a token finds its own."""

    def of(self, *keys: object) -> tuple[Key, ...]:
        return keys_of_jwks(json.dumps({"keys": keys}).encode())

    def test_token_finds_its_key_by_its_name(self) -> None:
        keys = self.of(jwk(RSA, kid="r"), jwk(CURVE, kid="e"))
        assert claims_of(token("RS256", {}, header={"kid": "r"}), keys) == {}
        assert claims_of(token("ES256", {}, header={"kid": "e"}), keys) == {}
        assert claims_of(token("ES256", {}), keys) == {}  # there is only one
        for algorithm, kid in (("RS256", "e"), ("ES256", "x")):
            with pytest.raises(UnknownKey):
                claims_of(token(algorithm, {}, header={"kid": kid}), keys)

    def test_key_without_a_name_fits_any(self) -> None:
        assert claims_of(token("RS256", {}, header={"kid": "x"}), self.of(jwk(RSA))) == {}

    def test_token_that_names_no_key_does_not_have_many_tried(self) -> None:
        keys = self.of(*(jwk(CURVE, kid=str(n)) for n in range(9)))
        with pytest.raises(Refused, match="kid"):
            claims_of(token("ES256", {}), keys)

    def test_keys_of_other_kinds_are_left_out(self) -> None:
        small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        x = jwk(CURVE)["x"]
        others = [
            {"kty": "oct", "k": encoded(SECRET.encode())},
            {"kty": "OKP", "crv": "Ed25519", "x": x},
            jwk(RSA, use="enc"),
            jwk(RSA, key_ops=["encrypt"]),
            jwk(RSA, alg="RS512"),
            jwk(RSA, alg="HS256"),
            jwk(CURVE, crv="P-384"),
            jwk(CURVE, y=x),
            jwk(CURVE, x=x + "AA"),
            jwk(CURVE, x="ä"),
            jwk(RSA, e="AQ"),
            jwk(RSA, n=""),
            jwk(RSA, kid=1),
            jwk(small),
            {"kty": "RSA"},
            {},
            None,
            1,
        ]
        assert len(self.of(*others, jwk(RSA))) == 1
        with pytest.raises(ValueError, match="no key"):
            self.of(*others)

    def test_10_000_keys_are_refused(self) -> None:
        key = jwk(CURVE)
        assert len(self.of(*[key] * 1000)) == 1000
        for count in (1001, 10_000):
            with pytest.raises(ValueError, match="more than"):
                self.of(*[key] * count)

    @pytest.mark.parametrize(
        "text",
        [b"", b"[]", b"{}", b'{"keys":1}', b"\xff", b"[" * 9999, b" " * (1 << 20) + b"{}"],
    )
    def test_what_is_no_set_is_refused(self, text: bytes) -> None:
        with pytest.raises(ValueError, match="it "):
            keys_of_jwks(text)


NOW = 1_000_000.0


def ends(claims: dict[str, Any], *, user: str = "u", **demands: Any) -> float | None:
    found = Demands(**{"needs_end": False, **demands})
    return check(claims, found, client_id="c", user_name=user, now_s=NOW)


def test_token_ends_when_it_says() -> None:
    assert ends({"exp": NOW + 1}) == NOW + 1
    assert ends({"exp": NOW - 4}, leeway_s=5) == NOW + 1
    assert ends({}) is None
    assert ends({"nbf": NOW}) is None
    assert ends({"nbf": NOW + 5}, leeway_s=5) is None


@pytest.mark.parametrize(
    ("claims", "demands"),
    [
        ({"exp": NOW}, {}),
        ({"exp": NOW - 5}, {"leeway_s": 5}),
        ({"exp": str(NOW + 9)}, {}),
        ({"exp": True}, {}),
        ({"exp": None}, {}),
        ({"exp": [NOW + 9]}, {}),
        ({"exp": float("nan")}, {}),
        ({"exp": float("inf")}, {}),
        ({"exp": 10**400}, {}),
        ({"exp": -(10**400)}, {}),
        ({"nbf": NOW + 1}, {}),
        ({"nbf": NOW + 6}, {"leeway_s": 5}),
        ({"nbf": "soon"}, {}),
        ({}, {"needs_end": True}),
        ({}, {"issuer": "i"}),
        ({"iss": "j"}, {"issuer": "i"}),
        ({"iss": ["i"]}, {"issuer": "i"}),
        ({}, {"audience": "a"}),
        ({"aud": "b"}, {"audience": "a"}),
        ({"aud": ["b", "c"]}, {"audience": "a"}),
        ({"aud": []}, {"audience": "a"}),
        ({"aud": {"a": 1}}, {"audience": "a"}),
        ({"aud": "aa"}, {"audience": "a"}),
        ({}, {"texts": {"id": "%c"}}),
        ({"id": "d"}, {"texts": {"id": "%c"}}),
        ({"id": ["c"]}, {"texts": {"id": "%c"}}),
        ({"id": "c"}, {"texts": {"id": "${username}"}}),
        ({"id": "dev-c"}, {"texts": {"id": "dev-%c-%u"}}),
    ],
)
def test_token_that_claims_something_else_is_refused(
    claims: dict[str, Any], demands: dict[str, Any]
) -> None:
    with pytest.raises(Refused):
        ends(claims, **demands)


@pytest.mark.parametrize(
    ("claims", "demands"),
    [
        ({"iss": "i"}, {"issuer": "i"}),
        ({"aud": "a"}, {"audience": "a"}),
        ({"aud": ["b", "a"]}, {"audience": "a"}),
        ({"id": "c"}, {"texts": {"id": "%c"}}),
        ({"id": "c"}, {"texts": {"id": "${clientid}"}}),
        ({"id": "dev-c-u"}, {"texts": {"id": "dev-%c-${username}"}}),
        ({"role": "device"}, {"texts": {"role": "device"}}),
    ],
)
def test_token_that_claims_what_is_demanded_is_taken(
    claims: dict[str, Any], demands: dict[str, Any]
) -> None:
    assert ends(claims, **demands) is None


def test_name_that_looks_like_a_mark_stays_a_name() -> None:
    demands = Demands(needs_end=False, texts={"id": "%c/%u"})
    claims = {"id": "%u/%c"}
    assert check(claims, demands, client_id="%u", user_name="%c", now_s=NOW) is None


def test_client_without_a_name_is_nobody() -> None:
    with pytest.raises(Refused, match="gives no %u"):
        ends({"id": ""}, user="", texts={"id": "%u"})
