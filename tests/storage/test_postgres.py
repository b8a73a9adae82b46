"""The store on PostgreSQL."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from structlog.testing import capture_logs

from clarion.clock import SystemClock
from clarion.errors import (
    ClarionError,
    Closed,
    Conflict,
    Internal,
    Invalid,
    OutcomeUnknown,
    SettingsError,
    StorageFull,
    Unavailable,
)
from clarion.storage import (
    Procedure,
    Sql,
    Store,
    open_store,
    postgres_lock,
    postgres_open,
    subscribers,
    targets,
)
from clarion.storage.postgres import PostgresStore
from clarion.storage.postgres_errors import ConnectionLost, as_error, can_repeat
from clarion.storage.postgres_lock import KEY
from clarion.storage.sql import for_postgres
from clarion.telemetry import spawn
from tests.conformance.store import IDLE_S, StoreConformance
from tests.support.ledger import (
    APPEND,
    MIGRATIONS,
    NOTE,
    RAISE_TOP,
    START,
    TOP,
    Entry,
    assert_gapless,
    lines,
)
from tests.support.services import Postgres


@pytest.fixture
async def store(postgres: Postgres) -> AsyncIterator[Store]:
    url = await postgres.new_database()
    store = await open_store(
        url=url, data_dir=Path("unused"), clock=SystemClock(), migrations=MIGRATIONS, idle_s=IDLE_S
    )
    yield store
    await store.close()


class TestPostgres(StoreConformance):
    pass


class Backend(msgspec.Struct):
    pid: int


BACKEND = Sql("SELECT pg_backend_pid()", Backend)


@pytest.fixture
async def own_server() -> AsyncIterator[Postgres]:
    """A server that the test may stop."""
    server = Postgres()
    yield server
    server.remove()


async def test_a_restart_of_the_server_is_survived(own_server: Postgres) -> None:
    """Under load the server crashes and comes back: each call is answered, with its rows, Unavailable or OutcomeUnknown; what was acknowledged is there; the pool finds its way back by itself."""
    store = await open_store(
        url=await own_server.new_database(),
        data_dir=Path("unused"),
        clock=SystemClock(),
        migrations=MIGRATIONS,
    )
    await store.apply(APPEND, [Entry("t", "a", "first")])
    acknowledged: list[str] = ["first"]
    errors: list[Exception] = []
    is_over = False

    async def call(caller: int) -> None:
        count = 0
        while not is_over:
            count += 1
            id = f"{caller}-{count}"
            try:
                await store.apply(APPEND, [Entry("t", "a", id)])
                acknowledged.append(id)
            except ClarionError as exc:
                errors.append(exc)
                await asyncio.sleep(0.01)

    callers = [start(call(i)) for i in range(20)]
    await until(lambda: len(acknowledged) >= 50)
    await asyncio.to_thread(own_server.stop, "immediate")
    await until(lambda: bool(errors))
    with pytest.raises(Unavailable):
        await store.ping()
    with pytest.raises(Unavailable):
        async with store.transaction():
            pass
    await asyncio.to_thread(own_server.start)
    before = len(acknowledged)
    await until(lambda: len(acknowledged) >= before + 50)
    is_over = True
    await asyncio.gather(*callers)
    found = await lines(store)
    assert set(acknowledged) <= {line.id for line in found}
    assert_gapless(found)
    assert {type(exc) for exc in errors} <= {Unavailable, OutcomeUnknown}
    await store.close()


async def test_a_server_that_stands_still_is_given_up_soon(
    own_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read is not asked again, a write is of unknown outcome, and one that waited for others is refused; when it goes on, all is as before."""
    monkeypatch.setattr("clarion.storage.postgres_open.ANSWER_S", 0.5)
    monkeypatch.setattr("clarion.storage.postgres.WAIT_S", 0.2)
    store = await open_store(
        url=await own_server.new_database(),
        data_dir=Path("unused"),
        clock=SystemClock(),
        migrations=MIGRATIONS,
    )
    await store.apply(APPEND, [Entry("t", "a", "first")])
    asked = 0
    fetched = PostgresStore._fetch

    async def counted(self: PostgresStore, sql: Any, params: Any) -> Any:
        nonlocal asked
        asked += 1
        return await fetched(self, sql, params)

    monkeypatch.setattr(PostgresStore, "_fetch", counted)
    own_server.pause()
    try:
        with pytest.raises(Unavailable):
            await store.ping()
        assert asked == 1
    finally:
        own_server.resume()
    await until_answers(store)
    own_server.pause()
    try:
        calls = [store.apply(APPEND, [Entry("t", "a", f"{n}" * 300)] * 400) for n in range(9)]
        found = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        own_server.resume()
    assert {type(exc) for exc in found} == {Unavailable, OutcomeUnknown}
    assert any("no turn came in time" in str(exc) for exc in found)
    await until_answers(store)
    await store.apply(APPEND, [Entry("t", "a", "last")])
    await store.close()


async def until_answers(store: Store) -> None:
    """Return once the database answers again."""
    while True:
        with contextlib.suppress(Unavailable):
            await store.ping()
            return
        await asyncio.sleep(0.02)


async def test_a_connection_lost_in_a_transaction_stores_nothing(store: Store) -> None:
    """Before the commit was sent the answer is certain: nothing was written."""
    with pytest.raises(Unavailable) as caught:  # noqa: PT012
        async with store.transaction() as tx:
            await tx.apply(APPEND, [Entry("t", "a", "1")])
            [backend] = await tx.fetch(BACKEND)
            await kill(store, backend.pid)
            await tx.apply(APPEND, [Entry("t", "a", "2")])
    assert not isinstance(caught.value, OutcomeUnknown)
    assert await lines(store) == []


async def test_a_connection_lost_at_the_commit_is_an_unknown_outcome(store: Store) -> None:
    """The commit may have reached the server."""
    with pytest.raises(OutcomeUnknown):  # noqa: PT012
        async with store.transaction() as tx:
            await tx.apply(APPEND, [Entry("t", "a", "1")])
            [backend] = await tx.fetch(BACKEND)
            await kill(store, backend.pid)
    assert await lines(store) == []


async def test_a_connection_that_died_in_the_pool_costs_a_reader_nothing(store: Store) -> None:
    """A read is repeated once on another connection."""
    for _ in range(3):
        [backend] = await store.fetch(BACKEND)
        await kill(store, backend.pid)
        await store.ping()


async def test_a_database_that_only_reads_is_not_ready(store: Store) -> None:
    """A standby, or one that was set to read-only: writes are told Unavailable, the probe says so, reads go on."""
    db = await asyncpg.connect(url_of(store))
    name = await db.fetchval("SELECT current_database()")
    await db.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await db.close()
    await store._pool.expire_connections()  # type: ignore[attr-defined]
    for refused in (store.apply(APPEND, [Entry("t", "a", "1")]), store.ping()):
        with pytest.raises(Unavailable, match="only reads"):
            await refused
    assert await lines(store) == []


async def test_who_is_cancelled_is_cancelled_though_the_server_hangs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that cannot be given back in time is dropped; its caller sees the cancelling and no error of the driver."""
    monkeypatch.setattr("clarion.storage.postgres.WAIT_S", 0.1)
    [backend] = await store.fetch(BACKEND)
    reading = start(store.fetch(Sql("SELECT pg_backend_pid() FROM pg_sleep(60)", Backend)))
    await asyncio.sleep(0.05)
    os.kill(backend.pid, signal.SIGSTOP)
    try:
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await store.ping()
    finally:
        os.kill(backend.pid, signal.SIGCONT)


async def test_a_lock_that_is_held_too_long_is_told(store: Store) -> None:
    """A caller that waits for a row longer than it may is told Unavailable, its neighbours of another procedure are not held up."""
    async with store.transaction() as tx:
        await tx.execute(Sql("SET LOCAL idle_in_transaction_session_timeout = 0"))
        await tx.execute(START, tenant="t", book="a")
    held, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with store.transaction() as tx:
            await tx.execute(Sql("SET LOCAL idle_in_transaction_session_timeout = 0"))
            await tx.fetch(TOP, tenant="t", book="a")
            held.set()
            await release.wait()

    holding = start(hold())
    await held.wait()
    with pytest.raises(Unavailable):  # noqa: PT012
        async with store.transaction() as tx:
            await tx.execute(Sql("SET LOCAL lock_timeout = 50"))
            await tx.execute(RAISE_TOP, tenant="t", book="a", top=1)
    waiting = start(store.apply(APPEND, [Entry("t", "a", "1")]))
    await asyncio.sleep(0)
    assert await store.apply(NOTE, [Entry("t", "b", "2", "seen")]) == []
    assert not waiting.done()
    release.set()
    await asyncio.gather(holding, waiting)


async def test_a_commit_goes_on_when_its_caller_is_cancelled(store: Store) -> None:
    """Cancelled while the commit is under way: the answer is lost, the write is not."""

    async def write() -> None:
        async with store.transaction() as tx:
            await tx.apply(APPEND, [Entry("t", "a", "1")])
            # Comes when the block has ended and the commit has not yet been sent.
            asyncio.get_running_loop().call_soon(task.cancel)

    task = start(write())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await lines(store)) == 1


async def test_calls_that_wait_when_it_closes_are_answered(store: Store) -> None:
    """Closing waits for the committers; later calls are refused."""
    calls = [start(store.apply(APPEND, [Entry("t", "a", str(i))])) for i in range(300)]
    await asyncio.sleep(0)
    await store.close()
    assert len(await asyncio.gather(*calls)) == 300
    with pytest.raises(Closed):
        await store.apply(APPEND, [Entry("t", "a", "x")])


@pytest.fixture
def _no_long_wait_for_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(postgres_lock._SETTINGS, "lock_timeout", "200")


@pytest.mark.usefixtures("_no_long_wait_for_the_lock")
async def test_a_second_server_on_the_same_database_is_refused(postgres: Postgres) -> None:
    """Without Redis two servers would not hear of each other's writes; those that share it can only stand beside each other."""
    url = await postgres.new_database()
    first = await opened(url)
    for is_alone in (True, False):
        with pytest.raises(SettingsError, match="another Clarion server uses this database"):
            await opened(url, is_alone=is_alone)
    await first.close()
    one, other = await opened(url, is_alone=False), await opened(url, is_alone=False)
    with pytest.raises(SettingsError, match="redis_url"):
        await opened(url)
    await one.close()
    await other.close()
    await (await opened(url)).close()


@pytest.mark.usefixtures("_no_long_wait_for_the_lock")
async def test_a_lock_that_is_lost_is_taken_again(postgres: Postgres) -> None:
    """While another holds the lock the server is not ready; when that one lets go, it gets the lock back by itself."""
    url = await postgres.new_database()
    store, admin, rival = await opened(url), await asyncpg.connect(url), await asyncpg.connect(url)
    taking = start(rival.execute("SELECT pg_advisory_lock($1)", KEY))
    while not await admin.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        pass
    await admin.execute(
        """SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
           WHERE application_name = 'clarion lock' AND datname = current_database()"""
    )
    await taking
    await ready(store, is_ready=False)
    await rival.close()
    await ready(store, is_ready=True)
    with pytest.raises(SettingsError):
        await opened(url)
    await admin.close()
    await store.close()


async def ready(store: Store, *, is_ready: bool) -> None:
    """Wait until its probe says so."""
    async with asyncio.timeout(15):
        while await answers_probe(store) is not is_ready:  # noqa: ASYNC110  a probe is a look, not an event
            await asyncio.sleep(0.01)


async def answers_probe(store: Store) -> bool:
    try:
        await store.ping()
    except Unavailable:
        return False
    return True


async def opened(url: str, *, is_alone: bool = True) -> Store:
    return await open_store(
        url=url,
        data_dir=Path("unused"),
        clock=SystemClock(),
        migrations=MIGRATIONS,
        is_alone=is_alone,
    )


def postgres_error(state: str) -> Exception:
    return asyncpg.PostgresError.new({"C": state, "M": "secret value"})


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (postgres_error("22003"), Invalid),
        (postgres_error("23505"), Conflict),
        (postgres_error("40P01"), Unavailable),
        (postgres_error("53100"), StorageFull),
        (postgres_error("53300"), Unavailable),
        (postgres_error("25006"), Unavailable),
        (postgres_error("55P03"), Unavailable),
        (postgres_error("57014"), Unavailable),
        (postgres_error("57P01"), ConnectionLost),
        (postgres_error("58030"), ConnectionLost),
        (postgres_error("XX000"), ConnectionLost),
        (postgres_error("42601"), Internal),
        (ConnectionResetError(), ConnectionLost),
        (TimeoutError(), ConnectionLost),
        (asyncpg.InterfaceError("connection is closed"), ConnectionLost),
        (asyncpg.InternalClientError("secret"), ConnectionLost),
        (asyncpg.exceptions.OutdatedSchemaCacheError("secret"), Unavailable),
    ],
)
def test_errors_in_our_words(theirs: Exception, ours: type[ClarionError]) -> None:
    """The SQLSTATE decides; what the server says stays in the cause."""
    error = as_error(theirs)
    assert type(error) is ours
    assert "secret" not in str(error)


def test_what_may_be_repeated() -> None:
    """A deadlock and a changed schema: rolled back for a reason that passes."""
    repeatable = [
        postgres_error("40P01"),
        postgres_error("40001"),
        asyncpg.exceptions.OutdatedSchemaCacheError("x"),
    ]
    assert all(can_repeat(exc) for exc in repeatable)
    assert not can_repeat(postgres_error("23505"))
    wrapped = Unavailable()
    wrapped.__cause__ = repeatable[0]
    assert can_repeat(wrapped)


def url_of(store: Store) -> str:
    return str(store._pool._connect_args[0])  # type: ignore[attr-defined]


async def kill(store: Store, pid: int) -> None:
    """End a backend of the store's pool, from outside of any transaction of ours."""
    db = await asyncpg.connect(url_of(store))
    try:
        await db.execute("SELECT pg_terminate_backend($1, 1000)", pid)
    finally:
        await db.close()


def start(work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return spawn(work, name="test")


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not check():  # noqa: ASYNC110  it is so when other tasks have come so far
            await asyncio.sleep(0.005)


async def test_who_calls_when_all_committers_have_just_ended_is_served(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answered caller may call again before the committers that have ended are counted out: somebody else must commit then."""
    gate = asyncio.Event()

    async def run(_self: PostgresStore, _procedure: Procedure, calls: list[Any]) -> None:
        await gate.wait()
        for call in calls:
            call.answer([])

    monkeypatch.setattr(PostgresStore, "_run", run)

    async def call(number: int, times: int) -> None:
        for _ in range(times):
            await store.apply(Procedure(f"p{number}", Entry, APPEND.steps), [Entry("t", "a", "1")])

    callers = [start(call(number, times)) for number, times in ((1, 2), (2, 1), (3, 1))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gate.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*callers)


def test_a_server_that_is_away_is_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """The driver's pool tells each try with a traceback; what is no matter of connections stays as it is."""
    assert postgres_open.SERVER_SETTINGS  # which every server on PostgreSQL has loaded
    say = logging.getLogger("asyncpg.pool").warning
    with capture_logs() as logs:
        say("Failed to restore …; retrying", exc_info=ConnectionRefusedError(111, "refused"))
        say("Failed to restore …; retrying", exc_info=ZeroDivisionError())
        say("Pool.close() is taking over 60 seconds")
    assert [(each["event"], each["reason"]) for each in logs] == [
        ("no connection to PostgreSQL can be made", "[Errno 111] refused")
    ]
    assert len(caplog.records) == 2


async def test_people_are_looked_up_by_key_whatever_the_database_knows_of_them(
    postgres: Postgres,
) -> None:
    """A table that has just been filled has no statistics, and one that has some is small beside a disk's seeks: some people are not found by reading all."""
    url = await postgres.new_database()
    async with contextlib.AsyncExitStack() as stack:
        store = await open_store(url=url, data_dir=Path("unused"), clock=SystemClock())
        stack.push_async_callback(store.close)
        db = await asyncpg.connect(url, server_settings=postgres_open.SERVER_SETTINGS)
        stack.push_async_callback(db.close)
        await db.execute(
            "INSERT INTO subscriber (tenant, id, name, email, phone, locale, time_zone, attributes, created_ms, updated_ms)"
            " SELECT 'default', 'u' || i, '', '', '', '', '', '{}', 1, 1 FROM generate_series(1, 20000) i;"
            " INSERT INTO audience_member (tenant, audience, usr, added_ms) SELECT 'default', 'all', id, 1 FROM subscriber"
        )
        ids = msgspec.json.encode([f"u{n}" for n in range(100, 300)]).decode()
        everybody = targets.slice_of(targets.Sides(audiences=1), is_bare=True)
        asks: list[tuple[Sql[Any], dict[str, Any]]] = [
            (subscribers.FIND_ALL, {"ids": ids}),
            (subscribers.THERE, {"ids": ids}),
            (everybody, {"after": "u", "n": 200, "audience_0": "all"}),
        ]
        for knows in (False, True):
            if knows:
                await db.execute("ANALYZE")
            for asked, given in asks:
                given = {"tenant": "default"} | given
                text, names = for_postgres(asked.text)
                plan = await db.fetch(f"EXPLAIN {text}", *(given[name] for name in names))
                assert "Hash" not in str(plan), plan
                assert len(await store.fetch(asked, **given)) == 200
