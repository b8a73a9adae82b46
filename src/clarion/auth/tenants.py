"""Names of rooms by tenant. The real-time server knows no tenant: whose a room is stands in its name.

    lobby, user:ann             the default tenant's, as given; `user:ann` holds the sockets of a user
    acme|lobby, acme|user:ann   those of another
    acme|                       every socket of that tenant
    |                           every socket of any tenant but the default one

So one `except_("|")` keeps what is the default tenant's from all others, and costs nothing where there are none: a room for
the default tenant itself would cost every socket of a server without tenants its place in it.
"""

import re

from clarion.auth.principal import DEFAULT_TENANT

FOREIGN = "|"
_USER = "user:"
# As the claim `tenant` of a token: no `:`, so that `user:a|b` is a user of the default tenant.
_OTHERS = re.compile(r"([a-z0-9][a-z0-9_-]{0,62})?\|")


def room_of(tenant: str, name: str) -> str:
    """The room that a tenant calls so."""
    return name if tenant == DEFAULT_TENANT else f"{tenant}|{name}"


def user_room(tenant: str, user: str) -> str:
    """The room of all sockets of a user."""
    return room_of(tenant, _USER + user)


def rooms_of_tenant(tenant: str) -> tuple[str, ...]:
    """The rooms that a tenant's sockets are in from the start, besides those of their ids and users."""
    return () if tenant == DEFAULT_TENANT else (FOREIGN, f"{tenant}|")


def barred_from(tenant: str) -> tuple[str, ...]:
    """The rooms of which nobody may be reached when a tenant speaks to rooms by name."""
    return (FOREIGN,) if tenant == DEFAULT_TENANT else ()


def is_reserved(name: str) -> bool:
    """Whether nobody but the server may put sockets into a room of this name."""
    return name.startswith(_USER) or "|" in name


def own_name(tenant: str, room: str) -> str | None:
    """What a tenant calls a room; None: it is not theirs, or one of those that only the server makes."""
    if tenant != DEFAULT_TENANT:
        prefix = f"{tenant}|"
        if not room.startswith(prefix):
            return None
        room = room[len(prefix) :]
    elif _OTHERS.match(room):
        return None
    return None if not room or room.startswith(_USER) else room
