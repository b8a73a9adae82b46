"""Access tokens: which are good, and all the ways in which one is not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clarion.auth.principal import Principal
from clarion.auth.signing import Key, OneKey, public_key, secret_key
from clarion.auth.tokens import ISSUER, MAX_TOKEN_BYTES, TokenIssuer, TokenVerifier, is_subject
from clarion.errors import TokenExpired, Unauthenticated
from tests.auth.by_hand import (
    ED25519,
    NOW_MS,
    NOW_S,
    P256,
    P384,
    RSA,
    SECRET,
    claims,
    pack,
    pem,
    token,
)


class NamedKeys:
    """An issuer with several keys."""

    def __init__(self, **keys: Key) -> None:
        self._keys = keys

    async def find(self, kid: str | None) -> Key | None:
        return self._keys.get(kid or "")


def verifier(key: Key | None = None, leeway_s: int = 30) -> TokenVerifier:
    keys = OneKey(key or secret_key(SECRET))
    return TokenVerifier({"app": keys}, audience="clarion", leeway_s=leeway_s)


async def verify(text: str) -> Principal:
    return await verifier().verify(text, NOW_MS)


async def refusal(text: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await verify(text)
    return caught.value.message


async def test_a_good_token_says_who_is_calling_and_what_they_may() -> None:
    """Each claim arrives where it belongs."""
    payload = claims(
        jti="t1",
        tenant="acme",
        scope="notifications:send keys:read",
        rooms={"chat-*": ["join"]},
        topics={"dashboard:*": ["subscribe", "publish"]},
        iat=NOW_S,
        nbf=NOW_S,
        something_else=[1, {}],
    )
    assert await verify(token(payload, kid="whatever")) == Principal(
        id="ann",
        tenant="acme",
        scopes=frozenset({"notifications:send", "keys:read"}),
        rooms={"chat-*": ("join",)},
        topics={"dashboard:*": ("subscribe", "publish")},
        expires_ms=NOW_MS + 90_000,
        token_id="t1",
    )


async def test_a_token_with_the_least_claims_grants_nothing() -> None:
    """Deny is the default."""
    assert await verify(token()) == Principal(id="ann", expires_ms=NOW_MS + 90_000)


KEYS = {
    "HS256": (secret_key(SECRET), SECRET),
    "RS256": (public_key(pem(RSA)), RSA),
    "ES256": (public_key(pem(P256)), P256),
    "EdDSA": (public_key(pem(ED25519)), ED25519),
}
# What an attacker who knows the public keys, or a careless issuer who has the private ones, could sign each with.
SIGNERS = {
    "RS256": RSA,
    "RS384": RSA,
    "RS512": RSA,
    "PS256": RSA,
    "ES256": P256,
    "ES384": P384,
    "EdDSA": ED25519,
}


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512", "none", "None", "nonsense", *SIGNERS])
@pytest.mark.parametrize("kind", KEYS)
async def test_only_the_diagonal_passes(kind: str, alg: str) -> None:
    """A key checks its own algorithm: not `none`, not a sibling, and a public key is never a secret (HS with its PEM)."""
    key, private = KEYS[kind]
    if alg == "nonsense":
        signed_with, name = SECRET, "HS256"
    else:
        signed_with, name = (private if alg.startswith("HS") else SIGNERS.get(alg, "")), alg
    text = token(key=signed_with, alg=name)
    if alg == "nonsense":
        _, *rest = text.split(".")
        text = ".".join([pack(b'{"alg":"nonsense"}'), *rest])
    if alg == kind:
        assert (await verifier(key).verify(text, NOW_MS)).id == "ann"
    else:
        with pytest.raises(Unauthenticated):
            await verifier(key).verify(text, NOW_MS)


async def test_a_signature_that_was_cut_off_is_missed() -> None:
    """`alg` says HS256, but nothing is signed."""
    signed, _, _ = token().rpartition(".")
    assert "signature" in await refusal(signed + ".")


@given(st.data())
async def test_no_changed_character_passes(data: st.DataObject) -> None:
    """A token that differs anywhere is not the token that was signed."""
    good = token()
    at = data.draw(st.integers(0, len(good) - 1))
    changed = data.draw(st.characters(codec="ascii").filter(lambda c: c != good[at]))
    await refusal(good[:at] + changed + good[at + 1 :])


@given(
    st.text(max_size=40) | st.from_regex(r"[\w-]{0,30}\.[\w-]{0,30}\.[\w-]{0,30}", fullmatch=True)
)
async def test_anything_is_a_token_or_refused(text: str) -> None:
    """Whatever is presented, the answer is the same kind of refusal."""
    await refusal(text)


async def test_the_end_is_exact() -> None:
    """Good until `exp` and the leeway have passed, then expired: the same moment that the principal names."""
    text = token(claims(exp=NOW_S))
    principal = await verifier().verify(text, NOW_MS + 29_999)
    assert principal.expires_ms == NOW_MS + 30_000
    with pytest.raises(TokenExpired):
        await verifier().verify(text, NOW_MS + 30_000)


async def test_a_token_for_later_is_not_good_yet() -> None:
    """`nbf` counts, less the leeway."""
    text = token(claims(nbf=NOW_S + 31))
    assert "nbf" in await refusal(text)
    assert (await verifier().verify(text, NOW_MS + 1000)).id == "ann"


async def test_a_fraction_of_a_second_counts() -> None:
    """RFC 7519 §2: a NumericDate may have a fraction."""
    principal = await verifier(leeway_s=0).verify(token(claims(exp=NOW_S + 0.5)), NOW_MS)
    assert principal.expires_ms == NOW_MS + 500


@pytest.mark.parametrize("audience", ["clarion", ["other", "clarion"]])
async def test_one_of_the_audiences_must_be_ours(audience: Any) -> None:
    """One text or a list of them (RFC 7519 §4.1.3)."""
    assert (await verify(token(claims(aud=audience)))).id == "ann"


@pytest.mark.parametrize("audience", ["clario", "clarion2", "", [], ["other"], "other clarion"])
async def test_a_token_for_somebody_else_is_refused(audience: Any) -> None:
    """Compared whole: a part of the name is another name."""
    assert "aud" in await refusal(token(claims(aud=audience)))


@pytest.mark.parametrize("issuer", ["ap", "app2", "", "APP", "app ", ISSUER])
async def test_an_unknown_issuer_is_refused(issuer: str) -> None:
    """Even if the key were right; compared whole (CVE-2024-53861)."""
    assert "issuer" in await refusal(token(claims(iss=issuer)))


@pytest.mark.parametrize("missing", ["iss", "sub", "aud", "exp"])
async def test_a_claim_that_must_be_there_is_missed(missing: str) -> None:
    """A token without an end, an issuer, an audience or a user is none."""
    await refusal(token(claims(**{missing: None})))


@pytest.mark.parametrize(
    "wrong",
    [
        {"sub": 1},
        {"sub": ["ann"]},
        {"iss": ["app"]},
        {"exp": "1790000060"},
        {"exp": True},
        {"exp": -1},
        {"exp": 2**53 + 2},
        {"exp": 1e300},
        {"nbf": "now"},
        {"aud": 1},
        {"aud": [1]},
        {"jti": 1},
        {"tenant": ""},
        {"tenant": "A|b"},
        {"tenant": "acme\n"},
        {"scope": ["a"]},
        {"rooms": ["a"]},
        {"rooms": {"a": "join"}},
        {"topics": {"a": [1]}},
        {"family": 1},
    ],
    ids=str,
)
async def test_a_claim_of_the_wrong_type_is_refused(wrong: dict[str, Any]) -> None:
    """What a claim is, is checked before it is used: numbers are not texts, texts are not lists."""
    await refusal(token(claims(**wrong)))


@pytest.mark.parametrize("subject", ["", "a\0", "a\nb", "\x7f", "\x85", "x" * 256, "é" * 128])
async def test_a_user_id_that_cannot_be_one_is_refused(subject: str) -> None:
    """1–255 bytes, no control characters."""
    assert not is_subject(subject)
    assert "sub" in await refusal(token(claims(sub=subject)))


@pytest.mark.parametrize(
    "subject", ["a", "x" * 255, "é" * 127, "auth0|5f7c", "ann@example.org", "名前"]
)
async def test_user_ids_of_others_are_taken_as_they_are(subject: str) -> None:
    """Identity providers choose them."""
    assert (await verify(token(claims(sub=subject)))).id == subject


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"crit": "x", "x": 1},
        {"b64": False},
        {"kid": 1},
    ],
    ids=str,
)
async def test_a_header_that_must_be_understood_and_is_not_is_refused(
    header: dict[str, Any],
) -> None:
    """RFC 7515 §4.1.11: unknown extensions are not passed over when they are critical; types are checked."""
    await refusal(token(**header))


async def test_a_key_or_address_in_the_header_is_not_looked_at() -> None:
    """`jwk`, `jku`, `x5u`, `x5c` change nothing: a good token stays good, and the attacker's key checks nothing."""
    offers = {"jku": "https://evil.example/keys", "x5u": "https://evil.example/", "x5c": ["AA"]}
    own = {"jwk": {"kty": "oct", "k": pack(b"x" * 32)}}
    assert (await verify(token(**offers, **own))).id == "ann"
    assert "signature" in await refusal(token(key="x" * 32, **offers, **own))


async def test_a_token_has_a_size() -> None:
    """8 KiB are good, one byte more is refused before anything is parsed."""
    empty = len(token(claims(jti="")))
    about = (MAX_TOKEN_BYTES - empty) * 3 // 4  # base64: four characters for three bytes
    by_size = {
        len(text): text for n in range(-9, 9) if (text := token(claims(jti="x" * (about + n))))
    }
    assert (await verify(by_size[max(n for n in by_size if n <= MAX_TOKEN_BYTES)])).id == "ann"
    assert "8192" in await refusal(by_size[min(n for n in by_size if n > MAX_TOKEN_BYTES)])
    assert "8192" in await refusal("é.é.é")


@pytest.mark.parametrize(
    "segment", [b"", b"[]", b"{}", b"\xff", b'{"alg":"\xff"}', b"[" * 3000, b'{"iss": 1}']
)
async def test_segments_that_do_not_parse_are_refused(segment: bytes) -> None:
    """Broken JSON, broken UTF-8, a thousand brackets: a refusal, never another error."""
    header, payload, signature = token().split(".")
    await refusal(f"{pack(segment)}.{payload}.{signature}")
    await refusal(f"{header}.{pack(segment)}.{signature}")
    await refusal(token(segment))


async def test_signed_claims_that_do_not_parse_are_refused() -> None:
    """An issuer may sign nonsense: it stays a refusal."""
    deep = b'{"iss":"app","x":' + b"[" * 3000 + b"]" * 3000 + b"}"
    await refusal(token(deep))
    text = json.dumps(claims()).replace('"ann"', '"\\ud800"')
    await refusal(token(text.encode()))


async def test_two_readings_of_one_token_cannot_differ() -> None:
    """The first reading of `iss` only finds the key. Lenient base64 that reads another issuer there changes nothing."""
    keys = {"app": OneKey(secret_key(SECRET)), "other": OneKey(secret_key("o" * 32))}
    double = json.dumps(claims())[:-1] + ', "iss": "other"}'
    two = TokenVerifier(keys, audience="clarion", leeway_s=0)
    with pytest.raises(Unauthenticated):
        await two.verify(token(double.encode()), NOW_MS)


async def test_what_was_signed_decides_who_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should the unchecked reading ever see another issuer than the checked one, the token is refused."""
    import clarion.auth.tokens as module

    monkeypatch.setattr(module, "_read_hint", lambda _: module._Hint("app"))
    assert "issuer" in await refusal(token(claims(iss="other")))


async def test_two_issuers_may_have_a_key_of_the_same_name() -> None:
    """The key of one never checks the tokens of the other, in either order (GHSA-g6vg-wj8f-48cj)."""
    issuers = {
        "a": NamedKeys(k=public_key(pem(P256))),
        "b": NamedKeys(k=public_key(pem(ED25519))),
    }
    both = TokenVerifier(issuers, audience="clarion", leeway_s=0)
    by_a = {"key": P256, "alg": "ES256", "kid": "k"}
    by_b = {"key": ED25519, "alg": "EdDSA", "kid": "k"}
    for _ in range(2):
        assert (await both.verify(token(claims(iss="a"), **by_a), NOW_MS)).id == "ann"
        assert (await both.verify(token(claims(iss="b"), **by_b), NOW_MS)).id == "ann"
        for issuer, other in (("a", by_b), ("b", by_a)):
            with pytest.raises(Unauthenticated):
                await both.verify(token(claims(iss=issuer), **other), NOW_MS)


@pytest.mark.parametrize("kid", [None, "", "unknown", "../../etc/passwd", "' OR 1=1"])
async def test_a_key_that_the_issuer_does_not_have_is_refused(kid: str | None) -> None:
    """Whatever the token calls it."""
    strict = TokenVerifier({"app": NamedKeys(k=secret_key(SECRET))}, audience="clarion", leeway_s=0)
    named = {} if kid is None else {"kid": kid}
    with pytest.raises(Unauthenticated, match="not known"):
        await strict.verify(token(**named), NOW_MS)
    assert (await strict.verify(token(kid="k"), NOW_MS)).id == "ann"


async def test_our_own_tokens_are_good_where_our_issuer_is_trusted() -> None:
    """What is issued verifies, with everything that was put in, for exactly its life."""
    key = secret_key(SECRET)
    issuer = TokenIssuer(key, audience="clarion", life_s=900)
    text = issuer.issue(
        "ann", token_id="t1", family="f1", now_ms=NOW_MS + 999, tenant="acme", scopes=["b:c", "a"]
    )
    own = TokenVerifier({ISSUER: OneKey(key)}, audience="clarion", leeway_s=0)
    assert await own.verify(text, NOW_MS) == Principal(
        id="ann",
        tenant="acme",
        scopes=frozenset({"a", "b:c"}),
        expires_ms=NOW_MS + 900_000,
        token_id="t1",
        family="f1",
    )
    with pytest.raises(TokenExpired):
        await own.verify(text, NOW_MS + 900_000)
    with pytest.raises(Unauthenticated):
        await verifier(key).verify(text, NOW_MS)


async def test_tokens_of_another_secret_are_good_while_it_is_named() -> None:
    """A secret is changed without anybody's signing in anew: nothing is signed with the others."""
    both = verifier(secret_key("n" * 32, [SECRET]))
    assert (await both.verify(token(claims()), NOW_MS)).id == "ann"
    with pytest.raises(Unauthenticated):
        await verifier(secret_key("n" * 32, ["o" * 32])).verify(token(claims()), NOW_MS)
    signs = TokenIssuer(secret_key("n" * 32, [SECRET]), audience="clarion", life_s=900)
    made = signs.issue("ann", token_id="t", family="f", now_ms=NOW_MS)
    new = {ISSUER: OneKey(secret_key("n" * 32))}
    assert await TokenVerifier(new, audience="clarion", leeway_s=0).verify(made, NOW_MS)


async def test_a_token_without_an_issuer_is_told_so() -> None:
    """It is the claim that is missing, not the token that is broken."""
    given = claims()
    del given["iss"]
    assert "(iss)" in await refusal(token(given))


async def test_a_refusal_repeats_nothing_of_the_token() -> None:
    """Neither a secret nor what an attacker wrote finds its way into answers and logs."""
    for bad in (
        claims(iss="canary"),
        claims(aud="canary"),
        claims(sub="canary\0"),
        claims(exp="canary"),
    ):
        assert "canary" not in await refusal(token(bad))
    assert "canary" not in await refusal(token(key="canary" * 8))
