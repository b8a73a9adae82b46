"""What decisions ask about: who is there, and what is unread; read when the decision is due, and recorded with it."""

from collections.abc import AsyncIterator, Sequence

import pytest
from msgspec import Struct

from clarion.errors import Unavailable
from clarion.storage import runs as run_sql
from tests.notifications.conftest import House, on_one_engine, user
from tests.notifications.office import ANN, BELL, LETTER, Office


class Screen(Struct, frozen=True):
    """How somebody is."""

    user: str
    status: str
    last_seen: str | None = None
    last_active: str | None = None


class Screens:
    """Who is there, as a test says it."""

    def __init__(self) -> None:
        self.are: dict[str, Screen] = {}
        self.asked: list[list[str]] = []
        self.is_away = False

    async def status(
        self,
        tenant: str,
        users: Sequence[str],
        *,
        viewer: str | None = None,
        regardless: bool = False,
    ) -> list[Screen]:
        assert regardless, "whoever hides is not to be disturbed by what they read already"
        if self.is_away:
            raise Unavailable("redis is away")
        self.asked.append(list(users))
        return [self.are.get(name, Screen(name, "offline")) for name in users]


@pytest.fixture
def screens() -> Screens:
    return Screens()


@pytest.fixture
async def office(house: House, screens: Screens) -> AsyncIterator[Office]:
    office = Office(house, screens)
    yield office
    await office.triggers.settled()
    await office.sender.close()
    await office.outbound.close()


@pytest.mark.parametrize(
    ("status", "is_sent"),
    [("online", 0), ("dnd", 0), ("idle", 1), ("away", 1), ("offline", 1)],
)
async def test_who_is_at_the_screen_gets_no_letter(
    office: Office, screens: Screens, status: str, is_sent: int
) -> None:
    """An open tab that is idle does not swallow it."""
    screens.are = {"ann": Screen("ann", status)}
    await office.workflow(LETTER | {"if": "not recipient.online"})
    await office.trigger(ANN, payload={"n": 1})
    await office.run()
    assert len(office.letters.sent) == is_sent


async def test_they_are_asked_when_the_decision_is_due_and_it_is_recorded(
    office: Office, screens: Screens
) -> None:
    """Not when the trigger came; all of a slice at once; and only for workflows that ask."""
    await office.workflow(BELL, {"wait": "5m"}, {"stop": "recipient.online"}, LETTER)
    screens.are = {"ann": Screen("ann", "online")}
    trigger = await office.trigger(ANN, {"id": "ben", "email": "b@example.com"}, payload={"n": 1})
    screens.are = {"ben": Screen("ben", "online")}
    screens.asked.clear()
    await office.run(300)
    assert [letter.address for letter in office.letters.sent] == ["ann@example.com"]
    assert sorted(screens.asked[0]) == ["ann", "ben"]
    runs = await office.house.store.fetch(
        run_sql.OF_TRIGGER, tenant="default", trigger_id=trigger, after="", n=10
    )
    found = await office.house.store.fetch(run_sql.RECORDS, tenant="default", run=runs[1].id)
    assert [row.read for row in found if row.step == "stop_3"] == ['{"recipient.online":true}']
    screens.asked.clear()
    await office.workflow(BELL, {"wait": "5m"}, LETTER)
    await office.trigger(ANN, payload={"n": 1})
    await office.run(300)
    assert screens.asked == []


@on_one_engine
async def test_digests_that_do_not_ask_close_while_nobody_can_say_who_is_there(
    office: Office, screens: Screens
) -> None:
    """Those that do ask close when somebody can."""
    digest = {"digest": {"window": "10m"}}
    await office.workflow(digest, LETTER | {"if": "not recipient.online"})
    await office.trigger(ANN, payload={"n": 1})
    await office.workflow(digest, LETTER)
    await office.trigger({"id": "ben", "email": "ben@example.com"}, payload={"n": 2})
    screens.is_away = True
    await office.run(601)
    assert [each.user for each in office.letters.sent] == ["ben"]
    screens.is_away = False
    await office.run(60)
    assert [each.user for each in office.letters.sent] == ["ben", "ann"]


async def test_when_they_were_here_is_known_in_seconds(office: Office, screens: Screens) -> None:
    """How long ago they were connected, and did something last; none: never."""
    seen = "2026-09-21T14:11:10Z"
    screens.are = {"ann": Screen("ann", "offline", seen, seen)}
    await office.workflow(
        {"stop": "recipient.last_active_s == none"},
        {"stop": "recipient.last_seen_s < 60"},
        LETTER,
    )
    await office.trigger(ANN, {"id": "ben", "email": "b@example.com"}, payload={"n": 1})
    await office.run()
    assert [letter.address for letter in office.letters.sent] == ["ann@example.com"]


async def test_while_nobody_knows_who_is_there_others_go_on(
    office: Office, screens: Screens
) -> None:
    """Who asks is decided when it can be said again; nothing is guessed."""
    await office.workflow(BELL, {"wait": "5m"}, {"stop": "recipient.online"}, LETTER)
    await office.trigger(ANN, payload={"n": 1})
    await office.workflow(BELL, {"wait": "5m"}, LETTER)
    await office.trigger({"id": "ben", "email": "b@example.com"}, payload={"n": 1})
    screens.is_away = True
    with pytest.raises(Unavailable):
        await office.run(300)
    await office.run()
    assert [letter.address for letter in office.letters.sent] == ["b@example.com"]
    screens.is_away = False
    await office.run(31)
    assert [letter.address for letter in office.letters.sent][1:] == ["ann@example.com"]


async def test_what_is_unread_can_be_told(office: Office) -> None:
    """How many, and the newest ten; of who has nothing: none."""
    await office.workflow(
        {
            "id": "mail",
            "letter": {
                "text": "{{ inbox.unread }}{% for one in inbox.newest[:1] %} {{ one.title }}{% endfor %}"
            },
        },
        {"stop": "inbox.unread == 0"},
        BELL,
    )
    for number in range(12):
        await office.house.send("ann", title=f"no. {number}")
    page = await office.house.inbox.page(user("ann"))
    await office.house.inbox.mark(user("ann"), page.items[0].id, "read")
    await office.trigger(ANN, {"id": "ben", "email": "b@example.com"}, payload={"n": 1})
    await office.run()
    assert sorted(each.content["text"] for each in office.letters.sent) == ["0", "11 no. 10"]
    assert await office.inbox("ben") == []
