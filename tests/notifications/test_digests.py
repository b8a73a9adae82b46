"""Digests, throttles and fetched data: what a run needs from others before it goes on."""

import asyncio
import json
import random  # noqa: TID251  seeded
from string import ascii_letters
from typing import Any

import pytest

from clarion.errors import NotFound
from tests.notifications.conftest import user
from tests.notifications.office import ANN, BELL, Office, office
from tests.support.http_target import HttpTarget, target

__all__ = ["office", "target"]

TOLD = {
    "inbox": {"title": "{{ digest.count }}: {% for each in digest.items %}{{ each.n }}{% endfor %}"}
}


def payloads(*numbers: int, **more: Any) -> list[dict[str, Any]]:
    return [{"n": n, **more} for n in numbers]


async def trigger(office: Office, *given: dict[str, Any], to: Any = ANN, **more: Any) -> list[str]:
    return [await office.trigger(to, payload=each, **more) for each in given]


async def test_what_comes_within_the_window_becomes_one(office: Office) -> None:
    """In the order in which it came; what comes after it has closed opens another."""
    await office.workflow({"digest": {"window": "10m"}}, TOLD)
    await trigger(office, *payloads(1, 2))
    await office.run(300)
    await trigger(office, *payloads(3))
    assert await office.inbox("ann") == []
    await office.run(300)
    assert await office.inbox("ann") == ["3: 123"]
    await trigger(office, *payloads(4))
    await office.run(600)
    assert await office.inbox("ann") == ["1: 4", "3: 123"]


async def test_clocks_that_are_set_double_and_lose_nothing(office: Office) -> None:
    """An hour back while it is open, and while a run waits: what comes then joins it, and all of it is told once, when the clock shows its time. Far ahead and back: as if that time had passed."""
    await office.workflow({"digest": {"window": "10m"}}, TOLD, {"wait": "10m"}, BELL)
    await trigger(office, *payloads(1))
    await office.run(300)
    await office.run(-3_600)
    await trigger(office, *payloads(2))
    await office.run(3_600)
    assert await office.inbox("ann") == []
    await office.run(300)
    assert await office.inbox("ann") == ["2: 12"]
    await office.run(-3_600)
    await trigger(office, *payloads(3))
    await office.run(600)
    assert await office.inbox("ann") == ["1: 3", "2: 12"]
    await office.run(3_600)
    told = ["Hello Ann", "Hello Ann", "1: 3", "2: 12"]
    assert sorted(await office.inbox("ann")) == sorted(told)
    await trigger(office, *payloads(4))
    await office.run(86_400)
    await office.run(-86_400)
    await office.run(86_400)
    assert sorted(await office.inbox("ann")) == sorted([*told, "1: 4"])
    await office.run(600)
    assert sorted(await office.inbox("ann")) == sorted([*told, "1: 4", "Hello Ann"])


async def test_keys_and_recipients_have_digests_of_their_own(office: Office) -> None:
    """One is open for each key of each recipient."""
    await office.workflow({"digest": {"window": "10m", "key": "payload.thread"}}, TOLD)
    await trigger(office, *payloads(1, 2, thread="a"), *payloads(3, thread="b"))
    await trigger(office, *payloads(4, thread="a"), to={"id": "ben"})
    await office.run(600)
    assert sorted(await office.inbox("ann")) == ["1: 3", "2: 12"]
    assert await office.inbox("ben") == ["1: 4"]


async def test_a_sliding_digest_waits_for_quiet_but_not_without_end(office: Office) -> None:
    """Each that comes puts it off by the window, at most to `max` after it was opened."""
    await office.workflow({"digest": {"window": "10m", "sliding": True, "max": "25m"}}, TOLD)
    await trigger(office, *payloads(1))
    await office.run(540)
    await trigger(office, *payloads(2))
    await office.run(540)
    await trigger(office, *payloads(3))
    assert await office.inbox("ann") == []
    await office.run(419)
    assert await office.inbox("ann") == []
    await office.run(1)
    assert await office.inbox("ann") == ["3: 123"]


async def test_a_digest_closes_early_with_so_many(office: Office) -> None:
    """Not later than the one that fills it: whoever closes digests hears of it, without looking again."""
    told: list[None] = []
    office.runs.on_waiting = lambda: told.append(None)
    await office.workflow({"digest": {"window": "1d", "limit": 3}}, TOLD)
    await trigger(office, *payloads(1, 2))
    await office.run()
    assert await office.inbox("ann") == []
    told.clear()
    await trigger(office, *payloads(3))
    assert told
    await office.run()
    assert await office.inbox("ann") == ["3: 123"]


async def test_a_digest_that_is_let_go_by_hand_closes_with_what_is_in_it(office: Office) -> None:
    """Also a sliding one, which nobody who comes puts off any more; who comes after it has closed opens another."""
    await office.workflow({"digest": {"window": "10m", "sliding": True, "max": "1h"}}, TOLD)
    await trigger(office, *payloads(1, 2))
    await office.run(1)
    [digest] = (await office.digests.open_of("default", "w", "ann", after="", limit=9)).items
    assert (digest.size, (digest.closes_at - digest.opened_at).seconds) == (2, 600)
    await office.engine.release_digest("default", digest.id)
    await trigger(office, *payloads(3))
    await office.run()
    assert await office.inbox("ann") == ["3: 123"]
    await trigger(office, *payloads(4))
    await office.run()
    assert await office.inbox("ann") == ["3: 123"]
    for tenant in ("default", "other"):
        with pytest.raises(NotFound):
            await office.engine.release_digest(tenant, digest.id)


async def test_the_first_can_go_ahead(office: Office) -> None:
    """It is told at once, alone; those after it are collected until the window of the first is over."""
    await office.workflow({"digest": {"window": "10m", "lead": True}}, TOLD)
    await trigger(office, *payloads(1))
    await office.run()
    assert await office.inbox("ann") == ["1: 1"]
    await office.run(300)
    await trigger(office, *payloads(2, 3))
    await office.run(300)
    assert await office.inbox("ann") == ["2: 23", "1: 1"]
    await trigger(office, *payloads(4))
    await office.run()
    assert (await office.inbox("ann"))[0] == "1: 4"
    await office.run(3600)
    assert len(await office.inbox("ann")) == 3


async def test_a_look_back_collects_only_what_repeats(office: Office) -> None:
    """One alone goes at once; what follows soon is collected for its own window."""
    await office.workflow({"digest": {"window": "30m", "look_back": "10m"}}, TOLD)
    await trigger(office, *payloads(1))
    await office.run(599)
    await trigger(office, *payloads(2))
    await office.run(1700)
    await trigger(office, *payloads(3))
    assert await office.inbox("ann") == ["1: 1"]
    await office.run(101)
    assert await office.inbox("ann") == ["2: 23", "1: 1"]
    await trigger(office, *payloads(4))
    await office.run(601)
    await trigger(office, *payloads(5))
    await office.run()
    assert (await office.inbox("ann"))[:2] == ["1: 5", "1: 4"]


@pytest.mark.parametrize("more", [{}, {"zone": "recipient"}])
async def test_a_digest_closes_at_an_hour_where_the_recipient_lives(
    office: Office, more: dict[str, str]
) -> None:
    """Cron's time in their zone, unless another is named: the clock of these tests shows 14:13 in UTC."""
    await office.workflow({"digest": {"cron": "0 9 * * *", **more}}, TOLD)
    ann = {"id": "ann", "time_zone": "America/New_York"}  # 10:13 there
    await trigger(office, *payloads(1), to=ann)
    await office.run(22 * 3600)
    assert await office.inbox("ann") == []
    await office.run(47 * 60)
    assert await office.inbox("ann") == ["1: 1"]


async def test_what_is_called_off_is_not_in_the_digest(office: Office) -> None:
    """Also when it was the first; of a digest of which nothing is left nobody hears."""
    await office.workflow({"digest": {"window": "10m"}}, TOLD)
    first, _ = await trigger(office, *payloads(1, 2))
    await office.triggers.cancel("default", first)
    await office.run(600)
    assert await office.inbox("ann") == ["1: 2"]
    [only] = await trigger(office, *payloads(3))
    await office.triggers.cancel("default", only)
    await office.run(600)
    assert await office.inbox("ann") == ["1: 2"]


@pytest.mark.parametrize("what", ["joins", "is called off"])
async def test_what_happens_while_a_digest_closes_is_not_lost(office: Office, what: str) -> None:
    """Who joins between its reading and its closing is in it; who is called off then is not, and takes nobody along."""
    await office.workflow({"digest": {"window": "10m"}}, TOLD)
    first, _ = await trigger(office, *payloads(1, 2))
    members = office.digests._members

    async def then(*args: Any) -> Any:
        office.digests._members = members  # type: ignore[method-assign]
        found = await members(*args)
        if what == "joins":
            await trigger(office, *payloads(3))
        else:
            await office.triggers.cancel("default", first)
        return found

    office.digests._members = then  # type: ignore[method-assign]
    await office.run(600)
    assert await office.inbox("ann") == ["3: 123" if what == "joins" else "1: 2"]


async def test_a_digest_keeps_what_is_still_wanted(office: Office) -> None:
    """What was read meanwhile is left out; the runs that were collected say where they went."""
    await office.workflow(
        {"id": "bell", "inbox": {"title": "{{ payload.n }}"}},
        {"digest": {"window": "10m", "keep": "not bell.read"}},
        TOLD,
    )
    _, second, _ = await trigger(office, *payloads(1, 2, 3))
    first = (await office.house.inbox.page(user("ann"))).items[-1]
    await office.house.inbox.mark(user("ann"), first.id, "read")
    await office.run(600)
    assert (await office.inbox("ann"))[0] == "2: 23"
    assert (await office.story(second))[-2:] == ["digest_2 passed", "inbox_3 sent"]


async def test_many_come_at_once_into_one_digest(office: Office) -> None:
    """However their transactions meet, one is open, and everybody is in it."""
    await office.workflow({"digest": {"window": "10m"}}, TOLD)
    await asyncio.gather(*(office.trigger(ANN, payload={"n": n}) for n in range(9)))
    await office.triggers.settled()
    await office.run(600)
    [told] = await office.inbox("ann")
    assert (told[:3], sorted(told[3:])) == ("9: ", sorted("012345678"))


@pytest.mark.parametrize("more", [{}, {"lead": True}, {"sliding": True, "max": "1h"}])
@pytest.mark.parametrize("apart", [False, True])
async def test_no_digest_is_larger_than_its_limit(
    office: Office, more: dict[str, Any], apart: bool
) -> None:
    """However many come in one moment, in one transaction or in many: each that is full closes at once, and the next to come opens another."""
    digest = {"digest": {"window": "10m", "limit": 3, **more}}
    await office.workflow(*([{"wait": "1s"}] if apart else []), digest, TOLD)
    to = [ANN, {"id": "ben"}]
    await asyncio.gather(*(office.trigger(*to, payload={"n": n}) for n in "0123456789X"))
    if apart:
        office.clock.advance(1)
        while any(await asyncio.gather(*(office.runs.go_on(2) for _ in range(11)))):
            pass
    await office.run()
    full = ["1", "1", "1", "3", "3"] if "lead" in more else ["3", "3", "3"]
    for name in ("ann", "ben"):
        assert sorted(each[0] for each in await office.inbox(name)) == full
    await office.run(600)
    for name in ("ann", "ben"):
        told = [each.split(": ") for each in await office.inbox(name)]
        assert sorted(count for count, _ in told) == sorted([*full, "2"])
        assert sorted("".join(numbers for _, numbers in told)) == list("0123456789X")


async def test_a_throttle_lets_so_many_through_in_a_window(office: Office) -> None:
    """Of a step, per recipient and key; the window begins with the first."""
    await office.workflow(
        {"throttle": {"limit": 2, "per": "1h", "key": "payload.k"}},
        {"inbox": {"title": "{{ payload.n }}"}},
    )
    sent = await trigger(office, *payloads(1, 2, 3, k="a"), *payloads(4, k="b"))
    await trigger(office, *payloads(5, k="a"), to={"id": "ben"})
    await office.run()
    assert sorted(await office.inbox("ann")) == ["1", "2", "4"]
    assert await office.inbox("ben") == ["5"]
    assert await office.story(sent[2]) == ["throttle_1 stopped: 3 within 1h"]
    await office.run(3600)
    await trigger(office, *payloads(6, k="a"))
    await office.run()
    assert "6" in await office.inbox("ann")


async def test_a_throttle_with_another_span_counts_anew(office: Office) -> None:
    """What a former version has begun to count does not hold for longer than the present one says; with another limit it goes on."""
    say = {"inbox": {"title": "{{ payload.n }}"}}
    for n, (limit, per) in enumerate(((1, "1d"), (1, "1h"), (2, "1h"), (2, "1h")), 1):
        await office.workflow({"throttle": {"limit": limit, "per": per}}, say)
        await trigger(office, *payloads(n))
        await office.run()
    assert await office.inbox("ann") == ["3", "2", "1"]


async def test_a_key_may_be_as_long_as_a_payload(office: Office) -> None:
    """PostgreSQL's index takes no more than 2,700 bytes: what is longer is told apart all the same. A user of such a name is nobody."""
    keyed = {"key": "payload.thread"}
    wait = {"event": "paid", "user": "payload.thread", "timeout": "1h"}
    digest = {"window": "10m", **keyed}
    throttle = {"limit": 1, "per": "1h", **keyed}
    await office.workflow({"wait": wait}, {"throttle": throttle}, BELL)
    chance = random.Random(7)  # what is all the same letter, PostgreSQL makes small
    one, other = ("".join(chance.choices(ascii_letters, k=9_000)) for _ in range(2))
    threads = [{"n": n, "thread": thread} for n, thread in enumerate((one, one, other))]
    ids = await trigger(office, *threads)
    await office.run()
    assert await office.inbox("ann") == ["Hello Ann"] * 2
    assert await office.story(ids[1]) == [
        "wait_1 skipped: payload.thread names nobody",
        "throttle_2 stopped: 2 within 1h",
    ]
    await office.workflow({"digest": digest}, TOLD)
    await trigger(office, *threads)
    await office.run(600)
    assert sorted((await office.inbox("ann"))[:2]) == ["1: 2", "2: 01"]


async def test_a_cap_holds_across_workflows_of_a_category(office: Office) -> None:
    """All workflows that name the category share it."""
    cap = {"throttle": {"limit": 1, "per": "1h", "across": "marketing"}}
    say = {"inbox": {"title": "{{ payload.n }}"}}
    await office.workflow(cap, say)
    await trigger(office, *payloads(1))
    await office.run()
    await office.workflow(say, cap, {"inbox": {"title": "never"}})
    await trigger(office, *payloads(2))
    await office.run()
    assert await office.inbox("ann") == ["2", "1"]


async def test_data_is_fetched_for_later_steps(office: Office, target: HttpTarget) -> None:
    """The URL and the body are templates; what was answered is known by the step's id."""
    target.answers = [(200, json.dumps({"state": "paid"}).encode())]
    await office.workflow(
        {
            "id": "order",
            "http": {
                "url": target.url + "/orders/{{ payload.n }}",
                "method": "POST",
                "body": {"who": "{{ recipient.id }}"},
            },
        },
        {"inbox": {"title": "{{ order.body.state }}"}, "if": "order.status == 200"},
    )
    await trigger(office, *payloads(7))
    await office.run()
    assert await office.inbox("ann") == ["paid"]
    [(method, path, body)] = target.calls
    assert (method, path, json.loads(body)) == ("POST", "/orders/7", {"who": "ann"})


async def test_what_cannot_be_fetched_is_tried_again_and_then_said(
    office: Office, target: HttpTarget
) -> None:
    """Three times; then the run ends, or goes on where the step says so."""
    target.answers = [(503, b"")] * 3 + [(404, b"{}")]
    step = {"id": "order", "http": {"url": target.url + "/x", "on_error": "continue"}}
    await office.workflow(step, {"inbox": {"title": "{{ order.status }}"}})
    [first] = await trigger(office, *payloads(1))
    for _ in range(3):
        await office.run(300)
    assert await office.inbox("ann") == ["503"]
    assert (await office.story(first))[0] == "order failed: answered 503"
    await trigger(office, *payloads(2))
    await office.run()
    assert (await office.inbox("ann"))[0] == "404"
    assert len(target.calls) == 4
