"""Stored hashes: ours and mosquitto's are read, others and absurd ones are refused."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanomq_py.auth import hashing
from nanomq_py.auth.hashing import BadHash, hashed, matches, read_hash

pytestmark = pytest.mark.plain

SALT = base64.b64encode(b"s" * 12).decode()
SHA = base64.b64encode(b"h" * 64).decode()


def sha512(password: bytes) -> str:
    digest = hashlib.sha512(password + b"s" * 12).digest()
    return f"$6${SALT}${base64.b64encode(digest).decode()}"


def pbkdf2(password: bytes, iterations: int = 101) -> str:
    digest = hashlib.pbkdf2_hmac("sha512", password, b"s" * 12, iterations)
    return f"$7${iterations}${SALT}${base64.b64encode(digest).decode()}"


@pytest.mark.parametrize("make", [hashed, sha512, pbkdf2])
@pytest.mark.parametrize(
    "password", [b"p", b"\xff\x00\xfe", b"x" * 65535, "\u00fc".encode()]
)
def test_only_the_password_matches(make, password: bytes) -> None:
    stored = make(password)
    assert matches(stored, password)
    for other in (b"", password + b"x", password[:-1], password.swapcase() + b"\1"):
        assert not matches(stored, other)


def test_same_password_is_stored_differently_each_time() -> None:
    assert hashed(b"p") != hashed(b"p")


def test_scrypt_of_its_own_parameters_is_read() -> None:
    """A hash of other parameters than ours, with padding as others write it (RFC 7914, 12)."""
    digest = hashlib.scrypt(b"p", salt=b"s" * 12, n=1024, r=8, p=16, dklen=64)
    assert matches(
        f"$scrypt$ln=10,r=8,p=16${SALT}${base64.b64encode(digest).decode()}", b"p"
    )


@pytest.mark.skipif(shutil.which("mosquitto_passwd") is None, reason="no mosquitto")
@pytest.mark.parametrize("kind", ["sha512", "sha512-pbkdf2"])
def test_what_mosquitto_writes_is_read(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "passwd"
    options = ["-H", kind, "-c", "-b"]
    subprocess.run(["mosquitto_passwd", *options, file, "u", "geheim"], check=True)
    name, _, stored = file.read_text().strip().partition(":")
    assert name == "u"
    assert matches(stored, b"geheim")
    assert not matches(stored, b"Geheim")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "$1$abc$def",
        "$2b$12$abcdefghijklmnopqrstuv",
        f"$6${SALT}",
        f"$6${SALT}$AAAA",
        f"$6$!!${SHA}",
        f"$6$${SHA}",
        f"$7$0${SALT}${SHA}",
        f"$7$-1${SALT}${SHA}",
        f"$7$999999999${SALT}${SHA}",
        f"$7$1000001${SALT}${SHA}",
        f"$7$101${SALT}${SHA}AAAA",
        f"$scrypt$ln=0,r=8,p=1${SALT}${SHA}",
        f"$scrypt$ln=14,r=0,p=1${SALT}${SHA}",
        f"$scrypt$ln=14,r=8,p=0${SALT}${SHA}",
        f"$scrypt$ln=16,r=1,p=1${SALT}${SHA}",  # N is too large for that r
        f"$scrypt$ln=17,r=8,p=1${SALT}${SHA}",  # 128 MiB
        f"$scrypt$ln=99,r=8,p=1${SALT}${SHA}",
        f"$scrypt$ln=14,r=8,p=9${SALT}${SHA}",  # too long
        f"$scrypt$ln=1,r=8,p=1${'A' * 400}${SHA}",
        f"$6${SALT}${SHA}\n",
        "$7$\u0661${SALT}${SHA}",
        "$6$" + "A" * 100_000,
    ],
)
def test_what_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(BadHash) as refused:
        read_hash(text)
    assert text == "" or text not in str(refused.value)


@given(st.text() | st.from_regex(r"\$(6|7|scrypt)\$[-ln=0-9rp,]{0,20}\$[A-Za-z=+/$]{0,99}"))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(BadHash):
        read_hash(text)


def test_largest_parameters_can_be_hashed() -> None:
    """What is taken at the load works at the login: OpenSSL has a bound of its own."""
    assert not matches(f"$scrypt$ln=16,r=8,p=1${SALT}${SHA}", b"p")


def test_decoy_has_the_parameters_of_new_hashes() -> None:
    assert hashing.DECOY.split("$")[:3] == hashed(b"p").split("$")[:3]
    assert not matches(hashing.DECOY, b"")
