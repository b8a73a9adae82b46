"""Providers: failover, breaker, rate, slots. With providers that are values of the test, and a clock that it moves."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from clarion.clock import ManualClock
from clarion.errors import SettingsError, UsageError
from clarion.ids import Ids
from clarion.notifications.channels import (
    Allowed,
    NotSent,
    NotYet,
    Outgoing,
    Providers,
    Sent,
)
from clarion.notifications.channels.urls import read_provider
from clarion.settings import Sending
from clarion.telemetry import spawn


def letter(n: int = 1) -> Outgoing:
    return Outgoing("default", f"m{n}", "ann", "a@example.com", {"text": "hello"}, "w", "", 1)


class Post:
    """A provider that answers what it is told to: a failure, None for a yes, or a future for one that hangs."""

    def __init__(self, name: str, *answers: Any) -> None:
        self.name, self.answers, self.asked = name, list(answers), 0

    async def send(self, message: Outgoing) -> Sent:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, asyncio.Future):
            await answer
        elif answer is not None:
            raise answer
        return Sent(self.name, f"{self.name}-{self.asked}")


def down(**more: Any) -> NotSent:
    return NotSent("down", provider="x", **more)


class Town:
    """Providers of one channel."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        settings = Sending(breaker_failures=3, breaker_s=10, breaker_max_s=25)
        self.providers = Providers("letter", settings, clock=self.clock, ids=Ids.seeded(1))

    def add(self, name: str, *answers: Any, **allowed: Any) -> Post:
        post = Post(name, *answers)
        self.providers.add(post, Allowed(**allowed))
        return post

    async def send(self) -> str:
        """Who took a message, or why nobody did."""
        try:
            return (await self.providers.send(letter())).provider
        except NotSent as exc:
            return f"not sent: {exc.why}"
        except NotYet as exc:
            return f"not yet: {round(exc.after_s, 2)}"

    def states(self) -> list[str]:
        return [each.state for each in self.providers.status()]


@pytest.fixture
def town() -> Town:
    return Town()


async def test_the_next_is_asked_when_one_fails_and_every_try_is_told(town: Town) -> None:
    """A failure of ours to reach it, a time-out or a bug in it are the provider's: the message goes on to the next at once."""
    town.add("a", RuntimeError("fell"))
    town.add("b", down())
    town.add("c")
    sent = await town.providers.send(letter())
    assert (sent.provider, sent.provider_id) == ("c", "c-1")
    assert [(each.provider, each.outcome, each.answer) for each in sent.tries] == [
        ("a", "failed", "RuntimeError: fell"),
        ("b", "failed", "down"),
        ("c", "sent", ""),
    ]


async def test_what_is_the_messages_own_fault_goes_to_nobody_else(town: Town) -> None:
    """A wrong address is wrong everywhere: no other is asked, and it is nothing against the provider."""
    town.add("a", *(NotSent("no such house", provider="a", is_final=True) for _ in range(9)))
    other = town.add("b")
    for _ in range(9):
        assert await town.send() == "not sent: no such house"
    assert other.asked == 0
    assert town.states() == ["closed", "closed"]
    town.add("c", NotSent("mailbox is full", provider="c", is_providers=False))


async def test_a_delay_that_is_the_addresss_asks_nobody_else(town: Town) -> None:
    """`is_providers=False`: it is tried again later, at the same."""
    town.add("a", NotSent("greylisted", provider="a", is_providers=False, retry_after_s=60))
    other = town.add("b")
    with pytest.raises(NotSent) as caught:
        await town.providers.send(letter())
    assert (caught.value.retry_after_s, caught.value.is_final, other.asked) == (60, False, 0)


async def test_one_that_fails_in_a_row_is_left_alone_longer_each_time(town: Town) -> None:
    """After three failures nobody asks it; then one message finds out; if that fails, it is left alone for longer, up to the most."""
    first = town.add("a", *(down() for _ in range(5)))
    town.add("b")
    assert [await town.send() for _ in range(4)] == ["b"] * 4
    assert (first.asked, town.states()) == (3, ["open", "closed"])
    town.clock.advance(10)
    assert town.states() == ["half-open", "closed"]
    await town.send()
    assert (first.asked, town.states()) == (4, ["open", "closed"])
    town.clock.advance(10)
    assert town.states() == ["open", "closed"], "twice as long"
    town.clock.advance(10)
    await town.send()
    assert first.asked == 5
    town.clock.advance(25)
    assert await town.send() == "a"
    assert town.states() == ["closed", "closed"]


async def test_only_one_finds_out_whether_it_is_back(town: Town) -> None:
    """While the probe is on its way the others go to the next; one that is stopped lets another find out."""
    hanging: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    first = town.add("a", down(), down(), down(), hanging)
    town.add("b")
    for _ in range(3):
        await town.send()
    town.clock.advance(10)
    probe = spawn(town.send(), name="send")
    await asyncio.sleep(0)
    assert [await town.send() for _ in range(3)] == ["b"] * 3
    assert first.asked == 4
    probe.cancel()
    await asyncio.wait([probe])
    assert await town.send() == "a"


async def test_late_failures_do_not_open_it_for_longer(town: Town) -> None:
    """Messages that were in its hands when it opened tell nothing new."""
    futures = [asyncio.get_running_loop().create_future() for _ in range(9)]
    town.add("a", *futures)
    sending = [spawn(town.send(), name="send") for _ in futures]
    await asyncio.sleep(0)
    for future in futures:
        future.set_exception(down())
    await asyncio.wait(sending)
    town.clock.advance(10)
    assert town.states() == ["half-open"]


async def test_one_that_names_a_time_is_not_asked_before(town: Town) -> None:
    """429 with Retry-After: the next takes over; a lone one is waited for, and the waiting is no attempt."""
    town.add("a", down(retry_after_s=42))
    assert await town.send() == "not sent: down"
    assert await town.send() == "not yet: 10"
    assert town.providers.room().free == 0
    assert town.providers.room().again_s == 42
    town.clock.advance(42)
    assert await town.send() == "a"


async def test_nonsense_about_a_time_is_bounded(town: Town) -> None:
    """Somebody's Retry-After of a year is an hour."""
    town.add("a", down(retry_after_s=86_400 * 365))
    await town.send()
    assert town.providers.room().again_s == 3_600
    town.add("b", down(retry_after_s=-5))
    assert await town.send() == "not sent: down"


async def test_a_rate_is_held_and_is_waited_for(town: Town) -> None:
    """More than the rate go neither to it nor to the next: the rate is what somebody wanted."""
    town.add("a", rate=2, burst=3)
    other = town.add("b")
    assert [await town.send() for _ in range(4)] == ["a", "a", "a", "not yet: 0.5"]
    assert town.providers.room().free == 0
    assert town.providers.room().again_s == pytest.approx(0.5)
    town.clock.advance(1)
    assert town.providers.room().free == 2
    assert [await town.send() for _ in range(3)] == ["a", "a", "not yet: 0.5"]
    assert other.asked == 0
    town.clock.advance(3_600)
    assert town.providers.room().free == 3, "no more than the burst, and nothing of the next"


async def test_one_that_hangs_keeps_its_own_slots_only(town: Town) -> None:
    """With all of them taken, the next one is asked; when it has none either, the message is put back."""
    hanging = [asyncio.get_running_loop().create_future() for _ in range(2)]
    town.add("a", *hanging, concurrency=2)
    town.add("b", asyncio.get_running_loop().create_future(), concurrency=1)
    waiting = [spawn(town.send(), name="send") for _ in range(3)]
    await asyncio.sleep(0)
    assert await town.send() == "not yet: 1.0"
    assert town.providers.room().free == 0
    for future in hanging:
        future.set_result(None)
    await asyncio.wait(waiting[:2])
    assert await town.send() == "a"
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


async def test_no_answer_in_time_is_a_failure(town: Town) -> None:
    """It is stopped after its time, and the next takes over."""
    town.add("a", asyncio.get_running_loop().create_future(), timeout_s=0.01)
    town.add("b")
    sent = await town.providers.send(letter())
    assert sent.tries[0].answer == "no answer within 0.01 s"
    assert sent.provider == "b"


async def test_room_is_kept_for_what_was_claimed(town: Town) -> None:
    """A message that is on its way to a provider has no slot yet, and will need one."""
    town.add("a", concurrency=2)
    town.providers.expect("m1")
    assert town.providers.room().free == 1
    await town.send()
    assert town.providers.room().free == 2


async def test_a_channel_without_providers_says_so(town: Town) -> None:
    """It is no delay: nobody will ever take it."""
    assert await town.send() == "not sent: there is no letter provider"


async def test_two_of_one_name_are_refused(town: Town) -> None:
    """Records could not tell them apart."""
    town.add("a")
    with pytest.raises(UsageError, match="letter provider 'a'"):
        town.add("a")
    makers: dict[str, Callable[[Any], Post]] = {"smtp": lambda url: Post(url.name)}
    with pytest.raises(SettingsError, match=r"\?name="):
        town.providers.add_urls(
            ["smtp://u:hush@one", "smtp://u:hush@one"], makers, "email.providers"
        )


# ── URLs ──
def test_a_url_says_all_that_is_needed() -> None:
    """Secrets are decoded, sender names keep their case, limits are numbers."""
    url = read_provider(
        "twilio://AC1:p%40ss%2F@+1555?rate=90/m&concurrency=4&timeout=5&burst=2&name=main&region=eu",
        "sms.providers",
    )
    assert (url.scheme, url.user, url.password, url.host) == ("twilio", "AC1", "p@ss/", "+1555")
    assert (url.rate, url.burst, url.concurrency, url.timeout_s, url.name) == (1.5, 2, 4, 5, "main")
    assert url.options == {"region": "eu"}
    assert read_provider("smtp://[::1]:2525", "s").port == 2525
    assert read_provider("smtp://Mail", "s").name == "smtp:Mail"
    assert "p@ss" not in repr(url)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hush",
        "smtp:/hush@host",
        "smtp://u:hush@host?rate=fast",
        "smtp://u:hush@host?rate=0",
        "smtp://u:hush@host?rate=-1",
        "smtp://u:hush@host?rate=1&rate=2",
        "smtp://u:hush@host?concurrency=0",
        "smtp://u:hush@host?concurrency=nan",
        "smtp://u:hush@host?timeout=1000",
        "smtp://u:hush@host:99999",
        "smtp://u:hush@host?name=a%20b",
        "pigeon://u:hush@host",
        "smtp://u:hush@host?colour=red",
    ],
)
def test_a_url_that_is_no_good_is_refused_and_never_shown(town: Town, text: str) -> None:
    """The error names the setting; what may be a secret is not in it."""

    def smtp(url: Any) -> Post:
        url.only("tls")
        return Post(url.name)

    with pytest.raises(SettingsError) as caught:
        town.providers.add_urls([text], {"smtp": smtp}, "email.providers")
    assert "email.providers" in str(caught.value)
    assert "hush" not in str(caught.value)


def _names(tries: Sequence[Any]) -> list[str]:
    return [each.provider for each in tries]


async def test_after_all_have_failed_it_is_due_when_the_first_may_be_asked(town: Town) -> None:
    """If each has named a time, the soonest counts; else the usual backoff."""
    town.add("a", down(retry_after_s=30))
    town.add("b", down(retry_after_s=20), down())
    with pytest.raises(NotSent) as caught:
        await town.providers.send(letter())
    assert (caught.value.retry_after_s, _names(caught.value.tries)) == (20, ["a", "b"])
    town.clock.advance(20)
    with pytest.raises(NotSent) as caught:
        await town.providers.send(letter())
    assert caught.value.retry_after_s is None
