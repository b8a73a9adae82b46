"""How users are, many in one call: connected or not, on what, since when, and when they were last active and last seen."""

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from clarion.clock import Clock
from clarion.features.presence.people import People
from clarion.features.presence.room import Entry, copied, rfc3339
from clarion.features.presence.seen import Times
from clarion.features.presence.users import Users

UserState = Literal["online", "away", "dnd", "idle", "offline"]


class DeviceStatus(Struct, frozen=True):
    """One of a user's connections, and what it runs on; '': it has not said."""

    status: str
    device: str = ""


class UserStatus(Struct, frozen=True):
    """How a user is. Times are RFC 3339; None: not known, or not to be seen.

    Args:
        user: Their id.
        status: `offline`: not connected, or not to be seen.
        devices: Their connections.
        connected_since: Since when they have been connected; None: they are not.
        last_active: When they did something last: entered, changed or updated; exact on their own process, else within `presence.seen_s`.
        last_seen: When they were connected last: now, or when they went.
        data, text, text_until: What they say of themselves.
    """

    user: str
    status: UserState
    devices: list[DeviceStatus] = []
    connected_since: str | None = None
    last_active: str | None = None
    last_seen: str | None = None
    data: Any = None
    text: str | None = None
    text_until: str | None = None


class Statuses:
    """Answers how users are.

    Args:
        users: Who is connected.
        people: Who may see whom.
        clock: For the present.
    """

    def __init__(self, users: Users, people: People, clock: Clock) -> None:
        self._users = users
        self._people = people
        self._clock = clock

    async def find(
        self, tenant: str, users: Sequence[str], viewer: str | None, *, regardless: bool
    ) -> list[UserStatus]:
        """How users are, in their order; who was never here, or is not to be seen, is offline.

        Args:
            tenant: Whose.
            users: Their ids.
            viewer: The user who asks; None: nobody in particular.
            regardless: Whatever they have chosen to let others see.

        Raises:
            Unavailable: It cannot be read now.
            Invalid: A name that cannot be.
        """
        known = await self._users.seen.find(tenant, users)
        entries = await self._users.entries(tenant, users)
        chosen = [self._people.chosen(visibility) for _, visibility in known]
        seen = await self._people.seen_by(tenant, viewer, users, chosen)
        now = rfc3339(self._clock.now_ms())
        return [
            _status(user, entry, times, self._users.active_ms(tenant, user), now)
            if is_seen or regardless
            else UserStatus(user, "offline")
            for user, entry, (times, _), is_seen in zip(users, entries, known, seen, strict=True)
        ]


def _status(user: str, entry: Entry | None, times: Times, active_ms: int, now: str) -> UserStatus:
    actives = [ms for ms in (times.active_ms, active_ms) if ms]
    last_active = max(map(rfc3339, actives), default=None)
    if entry is None:
        seen = None if times.seen_ms is None else rfc3339(times.seen_ms)
        return UserStatus(user, "offline", last_active=last_active, last_seen=seen)
    return UserStatus(
        user,
        entry["status"],
        [
            DeviceStatus(each["status"], each.get("device", ""))
            for each in entry["devices"].values()
        ],
        entry["since"],
        max(entry["last_active"], last_active or ""),
        now,
        copied(entry.get("data")),
        entry.get("text"),
        entry.get("text_until"),
    )
