"""Explaining: what would become of a message now, rule by rule. Nothing is written or counted by asking."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from clarion.clock import Clock, as_datetime
from clarion.errors import Fault, Invalid, NotFound
from clarion.notifications.channels import Channel, Channels
from clarion.notifications.deciding import asked_of, unreached
from clarion.notifications.going import Going
from clarion.notifications.preferences.evaluate import (
    Asked,
    Counted,
    cap_key,
    decide,
    explain,
    sources,
    span_ms,
)
from clarion.notifications.supposing import Suppose
from clarion.notifications.suppressions import Suppressions
from clarion.storage import preferences as sql
from clarion.storage.store import Store


class Rule(Struct, frozen=True):
    """What one rule says: `verdict` null, nothing. The first one that says something `decides`."""

    rule: str
    verdict: str | None
    why: str
    read: dict[str, Any]
    decides: bool


class Source(Struct, frozen=True):
    """Who may say whether it is wanted, the first one counts, and what they say: null, nothing."""

    source: str
    choice: bool | str | None


class Explained(Struct, frozen=True):
    """What would become of a message now, and why. `defer` and `collect`: until when."""

    verdict: Literal["send", "skip", "defer", "collect"]
    why: str
    until: datetime | None
    revision: int
    defaults_revision: int
    rules: list[Rule]
    choices: list[Source]


class Explainer:
    """Says what would become of a message.

    Args:
        store: Where caps count.
        suppose: Makes the message.
        suppressions: Those that are not written to.
        channels: Those there are.
        clock: The time.
    """

    def __init__(
        self,
        store: Store,
        suppose: Suppose,
        suppressions: Suppressions,
        channels: Channels,
        *,
        clock: Clock,
    ) -> None:
        self._store, self._suppose, self._suppressions = store, suppose, suppressions
        self._channels, self._clock = channels, clock

    async def explain(
        self,
        tenant: str,
        usr: str,
        channel: str,
        *,
        workflow: str = "",
        category: str = "",
        payload: Mapping[str, Any] | None = None,
        actor: str = "",
    ) -> Explained:
        """What would become of a message now: the rules that its sending goes through, each with what it says.

        Args:
            tenant: Theirs.
            usr: Who would get it.
            channel: By which it would come.
            workflow: Whose message it is; '': it is a notification of `category`.
            category: Of a notification that no workflow sends.
            payload: That conditions and muted threads read.
            actor: Likewise.

        Raises:
            Invalid: There is no such channel or workflow.
        """
        found = self._channels.get(channel)
        if found is None:
            raise Invalid(
                f"there is no channel {channel[:64]!r}", faults=[Fault("?channel", "unknown")]
            )
        try:
            going = await self._suppose.going(
                tenant,
                usr,
                workflow=workflow,
                category=category,
                payload=payload or {},
                actor=actor,
            )
        except NotFound as exc:
            raise Invalid(str(exc), faults=[Fault("?workflow", "unknown")]) from exc
        await self._suppressions.load([going])
        asked = asked_of(going, channel, None)
        said = decide(asked, going.wishes, self._clock.now_ms())
        if said.verdict == "count":
            counted = {
                cap_key(cap): await self._next(tenant, usr, cap_key(cap), span_ms(cap))
                for cap in said.caps
            }
            asked = replace(asked, counted=counted)
        return self._explained(asked, going, found)

    def _explained(self, asked: Asked, going: Going, channel: Channel) -> Explained:
        wishes, now_ms = going.wishes, self._clock.now_ms()
        rules: list[Rule] = []
        if going.recipient is None:
            rules.append(Rule("recipient", "skip", "there is no such subscriber", {}, True))
        elif (found := unreached(going, channel)) is not None:
            rule, why = found
            rules.append(Rule(rule, "skip", why, {}, True))
        decided = decide(asked, wishes, now_ms)
        for said in explain(asked, wishes, now_ms):
            is_first = not any(rule.decides for rule in rules) and said.verdict is not None
            rules.append(Rule(said.rule, said.verdict, said.why, dict(said.read), is_first))
        by = next((rule for rule in rules if rule.decides), None)
        verdict: Any = "send" if by is None else by.verdict
        waits = verdict in ("defer", "collect")
        return Explained(
            verdict,
            "nothing is in its way" if by is None else by.why,
            as_datetime(decided.until_ms) if waits else None,
            wishes.revision,
            wishes.defaults_revision,
            rules,
            [Source(source, choice) for source, choice in sources(asked, wishes)],
        )

    async def _next(self, tenant: str, usr: str, key: str, span: int) -> Counted:
        """What a cap would count if a message came to it now."""
        now_ms = self._clock.now_ms()
        for row in await self._store.fetch(sql.WINDOW, tenant=tenant, throttle=f"{usr}:{key}"):
            if row.ends_ms > now_ms:
                return Counted(row.hits + 1, row.ends_ms)
        return Counted(1, now_ms + span)
