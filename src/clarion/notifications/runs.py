"""Runs, carried out: what the engine decides becomes rows, all of one step's in one transaction.

A slice of runs is loaded together, decided one by one (pure), rendered, and written together. The transaction asks first which
of the runs are still this process' own: of the others nothing is written, since somebody else goes on with them.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from clarion.clock import Clock, as_datetime
from clarion.ids import Ids
from clarion.notifications.catalog import Catalog
from clarion.notifications.channels import Channels
from clarion.notifications.channels.inbox import NAME as INBOX
from clarion.notifications.inbox import Inbox
from clarion.notifications.messages import Message
from clarion.notifications.rendering import Renderer, Unrenderable, fingerprint
from clarion.notifications.workflows.advance import (
    Advanced,
    Await,
    Decision,
    Due,
    End,
    Event,
    Record,
    Send,
    Sleep,
    State,
    advance,
)
from clarion.notifications.workflows.definition import Say, Step, Wait, Workflow
from clarion.storage import outgoing as sent_sql
from clarion.storage import runs as sql
from clarion.storage.jobs import Held
from clarion.storage.store import Store, Tx

SLICE: Final = 200  # runs that are carried on together
LEASE_S: Final = 30.0


class Going(Struct):
    """One run in hand. `token` None: it is not in the store yet."""

    tenant: str
    id: str
    trigger: str
    usr: str
    workflow: Workflow
    version: int
    state: State
    event: Event
    payload: Mapping[str, Any]
    actor: str
    recipient: Mapping[str, Any] | None
    created_ms: int
    token: int | None = None
    attempts: int = 0
    about: dict[str, Any] = {}
    """Facts about what its steps have sent."""


class Decided(Struct):
    """What comes of a slice: rows to be written, and what is to be told after the commit."""

    going: Going
    state: State
    status: str
    wait_key: str
    run_ms: int | None
    records: list[Record]
    sends: list[tuple[Step, Send, Mapping[str, Any]]]
    error: str | None = None


Decide = Callable[[Going, Step, Mapping[str, Any]], Decision]


class Runs:
    """Carries runs on.

    Args:
        store: Where they are.
        catalog: Workflows in their versions.
        channels: What can be said, and to whom.
        inbox: Tells who is online.
        renderer: Fills in templates.
        clock: The time.
        ids: For contents and the marks of logs.
        node: Names this process in leases.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        channels: Channels,
        inbox: Inbox,
        renderer: Renderer,
        *,
        clock: Clock,
        ids: Ids,
        node: str,
    ) -> None:
        self._store, self._catalog, self._channels = store, catalog, channels
        self._inbox, self._renderer = inbox, renderer
        self._clock, self._ids, self._node = clock, ids, node
        self.on_sent: Callable[[], None] = nothing
        """Called when there are messages for other channels to be sent."""
        self.on_waiting: Callable[[], None] = nothing
        """Called when there are runs that wait."""

    async def due_ms(self) -> int | None:
        """When the next run is due; None: none is."""
        [due] = await self._store.fetch(sql.NEXT_DUE)
        return due.run_ms

    async def go_on(self, limit: int = SLICE) -> int:
        """Carry on runs that are due; returns how many there were."""
        goings = await self._claim(limit)
        if goings:
            await self.carry(goings)
        return len(goings)

    async def carry(
        self,
        goings: Sequence[Going],
        within: Callable[[Tx], Awaitable[bool]] | None = None,
    ) -> None:
        """Carry on a slice.

        Args:
            goings: Runs in hand, each once.
            within: Writes more in the same transaction, and says whether the runs are wanted still; what it raises undoes all.
        """
        decided = [self._decide(going) for going in goings]
        async with self._store.transaction() as tx:
            if within is not None and not await within(tx):
                return
            told, is_sent = await self._write(tx, decided)
        for announcement in told:
            await announcement
        if is_sent:
            self.on_sent()
        if any(each.run_ms is not None for each in decided):
            self.on_waiting()

    # ── what there is to know ──
    async def _claim(self, limit: int) -> list[Going]:
        now_ms = self._clock.now_ms()
        until_ms = now_ms + int(LEASE_S * 1000)
        async with self._store.transaction() as tx:
            claimed = await tx.fetch(
                sql.CLAIM, now=now_ms, until=until_ms, node=self._node, limit=limit
            )
            held = [Held(row.tenant, row.id, row.token) for row in claimed]
            loaded: list[sql.LoadedRun] = await tx.apply(sql.LOAD, held) if held else []
        goings: list[Going] = []
        for row in loaded:
            mine = claimed[row.n - 1]
            workflow = await self._catalog.version(mine.tenant, row.workflow, row.version)
            goings.append(_going(mine, row, workflow))
        await self._look(goings)
        return goings

    async def _look(self, goings: Sequence[Going]) -> None:
        """Find out what became of what they have sent, where a condition may ask for it."""
        asked: list[sql.Named] = []
        whose: list[tuple[Going, str]] = []
        for going in goings:
            for step, left in going.state.left.items():
                if "message" in left and _is_asked(going.workflow, step):
                    asked.append(sql.Named(going.tenant, going.usr, left["message"]))
                    whose.append((going, step))
        if not asked:
            return
        found: list[sql.MessageState] = await self._store.apply(sql.MESSAGE_STATES, asked)
        states: dict[int, list[sql.MessageState]] = {}
        for state in found:
            states.setdefault(state.n, []).append(state)
        for n, of_message in states.items():
            going, step = whose[n - 1]
            going.about[step] = facts_of(of_message)

    # ── deciding ──
    def _decide(self, going: Going) -> Decided:
        sends: list[tuple[Step, Send, Mapping[str, Any]]] = []
        failed: dict[str, str] = {}
        facts = self._facts(going)
        while True:
            advanced = advance(
                going.workflow,
                going.state,
                going.event,
                facts,
                run=going.id,
                now_ms=self._clock.now_ms(),
                decide=lambda step: self._may(going, step, failed),
            )
            before = len(failed)
            sends = self._render(going, advanced, facts, failed)
            if len(failed) == before:
                break
            # A template failed: what follows may ask for that, so it is decided anew, which costs nothing.
        return _decided(going, advanced, sends)

    def _may(self, going: Going, step: Step, failed: Mapping[str, str]) -> Decision:
        assert isinstance(step.act, Say)
        if (why := failed.get(step.id)) is not None:
            return Decision("fail", why)
        if going.recipient is None:
            return Decision("skip", "the subscriber was deleted")
        channel = self._channels.get(step.act.channel)
        if channel is None:
            return Decision("skip", f"there is no channel {step.act.channel!r} here")
        if not channel.addresses(going.recipient):
            return Decision("skip", "no address")
        return Decision("send")

    def _render(
        self, going: Going, advanced: Advanced, facts: Mapping[str, Any], failed: dict[str, str]
    ) -> list[tuple[Step, Send, Mapping[str, Any]]]:
        sends: list[tuple[Step, Send, Mapping[str, Any]]] = []
        for send in advanced.sends:
            step = going.workflow.steps[send.step]
            assert isinstance(step.act, Say)
            try:
                content = self._renderer.render(step.act.content, {**advanced.state.left, **facts})
            except Unrenderable as exc:
                failed[step.id] = str(exc)
            else:
                sends.append((step, send, content))
        return sends

    def _facts(self, going: Going) -> dict[str, Any]:
        return {
            "payload": going.payload,
            "recipient": going.recipient or {"id": going.usr},
            "actor": going.actor or None,
            "workflow": {"key": going.workflow.key, "category": going.workflow.category},
            **going.about,
        }

    # ── writing ──
    async def _write(
        self, tx: Tx, decided: Sequence[Decided]
    ) -> tuple[list[Awaitable[None]], bool]:
        now_ms = self._clock.now_ms()
        mine = await self._settle(tx, decided)
        contents: dict[tuple[str, bytes], sent_sql.NewContent] = {}
        deliveries: list[sent_sql.Delivery] = []
        outgoing: list[sent_sql.NewOutgoing] = []
        records: list[sql.NewRecord] = []
        for each in mine:
            going = each.going
            records += [_record(going, record, now_ms) for record in each.records]
            for step, send, content in each.sends:
                assert isinstance(step.act, Say)
                if step.act.channel == INBOX:
                    said = self._content(contents, going, content, now_ms)
                    deliveries.append(
                        sent_sql.Delivery(
                            going.tenant, going.usr, send.message, said, self._ids.mark(), now_ms
                        )
                    )
                else:
                    outgoing += self._outgoing(going, step, send, content, now_ms)
        if records:
            await tx.apply(sql.ADD_RECORDS, records)
        if outgoing:
            await tx.apply(sent_sql.ADD, outgoing)
        if not deliveries:
            return [], bool(outgoing)
        await tx.apply(sent_sql.ADD_CONTENT, list(contents.values()))
        delivered: list[sent_sql.Delivered] = await tx.apply(sent_sql.DELIVER, deliveries)
        by_id = {content.id: content for content in contents.values()}
        told: list[Awaitable[None]] = []
        for row in delivered:
            delivery = deliveries[row.n - 1]
            message = _message(delivery, by_id[delivery.notification], row.offset)
            told.append(self._inbox.announce_added(delivery.tenant, delivery.usr, message, row))
        return told, bool(outgoing)

    async def _settle(self, tx: Tx, decided: Sequence[Decided]) -> list[Decided]:
        """Write how they go on; returns those that are this process' own."""
        fresh = [each for each in decided if each.going.token is None]
        held = [each for each in decided if each.going.token is not None]
        if rows := [_new_run(each) for each in fresh if _is_kept(each)]:
            await tx.apply(sql.ADD_RUNS, rows)
        if not held:
            return fresh
        found: list[sql.Mine] = await tx.apply(sql.HOLD, [_held(each.going) for each in held])
        mine = [held[row.n - 1] for row in found]
        if mine:
            await tx.apply(sql.SETTLE, [_settlement(each) for each in mine])
        return fresh + mine

    def _content(
        self,
        contents: dict[tuple[str, bytes], sent_sql.NewContent],
        going: Going,
        content: Mapping[str, Any],
        now_ms: int,
    ) -> str:
        key = (f"{going.tenant}|{going.trigger}", fingerprint(content))
        found = contents.get(key)
        if found is None:
            data = content.get("data")
            found = contents[key] = sent_sql.NewContent(
                going.tenant,
                self._ids.ordered(now_ms),
                f"workflow:{going.workflow.key}",
                content["title"],
                content.get("body", ""),
                "" if data is None else msgspec.json.encode(data).decode(),
                content.get("action_url", ""),
                1,
                now_ms,
                going.trigger,
                going.workflow.key,
                going.workflow.category,
            )
        return found.id

    def _outgoing(
        self, going: Going, step: Step, send: Send, content: Mapping[str, Any], now_ms: int
    ) -> list[sent_sql.NewOutgoing]:
        assert isinstance(step.act, Say)
        channel = self._channels.get(step.act.channel)
        assert channel is not None, "decided to send on it"
        assert going.recipient is not None, "decided to send to them"
        text = msgspec.json.encode(content).decode()
        addresses = channel.addresses(going.recipient)
        return [
            sent_sql.NewOutgoing(
                going.tenant,
                f"{send.message}.{n}",
                send.message,
                going.id,
                going.trigger,
                going.workflow.key,
                going.workflow.category,
                step.id,
                going.usr,
                channel.name,
                address,
                text,
                now_ms,
                now_ms,
            )
            for n, address in enumerate(addresses)
        ]


# What a life cycle's status says of itself and of what came before it.
_SAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("sent", "delivered", "settled"),
    "queued": (),
    "sent": ("sent", "settled"),
    "delivered": ("sent", "delivered", "settled"),
    "bounced": ("sent", "failed", "bounced", "settled"),
    "failed": ("failed", "settled"),
    "suppressed": ("skipped", "settled"),
    "cancelled": ("skipped", "settled"),
}


def facts_of(states: Sequence[sql.MessageState]) -> dict[str, Any]:
    """What conditions can ask of a message, to one address or several: failed only if it failed at all of them."""
    facts: dict[str, Any] = {}
    for name in ("sent", "delivered"):
        facts[name] = any(name in _SAYS[each.status] for each in states)
    for name in ("failed", "bounced", "skipped", "settled"):
        facts[name] = all(name in _SAYS[each.status] for each in states)
    facts["read"] = any(each.read_ms is not None for each in states)
    facts["seen"] = facts["read"] or any(each.seen_ms is not None for each in states)
    facts["clicked"] = any(each.clicked_ms is not None for each in states)
    facts["archived"] = any(each.archived_ms is not None for each in states)
    return facts


def recipient_facts(
    id: str, name: str, email: str, locale: str, time_zone: str, attributes: str
) -> dict[str, Any]:
    """What templates and conditions know of a subscriber; what is not known is absent."""
    known = {"id": id, "name": name, "email": email, "locale": locale, "time_zone": time_zone}
    facts: dict[str, Any] = {key: value for key, value in known.items() if value}
    facts["attributes"] = msgspec.json.decode(attributes) if attributes else {}
    return facts


def _going(claimed: sql.ClaimedRun, row: sql.LoadedRun, workflow: Workflow) -> Going:
    recipient = row.subscriber and recipient_facts(
        row.usr, row.name, row.email, row.locale, row.time_zone, row.attributes
    )
    return Going(
        tenant=claimed.tenant,
        id=claimed.id,
        trigger=row.trigger_id,
        usr=row.usr,
        workflow=workflow,
        version=row.version,
        state=msgspec.json.decode(row.state, type=State),
        event=Due(),
        payload=msgspec.json.decode(row.payload),
        actor=row.actor,
        recipient=recipient or None,
        created_ms=row.created_ms,
        token=claimed.token,
        attempts=claimed.attempts,
    )


def _is_asked(workflow: Workflow, step: str) -> bool:
    waits = (each.act for each in workflow.steps if isinstance(each.act, Wait))
    return any(path.split(".")[0] == step for path in workflow.paths) or any(
        wait.message == step for wait in waits
    )


def _decided(
    going: Going, advanced: Advanced, sends: list[tuple[Step, Send, Mapping[str, Any]]]
) -> Decided:
    status, wait_key, run_ms = "running", "", None
    match advanced.next:
        case End():
            last = advanced.records[-1].outcome if advanced.records else "passed"
            status = {"stopped": "stopped", "failed": "failed"}.get(last, "done")
        case Sleep(until_ms=until_ms):
            run_ms = until_ms
        case Await(what=what, name=name, until_ms=until_ms):
            wait_key = wait_key_of(what, name, going.usr)
            run_ms = until_ms
        case _:
            raise NotImplementedError(advanced.next)
    return Decided(going, advanced.state, status, wait_key, run_ms, list(advanced.records), sends)


def nothing() -> None:
    """Nobody listens yet."""


def wait_key_of(what: str, name: str, user: str) -> str:
    """What a run waits for, in one word: a message, or a user's event."""
    return f"message:{name}" if what == "message" else f"event:{user}:{name}"


def _is_kept(decided: Decided) -> bool:
    """Whether a run that has just begun needs a row: something remains to be done, or to be explained."""
    return decided.status == "running" or any(
        record.outcome not in ("sent", "passed") for record in decided.records
    )


def _new_run(decided: Decided) -> sql.NewRun:
    going = decided.going
    return sql.NewRun(
        going.tenant,
        going.id,
        going.trigger,
        going.usr,
        going.workflow.key,
        going.version,
        msgspec.json.encode(decided.state).decode(),
        decided.status,
        decided.wait_key,
        decided.run_ms,
        going.created_ms,
    )


def _held(going: Going) -> Held:
    assert going.token is not None, "claimed"
    return Held(going.tenant, going.id, going.token)


def _settlement(decided: Decided) -> sql.RunSettlement:
    going = decided.going
    assert going.token is not None, "claimed"
    return sql.RunSettlement(
        going.tenant,
        going.id,
        going.token,
        msgspec.json.encode(decided.state).decode(),
        decided.status,
        decided.wait_key,
        decided.run_ms,
        0,
        decided.error,
    )


def _message(delivery: sent_sql.Delivery, content: sent_sql.NewContent, seq: int) -> Message:
    return Message(
        id=delivery.message,
        seq=seq,
        notification_id=content.id,
        title=content.title,
        body=content.body,
        data=msgspec.json.decode(content.data) if content.data else None,
        action_url=content.action_url or None,
        created_at=as_datetime(delivery.at_ms),
    )


def _record(going: Going, record: Record, now_ms: int) -> sql.NewRecord:
    read = msgspec.json.encode(record.read).decode() if record.read else ""
    return sql.NewRecord(
        going.tenant, going.id, record.step, record.outcome, record.why, read, now_ms
    )
