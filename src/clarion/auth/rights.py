"""Rights: each door (HTTP route, command, kind) declares as data who may use it, and one function decides.

    Right("notifications:send")      holders of the scope
    Self()                           any signed-in user, acting on what is theirs
    AllOf(Self(), Right("…"))        several at once
    ByItem("topics:read")            holders of the scope, and users as far as what they ask for lets them
    Public(reason="health probe")    anybody; the reason is for the reviewer

A door without one starts nothing (`UndeclaredRight`); what no declaration allows is denied.
"""

from collections.abc import Collection

from msgspec import Struct

from clarion.auth.capabilities import matches
from clarion.auth.principal import Principal
from clarion.errors import Forbidden, Unauthenticated, UndeclaredRight


class Right(Struct, frozen=True):
    """Callers whose credential carries the scope, such as `notifications:send`."""

    scope: str


class Public(Struct, frozen=True):
    """Anybody, signed in or not, because of `reason`."""

    reason: str


class Self(Struct, frozen=True):
    """Signed-in users, each on what is theirs. API keys and the operator own nothing: they are refused."""


class ByItem(Struct, frozen=True):
    """Callers whose credential carries the scope, and every signed-in user: what they ask for decides whether they get it.

    A door with it asks each item (a topic's kind, say) about the caller before it does anything.
    """

    scope: str


class AllOf:
    """Callers who satisfy every one of the parts.

    Raises:
        UndeclaredRight: There is no part, or one of them lets anybody in.
    """

    __slots__ = ("parts",)

    def __init__(self, *parts: "Right | Self | AllOf") -> None:
        if not parts or any(not isinstance(part, Right | Self | AllOf) for part in parts):
            raise UndeclaredRight("AllOf takes one or more of Right, Self and AllOf")
        self.parts = parts

    def __repr__(self) -> str:
        return f"AllOf({', '.join(map(repr, self.parts))})"


Declared = Right | Public | Self | ByItem | AllOf


def declared(door: str, right: object) -> Declared:
    """The right as a declaration, or the reason why nothing starts.

    Args:
        door: How a person would find it: `POST /v1/notifications`, `command join`.
        right: What the door was given.

    Raises:
        UndeclaredRight: It is not a declaration, or a `Public` without a reason.
    """
    if not isinstance(right, Declared):
        raise UndeclaredRight(
            f"{door} does not declare who may use it (Right, Self, ByItem, AllOf, Public)"
        )
    if isinstance(right, Public) and not right.reason:
        raise UndeclaredRight(f"{door} is public without a reason")
    return right


def check(right: Declared, principal: Principal | None) -> None:
    """Return if the principal may; to be called at every use of a door, not once when a connection opens.

    Args:
        right: What the door declares.
        principal: Who calls; None: nobody is signed in.

    Raises:
        Unauthenticated: The door is not public and nobody is signed in.
        Forbidden: Known, but not allowed; `scope` names what is missing.
        UndeclaredRight: `right` is not a declaration.
    """
    match right:
        case Public():
            return
        case _ if principal is None:
            raise Unauthenticated("sign in first: this needs an access token or an API key")
        case ByItem() if principal.kind == "user":
            return
        case Right(scope) | ByItem(scope):
            if not holds(principal.scopes, scope):
                raise Forbidden(f"this needs the scope {scope}", scope=scope)
        case Self():
            if principal.kind != "user":
                raise Forbidden("this is for signed-in users: an API key has nothing of its own")
        case AllOf():
            for part in right.parts:
                check(part, principal)
        case _:
            raise UndeclaredRight(f"{right!r} is not a right")


def holds(scopes: Collection[str], scope: str) -> bool:
    """Whether one of the scopes covers the wanted one: `*` covers all, else a `*` stands for one segment (`notifications:*`)."""
    if scope in scopes:
        return True
    # That `*` is everything is the one exception to segments, so only `*` covers it: else `**` would.
    return any(held == "*" or (scope != "*" and matches(held, scope)) for held in scopes)
