"""What a credential opened ends with it."""

import asyncio

from clarion.accounts.opened import Opened
from clarion.auth.principal import Principal, Revoked
from clarion.clock import ManualClock, SystemClock
from clarion.errors import ClarionError


def _listed(opened: Opened, *principals: Principal) -> tuple[list[str], list[int]]:
    ended: list[str] = []
    tickets = [
        opened.add(
            who, lambda why, name=f"{who.id}/{who.family}": ended.append(f"{name} {why.code}")
        )
        for who in principals
    ]
    return ended, tickets


async def test_what_has_expired_is_closed_and_nothing_else() -> None:
    """At its end, once, with the reason; who left before is not told."""
    clock = ManualClock(1_000)
    opened = Opened(clock)
    ended, tickets = _listed(
        opened,
        Principal(id="ann", expires_ms=2_000),
        Principal(id="ben", expires_ms=3_000),
        Principal(id="cyd", expires_ms=2_000),
        Principal(id="key", kind="key"),
    )
    opened.remove(tickets[2])
    opened.remove(tickets[2])
    opened.expire()
    assert ended == []
    clock.advance(1.5)
    opened.expire()
    opened.expire()
    assert ended == ["ann/None token_expired"]


async def test_a_logout_ends_its_own_login_and_no_other() -> None:
    """The family is what ends: another browser of the same person stays."""
    opened = Opened(ManualClock())
    ended, _ = _listed(
        opened,
        Principal(id="ann", family="f1"),
        Principal(id="ann", family="f2"),
        Principal(id="ann", family="f1", tenant="other"),
    )
    opened.revoked(Revoked(tenant="default", kind="user", id="ann", family="f1"))
    opened.revoked(Revoked(tenant="default", kind="user", id="nobody"))
    assert ended == ["ann/f1 unauthenticated"]


async def test_a_block_ends_all_of_a_user() -> None:
    """Every login, with the error that says why; nobody else's."""
    opened = Opened(ManualClock())
    ended, _ = _listed(
        opened,
        Principal(id="ann", family="f1"),
        Principal(id="ann"),
        Principal(id="ann", tenant="other"),
        Principal(id="ben"),
    )
    opened.revoked(Revoked(tenant="default", kind="user", id="ann", is_blocked=True))
    assert ended == ["ann/f1 blocked", "ann/None blocked"]


async def test_one_that_cannot_be_closed_keeps_no_other_open() -> None:
    """What raises while it is closed is logged; the others of the login end, and those that expire later."""
    clock = ManualClock(0)
    opened = Opened(clock)

    def fail(why: ClarionError) -> None:
        raise LookupError

    ann = Principal(id="ann", family="f1", expires_ms=1_000)
    opened.add(ann, fail)
    opened.add(Principal(id="ben", expires_ms=1_000), fail)
    ended, _ = _listed(opened, ann, Principal(id="cyd", expires_ms=1_000))
    opened.revoked(Revoked(tenant="default", kind="user", id="ann", family="f1"))
    assert ended == ["ann/f1 unauthenticated"]
    clock.advance(2)
    opened.expire()
    assert ended[1:] == ["cyd/None token_expired"]


async def test_expiry_is_noticed_while_it_waits() -> None:
    """A credential that ends sooner than all before wakes the timer."""
    clock = SystemClock()
    opened = Opened(clock)
    opened.start()
    await asyncio.sleep(0)
    done = asyncio.get_running_loop().create_future()

    def close(why: ClarionError) -> None:
        done.set_result(why.code)

    opened.add(Principal(id="ann", expires_ms=clock.now_ms() + 60_000), print)
    opened.add(Principal(id="ben", expires_ms=clock.now_ms() + 20), close)
    async with asyncio.timeout(5):
        assert await done == "token_expired"
    await opened.close()


async def test_connections_that_come_and_go_leave_nothing() -> None:
    """The list of expiries does not grow with those that left."""
    opened = Opened(ManualClock(0))
    for _ in range(1_000):
        opened.remove(opened.add(Principal(id="ann", expires_ms=10**12), print))
    assert len(opened._expiries) < 100
    assert opened._tickets == {}
