"""Encryption of Web Push: the RFC's own example, an independent implementation, and what is refused."""

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from clarion.notifications.channels.push.encryption import (
    MAX_BODY,
    MAX_PAYLOAD,
    SEED,
    TooLong,
    base64url,
    encrypt,
    private_key,
    public_bytes,
    receiver,
    unbase64,
)

# RFC 8291, §5 and appendix A.
PLAIN = b"When I grow up, I want to be a watermelon"
SENDER = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
RECEIVER = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
P256DH = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"
AUTH = "BTBZMqHH6r4Tts7J_aSIgg"
SALT = "DGv6ra1nlYgDCS1FRnbzlw"
BODY = (
    "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_"
    "yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)


def number(text: str) -> int:
    return int.from_bytes(unbase64(text) or b"", "big")


def test_the_example_of_the_rfc_comes_out_byte_for_byte() -> None:
    """RFC 8291 §5: these keys, this salt, this message make this body."""
    own = derive_private_key(number(SENDER), SECP256R1())
    body = encrypt(PLAIN, receiver(P256DH, AUTH), own, unbase64(SALT) or b"")
    assert base64url(body) == BODY


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=MAX_PAYLOAD), st.binary(min_size=SEED, max_size=SEED))
def test_an_independent_implementation_reads_every_message(payload: bytes, seed: bytes) -> None:
    """Whatever is said, and whichever key a message gets."""
    theirs = derive_private_key(number(RECEIVER), SECP256R1())
    body = encrypt(payload, receiver(P256DH, AUTH), private_key(seed), bytes(16))
    assert http_ece.decrypt(body, private_key=theirs, auth_secret=unbase64(AUTH)) == payload


def test_no_body_is_longer_than_push_services_take() -> None:
    """3,993 bytes make a body of 4,096; one more is refused, with the size in the reason."""
    to, own = receiver(P256DH, AUTH), private_key(bytes(SEED))
    assert len(encrypt(bytes(MAX_PAYLOAD), to, own, bytes(16))) == MAX_BODY == 4096
    with pytest.raises(TooLong, match="4097 bytes when encrypted, 4096 are allowed"):
        encrypt(bytes(MAX_PAYLOAD + 1), to, own, bytes(16))


@pytest.mark.parametrize(
    ("p256dh", "auth", "why"),
    [
        (P256DH, "AAAA", "auth"),
        (P256DH, "not base64!", "auth"),
        ("", AUTH, "p256dh"),
        (P256DH[:-4], AUTH, "p256dh"),
        # Not on the curve.
        (base64url(b"\x04" + bytes(63) + b"\x01"), AUTH, "p256dh"),
        # Compressed: right, but not what browsers make.
        (
            base64url(
                private_key(bytes(SEED))
                .public_key()
                .public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
            ),
            AUTH,
            "uncompressed",
        ),
        ("é", AUTH, "p256dh"),
    ],
)
def test_keys_that_are_none_are_refused(p256dh: str, auth: str, why: str) -> None:
    """With the name of the one that is wrong."""
    with pytest.raises(ValueError, match=why):
        receiver(p256dh, auth)


def test_keys_may_be_padded_or_not() -> None:
    """Browsers leave the padding out; some libraries do not."""
    assert public_bytes(receiver(P256DH + "=", AUTH + "==").key) == unbase64(P256DH)
