"""VAPID: what push services are shown, and a key that outlives the process."""

import asyncio

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey

from clarion.clock import ManualClock
from clarion.ids import Ids
from clarion.notifications.channels.push.encryption import SEED, private_key, unbase64
from clarion.notifications.channels.push.vapid import Vapid, load_key
from clarion.storage.store import Store

ENDPOINT = "https://push.example:8443/wpush/v2/secret"


def claims(header: str) -> dict[str, object]:
    """As a push service reads it: the token is checked with the key beside it."""
    scheme, _, rest = header.partition(" ")
    assert scheme == "vapid"
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    key = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), unbase64(parts["k"]) or b"")
    found: dict[str, object] = jwt.decode(
        parts["t"],
        key,
        algorithms=["ES256"],
        options={"verify_exp": False, "verify_aud": False},
    )
    return found


def test_a_push_service_can_check_who_sends() -> None:
    """Signed for its origin alone, for less than a day, with whom to write to."""
    clock = ManualClock()
    vapid = Vapid(private_key(bytes(SEED)), "mailto:ops@example.com", clock)
    found = claims(vapid.authorization(ENDPOINT))
    assert found["aud"] == "https://push.example:8443"
    assert found["sub"] == "mailto:ops@example.com"
    exp = found["exp"]
    assert isinstance(exp, int)
    assert 0 < exp - clock.now_ms() / 1000 < 86_400
    assert "sub" not in claims(Vapid(private_key(bytes(SEED)), "", clock).authorization(ENDPOINT))


def test_a_token_is_made_once_for_an_origin_and_anew_in_time() -> None:
    """One signature serves a bulk send; what is shown never ends within the next hours, and a clock set back makes a new one."""
    clock = ManualClock()
    vapid = Vapid(private_key(bytes(SEED)), "", clock)
    first = vapid.authorization(ENDPOINT)
    assert vapid.authorization("https://push.example:8443/other") == first
    assert vapid.authorization("https://other.example/x") != first
    clock.advance(6 * 3600)
    second = vapid.authorization(ENDPOINT)
    assert claims(second)["exp"] != claims(first)["exp"]
    earlier = ManualClock(clock.now_ms() - 86_400_000)
    vapid._clock = earlier
    assert claims(vapid.authorization(ENDPOINT))["exp"] == earlier.now_ms() // 1000 + 12 * 3600


async def test_all_processes_have_the_key_that_the_first_made(store: Store) -> None:
    """At the same time, and later."""
    keys = await asyncio.gather(*(load_key(store, Ids()) for _ in range(3)))
    keys.append(await load_key(store, Ids()))
    assert len({key.private_numbers().private_value for key in keys}) == 1
