"""Who is in rooms and not to be seen there, of this node's users."""

import asyncio

from clarion.errors import ClarionError
from clarion.features.presence.agenda import Agenda
from clarion.features.presence.people import People
from clarion.features.presence.sizes import ROOM
from clarion.features.presence.users import Users
from clarion.telemetry import spawn
from clarion.topics import Topic


class Hidden:
    """What rooms need to know of users; read when somebody first does something in a room, kept while they are connected.

    Args:
        people: What users have chosen.
        agenda: Has the rooms.
        users: Who is connected.
    """

    def __init__(self, people: People, agenda: Agenda, users: Users) -> None:
        self._people = people
        self._agenda = agenda
        self._users = users
        self._known: dict[tuple[str, str], bool] = {}
        # Who is to be read: whoever asks in one turn of the loop is read together.
        self._asked: dict[tuple[str, str], asyncio.Future[bool]] = {}
        self._reading: asyncio.Task[None] | None = None
        # How many users have chosen anew: what was read before that may not be so any more.
        self._heard = 0

    async def load(self, tenant: str, user: str) -> None:
        """Get to know a user.

        Raises:
            Unavailable: The database is not there now.
        """
        key = tenant, user
        while key not in self._known:
            heard = self._heard
            is_hidden = await self._ask(key)
            if not self._users.is_here(tenant, user):
                return  # they went meanwhile
            if heard == self._heard:
                self._known[key] = is_hidden

    def __contains__(self, user: tuple[str, str]) -> bool:
        """Whether a user (tenant, id) is not to be seen in rooms; who is not known is not."""
        return self._known.get(user, True)

    def forget(self, tenant: str, user: str) -> None:
        """A user's last connection here is gone."""
        self._known.pop((tenant, user), None)

    async def changed(self, tenant: str, user: str) -> bool:
        """A user has chosen anew: take them out of the rooms, or put them back; returns whether they have to do with this node and are hidden.

        Raises:
            Unavailable: The database is not there now.
        """
        key = tenant, user
        self._heard += 1
        if not self._users.may_be_here(tenant, user):
            return False  # as of most who choose: rooms are many
        is_hidden = await self._read(key)
        if key in self._known:
            self._known[key] = is_hidden
        for topic in self._rooms_of(tenant, user):
            self._agenda.rooms[topic].hide(user, is_hidden)
            self._agenda.mark(topic)
        return is_hidden

    def known(self) -> list[tuple[str, str]]:
        """Whom this node knows."""
        return list(self._known)

    def _rooms_of(self, tenant: str, user: str) -> list[Topic]:
        return [
            topic
            for topic, room in self._agenda.rooms.items()
            if topic.kind == ROOM and topic.tenant == tenant and user in room.people
        ]

    async def _read(self, key: tuple[str, str]) -> bool:
        return await self._people.visibility(*key) != "everyone"

    def _ask(self, key: tuple[str, str]) -> "asyncio.Future[bool]":
        if not self._asked:
            self._reading = spawn(self._answer(), name="presence: who is hidden")
        if key not in self._asked:
            self._asked[key] = asyncio.get_running_loop().create_future()
        # Several may wait for it, one of whom may be cancelled.
        return asyncio.shield(self._asked[key])

    async def _answer(self) -> None:
        asked, self._asked = self._asked, {}
        try:
            found = await self._people.visibilities(list(asked))
        except ClarionError as exc:
            for each in asked.values():
                each.set_exception(exc)
                each.exception()
        except BaseException:
            for each in asked.values():
                each.cancel()
            raise
        else:
            for each, visibility in zip(asked.values(), found, strict=True):
                each.set_result(visibility != "everyone")
