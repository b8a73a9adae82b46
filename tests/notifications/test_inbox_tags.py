"""Tags of an inbox's messages: what lists, counts and changes of many narrow by, beside the category."""

import msgspec
import pytest
from msgspec import UNSET

from clarion.errors import Invalid
from clarion.notifications.log import NOTHING
from clarion.topics.publishing import Call, Publish
from tests.notifications.conftest import House, on_one_engine, user

ANN = user("ann")


async def test_tags_narrow_lists_counts_and_changes(house: House) -> None:
    """Each word by itself, as it is written; with a category both must hold; subscribers hear which were meant."""
    for title, category, tags in (
        ("1", "news", ["red", "blue"]),
        ("2", "", ["Red", "reddish", "r_d"]),
        ("3", "news", ["blue", "blue"]),
        ("4", "", ["blue"]),
        ("5", "", []),
    ):
        await house.send("ann", title=title, category=category, tags=tags)
    reader = await house.subscribe("ann")

    async def found(tag: str, category: str = "") -> list[str]:
        items = (await house.inbox.page(ANN, tag=tag, category=category)).items
        return [item.title for item in items]

    assert [await found(tag) for tag in ("blue", "red", "r_d", "re", "")] == [
        ["4", "3", "1"],
        ["1"],
        ["2"],
        [],
        ["5", "4", "3", "2", "1"],
    ]
    assert await found("blue", "news") == ["3", "1"]
    items = (await house.inbox.page(ANN)).items
    assert [item.tags for item in items][:3] == [UNSET, ["blue"], ["blue"]]
    assert [item["tags"] for item in reader.answer.snapshot["items"][1:]][-1] == ["red", "blue"]

    [upto] = [item.seq for item in items if item.title == "3"]
    seen = await house.inbox.mark_all(ANN, "seen", upto=upto, tag="blue")
    assert (seen.changed, seen.unread, seen.unseen) == (2, 5, 3)
    of_news = await house.inbox.mark_all(ANN, "seen", "news")
    assert of_news.changed == 0
    counted = await house.inbox.counts(ANN, tag="blue")
    assert (counted.unread, counted.unseen) == (3, 1)
    assert counted.position == (await house.inbox.page(ANN)).position
    read = await house.inbox.mark_all(ANN, "read", "news", tag="red")
    assert (read.changed, read.unread) == (1, 4)
    put_away = await house.inbox.mark_all(ANN, "archive", tag="blue")
    assert (put_away.changed, put_away.unread, put_away.unseen) == (3, 2, 2)
    none = await house.inbox.counts(user("nobody"), tag="blue")
    assert (none.unread, none.unseen, none.position) == (0, 0, NOTHING)
    await house.settle()
    told = [(p.event, p.data.get("category"), p.data.get("tag")) for p in reader.publications]
    assert told[:2] == [("some_seen", None, "blue"), ("some_read", "news", "red")]
    assert [event for event, *_ in told[2:]] == ["changed"] * 3


async def test_what_is_said_to_be_seen_on_the_topic_may_be_of_a_tag(house: House) -> None:
    for tags in (["a"], ["b"]):
        await house.send("ann", tags=tags)
    call = Call(house.topic("ann"), ANN)
    await house.inbox.publish(call, Publish(event="seen", data={"tag": "a"}))
    assert (await house.inbox.page(ANN)).unseen == 1
    for wrong in ({"tag": "a b"}, {"tag": "a", "ids": ["x"]}, {"upto": -1}):
        with pytest.raises(Invalid):
            await house.inbox.publish(call, Publish(event="seen", data=wrong))


@on_one_engine
@pytest.mark.parametrize(
    "tags", [["a b"], [""], ["x" * 33], ["ü"], ["a\n"], [str(n) for n in range(9)], "a", [1]]
)
async def test_tags_that_are_none(house: House, tags: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        await house.send("ann", tags=tags)
