"""What comes in and goes out of accounts and keys: the same structs validate and describe the HTTP API.

Whatever holds a secret does not show it in its `repr`, so that no log or traceback can.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from clarion.auth.passwords import MAX_CHARACTERS, MIN_CHARACTERS
from clarion.patterns import worded

# `$(?!\n)`: Python's `$` also matches before a last line feed, ECMAScript's does not.
USERNAME = worded(
    r"^[a-z0-9][a-z0-9._@+-]{0,127}$(?!\n)",
    "a name: a-z, 0-9 and `._@+-`, at most 128, the first a letter or digit",
)
# `*`, or words between colons of which all but the first may be a `*`.
SCOPE = worded(
    r"^(\*|[a-z][a-z0-9_-]{0,63}(:([a-z][a-z0-9_-]{0,63}|\*)){0,7})$(?!\n)",
    "a scope, such as notifications:send",
)
_NAME = worded(r"^[^\u0000-\u001f\u007f-\u009f]*$(?!\n)", "printable text")

Scope = Annotated[str, Meta(pattern=SCOPE)]


class _Secretive(Struct, frozen=True):
    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class NewAccount(_Secretive, frozen=True, forbid_unknown_fields=True):
    """Who wants an account. The user name is the user's id for good."""

    username: Annotated[str, Meta(pattern=USERNAME)]
    password: Annotated[str, Meta(min_length=MIN_CHARACTERS, max_length=MAX_CHARACTERS)]
    name: Annotated[str, Meta(min_length=1, max_length=200, pattern=_NAME)] | None = None


class Credentials(_Secretive, frozen=True, forbid_unknown_fields=True):
    """Who wants to sign in."""

    username: Annotated[
        str, Meta(max_length=128, pattern=worded(r"^[^\u0000]*$", "text without U+0000"))
    ]
    password: Annotated[str, Meta(max_length=MAX_CHARACTERS)]


class RefreshToken(_Secretive, frozen=True, forbid_unknown_fields=True):
    """The refresh token of a login."""

    refresh_token: Annotated[str, Meta(max_length=255)]


class User(Struct, frozen=True):
    """A signed-in user as they see themselves; `scopes` is what the present credential allows."""

    id: str
    name: str | None
    scopes: list[str]
    tenant: str


class SignedIn(_Secretive, frozen=True):
    """A login's tokens (RFC 6749 §5.1). The refresh token is good once; `expires_in` is the access token's life in seconds."""

    user: User
    access_token: str
    refresh_token: str
    expires_in: int
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  a kind of token, not a token


class CreateKey(Struct, frozen=True, forbid_unknown_fields=True):
    """An API key for a back end."""

    name: Annotated[str, Meta(min_length=1, max_length=200, pattern=_NAME)]
    scopes: Annotated[list[Scope], Meta(min_length=1, max_length=32)]


class ApiKeyInfo(Struct, frozen=True):
    """An API key without its secret."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    last_used_at: datetime | None = None


class NewApiKey(_Secretive, frozen=True):
    """An API key as it is shown once: `key` is what goes into `Authorization: Bearer`."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    key: str
