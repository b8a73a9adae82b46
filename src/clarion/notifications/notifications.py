"""The trigger: one call that puts a message into the inboxes of many.

Everything is in one durable commit before the answer leaves; only then the recipients who are online are told. A notice that
is lost on that way is found by the position check of their topic.
"""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct

from clarion.auth.principal import Principal
from clarion.clock import Clock, as_datetime, maybe_datetime
from clarion.errors import Fault, IdempotencyConflict, Invalid, Unavailable
from clarion.ids import Ids, digest
from clarion.notifications.content import (
    DATA_BYTES,
    ActionUrl,
    Body,
    Buttons,
    Data,
    Expires,
    Key,
    Quiet,
    Tags,
    Title,
    check_buttons,
    check_json,
    expiry_ms,
    kept_buttons,
    kept_tags,
    tags_of,
)
from clarion.notifications.inbox import Inbox, Tell
from clarion.notifications.messages import Message
from clarion.notifications.preferences.book import Book
from clarion.notifications.preferences.wanted import Answered, Wanted
from clarion.notifications.recipients import (
    Named,
    Recipient,
    UserId,
    columns_of,
    people_of,
    strangers,
)
from clarion.settings import Limits
from clarion.storage.notifications import ACCEPT, FORGET_KEYS, Acceptance, Outcome
from clarion.storage.slices import in_slices
from clarion.storage.store import Store
from clarion.telemetry import messages

KEY_KEPT_MS = 24 * 3600 * 1000  # how long at least a repeated call is recognised
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
# A call that ran beside one that described its recipients asks again; that the same happens twice in a row is a bug.
_TRIES = 3
_SLICE = 1_000  # keys that are removed in one transaction


class CreateNotification(Struct, frozen=True, forbid_unknown_fields=True):
    """What to tell whom. A person named twice gets it once."""

    recipients: Annotated[list[UserId | Recipient], Meta(min_length=1)]
    title: Title
    body: Body = ""
    data: Data | None = None
    action_url: ActionUrl | None = None
    category: Annotated[
        str, Meta(max_length=64, description="What it is about, as people's preferences name it")
    ] = ""
    key: Key = ""
    quiet: Quiet = False
    expires: Expires = ""
    actions: Buttons = []
    tags: Tags = []


class Accepted(Struct, frozen=True):
    """The answer to a notification: it is on disk, and in the inboxes."""

    id: str
    recipients: int
    durability: Literal["fsync"]
    created_at: datetime
    skipped: Annotated[
        int, Meta(description="Recipients, of these, who get nothing: their preferences say so")
    ] = 0


class Notifications:
    """Accepts notifications.

    Args:
        store: Where they are kept.
        inbox: Tells those who are online.
        book: Knows what people want.
        limits: `recipients`.
        clock: Time of acceptance.
        ids: Of notifications, messages, and the marks of the logs.
    """

    def __init__(
        self, store: Store, inbox: Inbox, book: Book, limits: Limits, *, clock: Clock, ids: Ids
    ) -> None:
        self._store = store
        self._wanted = Wanted(store, book, clock)
        self._inbox = inbox
        self._limits = limits
        self._clock = clock
        self._ids = ids

    async def send(
        self, caller: Principal, body: CreateNotification, idempotency_key: str | None = None
    ) -> Accepted:
        """Put a message into the inbox of each recipient, now and once.

        Args:
            caller: Whose tenant the recipients belong to, and who owns the key. That it may send is the door's to check.
            body: What to tell whom. A recipient that is only named must be known; one that is described becomes known.
            idempotency_key: Makes the call safe to repeat: for 24 hours the first answer is given again; 1–255 printable
                ASCII characters.

        Returns:
            What was accepted: on disk, `kill -9` and power failure included.

        Raises:
            Invalid: A recipient is not known (`/recipients/1`), there are too many of them, or a member is too large.
                Nothing was written.
            IdempotencyConflict: The key was used with another body.
            OutcomeUnknown: The write had begun and its end was not seen: repeat it with the same key.
        """
        check_key(idempotency_key)
        people = self.check(body)
        for _ in range(_TRIES):
            asked = await self._wanted.ask(caller.tenant, body.category, body.data, people)
            answer, rows, outcomes, told = await self._accept(
                caller, body, people, idempotency_key or "", asked
            )
            if outcomes[0].is_accepted:
                messages.labels("inbox").inc(len(rows) - answer.skipped)
                await self._announce(caller.tenant, body, rows, outcomes)
                for tell in told:
                    await tell()
                return answer
            if outcomes[0].digest is not None:
                return _former(outcomes[0], rows[0].digest)
            if unknown := [
                person
                for person, outcome in zip(people, outcomes, strict=True)
                if not outcome.is_known
            ]:
                raise strangers(unknown)
        raise Unavailable("the recipients are being changed; try again")

    def forget_keys(self) -> AsyncIterator[int]:
        """Remove idempotency keys older than 24 hours, see `jobs.purging.Slices`."""
        before = self._clock.now_ms() - KEY_KEPT_MS
        return in_slices(self._store, FORGET_KEYS, _SLICE, before=before)

    def check(self, body: CreateNotification) -> list[Named]:
        """Refuse what can never be sent. Returns its recipients, each once; whether they are known is not looked at.

        Raises:
            Invalid: There are too many recipients, or a member is too large or too deep.
        """
        check_json(body.data, DATA_BYTES, "/data")
        try:
            check_buttons(body.actions)
        except ValueError as exc:
            raise Invalid(faults=[Fault("/actions", str(exc))]) from exc
        try:
            at_ms = expiry_ms(body.expires, now_ms := self._clock.now_ms())
        except ValueError as exc:
            raise Invalid(faults=[Fault("/expires", str(exc))]) from exc
        if at_ms is not None and at_ms <= now_ms:
            raise Invalid(faults=[Fault("/expires", "that time has passed")])
        return people_of(body.recipients, self._limits.recipients)

    async def _accept(
        self,
        caller: Principal,
        body: CreateNotification,
        people: Sequence[Named],
        key: str,
        asked: Answered,
    ) -> tuple[Accepted, list[Acceptance], list[Outcome], list[Tell]]:
        if not asked.capped and not body.key:
            answer, rows = self._rows(caller, body, people, key, asked.unwanted)
            return answer, rows, _in_order(await self._store.apply(ACCEPT, rows)), []
        told: list[Tell] = []
        async with self._store.transaction() as tx:
            over = await self._wanted.count(tx, caller.tenant, asked.capped)
            answer, rows = self._rows(caller, body, people, key, asked.unwanted | over)
            outcomes = _in_order(await tx.apply(ACCEPT, rows))
            if not outcomes[0].is_accepted:
                await self._wanted.uncount(tx, caller.tenant, asked.capped)
            elif body.key:
                for row in rows:
                    if row.is_wanted:
                        told += await self._inbox.replace(
                            tx, caller.tenant, row.usr, row.message, body.key, quiet=body.quiet
                        )
        return answer, rows, outcomes, told

    def _rows(
        self,
        caller: Principal,
        body: CreateNotification,
        people: Sequence[Named],
        key: str,
        unwanted: frozenset[str],
    ) -> tuple[Accepted, list[Acceptance]]:
        now_ms = self._clock.now_ms()
        id = self._ids.ordered(now_ms)
        answer = Accepted(id, len(people), "fsync", as_datetime(now_ms), len(unwanted))
        rows = [
            Acceptance(
                tenant=caller.tenant,
                caller=f"{caller.kind}:{caller.id}",
                notification=id,
                is_first=0,
                usr=person.id,
                message=self._ids.ordered(now_ms),
                mark=self._ids.mark(),
                at_ms=now_ms,
                is_wanted=int(person.id not in unwanted),
                **_described(person.described),
            )
            for person in people
        ]
        rows[0] = msgspec.structs.replace(
            rows[0],
            is_first=1,
            idem_key=key,
            digest=digest(msgspec.json.encode(body, order="sorted")) if key else "",
            answer=msgspec.json.encode(answer).decode() if key else "",
            recipients=len(people),
            title=body.title,
            body=body.body,
            data="" if body.data is None else _text(body.data),
            action_url=body.action_url or "",
            category=body.category,
            expires_ms=expiry_ms(body.expires, now_ms),
            actions=kept_buttons(body.actions),
            tags=kept_tags(body.tags),
        )
        return answer, rows

    async def _announce(
        self,
        tenant: str,
        body: CreateNotification,
        rows: Sequence[Acceptance],
        outcomes: Sequence[Outcome],
    ) -> None:
        expires_at = maybe_datetime(rows[0].expires_ms) or UNSET
        for row, outcome in zip(rows, outcomes, strict=True):
            if not row.is_wanted:
                continue
            message = Message(
                id=row.message,
                seq=outcome.offset or 0,
                notification_id=row.notification,
                title=body.title,
                body=body.body,
                data=body.data,
                action_url=body.action_url,
                created_at=as_datetime(row.at_ms),
                category=body.category or UNSET,
                key=body.key or UNSET,
                expires_at=expires_at,
                actions=body.actions or UNSET,
                tags=tags_of(rows[0].tags) or UNSET,
            )
            await self._inbox.announce_added(tenant, row.usr, message, outcome)


def _in_order(outcomes: list[Outcome]) -> list[Outcome]:
    return sorted(outcomes, key=lambda outcome: outcome.n)


def _former(outcome: Outcome, digest: str) -> Accepted:
    """The answer that the first call with this key was given."""
    if outcome.digest != digest:
        raise IdempotencyConflict(
            "this Idempotency-Key was used with another body: take a new key for a new notification"
        )
    assert outcome.answer is not None
    return msgspec.json.decode(outcome.answer, type=Accepted)


def _described(recipient: Recipient | None) -> dict[str, Any]:
    return {"is_described": int(recipient is not None), **columns_of(recipient)}


def _text(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()


def check_key(key: str | None) -> None:
    """Refuse what is no Idempotency-Key.

    Raises:
        Invalid: It is not 1 to 255 printable ASCII characters.
    """
    if key is not None and not _KEY.fullmatch(key):
        raise Invalid(
            "an Idempotency-Key is 1 to 255 printable ASCII characters",
            faults=[Fault("Idempotency-Key", "not 1 to 255 printable ASCII characters")],
        )
