"""Bodies of accounts and keys: what is let in, and that none shows its secret."""

import msgspec
import pytest
from msgspec import Struct

from clarion.accounts import (
    ApiKeyInfo,
    CreateKey,
    Credentials,
    NewAccount,
    NewApiKey,
    RefreshToken,
    SignedIn,
    User,
)
from clarion.clock import as_datetime

CANARY = "canary-canary"
NOW = as_datetime(1_790_000_000_000)


@pytest.mark.parametrize(
    "body",
    [
        NewAccount("ann", CANARY),
        Credentials("ann", CANARY),
        RefreshToken(CANARY),
        SignedIn(User("ann", None, [], "default"), CANARY, CANARY, 900),
        NewApiKey("id", "name", [], NOW, CANARY),
    ],
    ids=lambda body: type(body).__name__,
)
def test_a_body_with_a_secret_does_not_show_it(body: Struct) -> None:
    """Not in a log line, not in a traceback."""
    assert CANARY not in repr(body)
    assert CANARY not in f"{[body]}"


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ({"username": "ann", "password": "x" * 8}, NewAccount),
        ({"username": "ann.b+c@example.org", "password": "x" * 1024, "name": "Ann"}, NewAccount),
        ({"username": "ann", "password": "x" * 8, "name": None}, NewAccount),
        ({"username": "", "password": ""}, Credentials),
        ({"name": "shop", "scopes": ["*"]}, CreateKey),
        ({"name": "shop", "scopes": ["notifications:send", "keys:*", "a:*:c"]}, CreateKey),
    ],
)
def test_good_bodies_are_let_in(body: dict[str, object], form: type[Struct]) -> None:
    """At their bounds, too."""
    msgspec.convert(body, form)


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ({"username": "Ann", "password": "x" * 8}, NewAccount),
        ({"username": "ann\n", "password": "x" * 8}, NewAccount),
        ({"username": "ann", "password": "x" * 7}, NewAccount),
        ({"username": "ann", "password": "x" * 1025}, NewAccount),
        ({"username": "ann", "password": "x" * 8, "name": ""}, NewAccount),
        ({"username": "ann", "password": "x" * 8, "name": "a\0"}, NewAccount),
        ({"username": "ann", "password": "x" * 8, "scopes": ["*"]}, NewAccount),
        ({"username": "a\0", "password": ""}, Credentials),
        ({"username": "ann", "password": "x" * 1025}, Credentials),
        ({"refresh_token": "x" * 256}, RefreshToken),
        ({"name": "shop", "scopes": []}, CreateKey),
        ({"name": "shop", "scopes": ["a"] * 33}, CreateKey),
        ({"name": "shop", "scopes": ["**"]}, CreateKey),
        ({"name": "shop", "scopes": ["a b"]}, CreateKey),
        ({"name": "shop", "scopes": ["*:a"]}, CreateKey),
        ({"name": "shop", "scopes": ["a:b*"]}, CreateKey),
        ({"name": "shop", "scopes": ["a\n"]}, CreateKey),
        ({"name": "", "scopes": ["a"]}, CreateKey),
    ],
)
def test_bad_bodies_are_refused(body: dict[str, object], form: type[Struct]) -> None:
    """One step beyond each bound; nobody gives themselves scopes; a scope cannot smuggle a second one in."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body, form)


def test_a_listed_key_has_no_secret() -> None:
    """There is no field for it."""
    assert set(ApiKeyInfo.__struct_fields__) == {
        "id",
        "name",
        "scopes",
        "created_at",
        "last_used_at",
    }
