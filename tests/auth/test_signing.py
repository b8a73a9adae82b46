"""Keys: which algorithm each has, and what is refused as a key."""

import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from clarion.auth.signing import Key, OneKey, public_key, read_key_set, secret_key
from clarion.errors import SettingsError
from tests.auth.by_hand import ED25519, P256, P384, RSA, SECRET, jwk, pem

WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.mark.parametrize(
    ("private", "algorithm"), [(RSA, "RS256"), (P256, "ES256"), (ED25519, "EdDSA")]
)
def test_a_public_key_has_the_one_algorithm_of_its_kind(private: Any, algorithm: str) -> None:
    """The kind of the key decides, in the settings as in a key set."""
    assert public_key(pem(private)).algorithm == algorithm
    assert (
        read_key_set(json.dumps({"keys": [jwk(private, kid="1")]}).encode())["1"].algorithm
        == algorithm
    )


@pytest.mark.parametrize("private", [WEAK, P384])
def test_a_weak_or_unusual_public_key_is_refused(private: Any) -> None:
    """RSA below 2048 bits and curves that we don't check stop the start."""
    with pytest.raises(SettingsError, match="2048"):
        public_key(pem(private))


def test_what_is_no_public_key_is_refused() -> None:
    """A private key in the settings is a mistake that should be seen, and its text is not repeated."""
    private = P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for text in ("", "key", private):
        with pytest.raises(SettingsError, match="not a public key") as caught:
            public_key(text)
        assert "PRIVATE" not in str(caught.value)


def test_a_secret_is_long_enough_and_not_a_public_key() -> None:
    """RFC 7518 §3.2; and a public key as a secret would let everybody sign."""
    assert secret_key(SECRET).algorithm == "HS256"
    with pytest.raises(SettingsError, match="32 bytes"):
        secret_key("x" * 31)
    with pytest.raises(SettingsError, match="jwt_public_key"):
        secret_key(pem(RSA))


def test_a_key_does_not_show_itself() -> None:
    """In logs and tracebacks there is the algorithm and nothing else."""
    assert repr(secret_key(SECRET)) == "Key(HS256)"


async def test_a_single_key_has_every_name() -> None:
    """Applications that sign with one key often name it, or don't."""
    key = secret_key(SECRET)
    assert await OneKey(key).find(None) is key
    assert await OneKey(key).find("2026-11") is key


UNUSABLE: list[dict[str, Any]] = [
    jwk(RSA, kid="bad", use="enc"),
    jwk(RSA, kid="bad", alg="PS256"),
    jwk(RSA, kid="bad", alg="HS256"),
    jwk(RSA, kid=7),
    jwk(RSA),
    jwk(WEAK, kid="bad"),
    {"kty": "oct", "kid": "bad", "k": "c2VjcmV0" * 8},
    {"kty": "RSA", "kid": "bad"},
    {"kty": "RSA", "kid": "bad", "n": 1, "e": 2},
    {"kty": "EC", "kid": "bad", "crv": "P-256", "x": "AA", "y": "AA"},
    {"kty": "OKP", "kid": "bad", "crv": "X25519", "x": "AA"},
    {"kty": ["RSA"], "kid": "bad"},
    {},
]


@pytest.mark.parametrize("entry", UNUSABLE)
def test_an_entry_that_is_not_for_us_is_passed_over(entry: dict[str, Any]) -> None:
    """One key that is not understood doesn't make the others unusable (RFC 7517 §5)."""
    body = json.dumps({"keys": [entry, jwk(P256, kid="good")]}).encode()
    assert list(read_key_set(body)) == ["good"]


def test_a_private_half_in_a_set_is_not_used_to_sign() -> None:
    """A set with a private key in it is somebody's accident: that entry is passed over."""
    private = json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(RSA))
    assert read_key_set(json.dumps({"keys": [{**private, "kid": "1"}]}).encode()) == {}


def test_a_name_that_comes_twice_means_the_first() -> None:
    """Order decides, not chance."""
    body = json.dumps({"keys": [jwk(RSA, kid="1"), jwk(P256, kid="1")]}).encode()
    assert read_key_set(body)["1"].algorithm == "RS256"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"keys": 1}', b'{"keys": [1]}', b"\xff", b'{"a": ' + b"[" * 50_000]
)
def test_what_is_not_a_key_set_is_a_value_error(body: bytes) -> None:
    """Whatever an address answers, the caller sees one kind of error."""
    with pytest.raises(ValueError, match=r"."):
        read_key_set(body)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "kty": st.sampled_from(["RSA", "EC", "OKP"]),
            "kid": st.text(max_size=2),
            "crv": st.sampled_from(["P-256", "Ed25519"]) | st.text(max_size=3),
            **{name: st.text(max_size=4) | st.integers() for name in ("n", "e", "x", "y", "d")},
        },
    )
)
def test_any_entry_is_a_key_or_passed_over(entry: dict[str, Any]) -> None:
    """No entry can make the reading of a set fail."""
    found = read_key_set(json.dumps({"keys": [entry]}).encode())
    assert all(isinstance(key, Key) for key in found.values())
