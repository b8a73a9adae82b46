"""Rooms of tenants: no name of one can mean a room of another."""

from hypothesis import example, given
from hypothesis import strategies as st

from clarion.auth.tenants import (
    FOREIGN,
    barred_from,
    is_reserved,
    own_name,
    room_of,
    rooms_of_tenant,
    user_room,
)

TENANTS = st.sampled_from(["default", "acme", "a", "user"])
NAMES = st.text("ab|:user", min_size=1, max_size=8)


@given(TENANTS, TENANTS, NAMES, NAMES)
@example("default", "a", "a|b", "b")
@example("default", "user", "user:a", "a")
def test_names_that_are_not_reserved_never_meet(one: str, other: str, a: str, b: str) -> None:
    """Rooms that two tenants may name are one room only if tenant and name are the same; and each reads back its own name."""
    if is_reserved(a) or is_reserved(b):
        return
    assert (room_of(one, a) == room_of(other, b)) == ((one, a) == (other, b))
    assert own_name(one, room_of(one, a)) == a
    if one != other:
        assert own_name(other, room_of(one, a)) is None


@given(TENANTS, TENANTS, NAMES, NAMES)
def test_rooms_of_users_are_their_tenants_and_nobodys_to_name(
    one: str, other: str, user: str, name: str
) -> None:
    """A user's id may hold anything; their room is no other user's, no room that can be named, and is not shown as a room."""
    room = user_room(one, user)
    assert (user_room(other, user) == room) == (one == other)
    if not is_reserved(name):
        assert room_of(other, name) != room
    assert own_name(one, room) is None
    assert own_name(other, room) is None


def test_who_is_of_another_tenant_is_marked_as_such() -> None:
    """Sockets of the default tenant are in no room of tenants; all others are in `|`, which the default tenant never reaches."""
    assert rooms_of_tenant("default") == ()
    assert rooms_of_tenant("acme") == (FOREIGN, "acme|")
    assert barred_from("default") == (FOREIGN,)
    assert barred_from("acme") == ()
    assert own_name("default", FOREIGN) is own_name("default", "acme|") is None
    assert own_name("acme", "acme|") is None
