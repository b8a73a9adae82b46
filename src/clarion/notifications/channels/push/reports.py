"""Reports: what devices say of the messages that they were given, shown or clicked."""

from collections.abc import Callable
from typing import Annotated, Literal

from msgspec import Meta, Struct

from clarion.clock import Clock
from clarion.notifications.channels.push.tokens import Tokens
from clarion.notifications.waking import wake
from clarion.storage import push as sql
from clarion.storage.store import Store


class Report(Struct, frozen=True, forbid_unknown_fields=True):
    """What became of a message: `report` of its payload, and `delivered` (it was shown) or `clicked`."""

    report: Annotated[str, Meta(min_length=1, max_length=1_024)]
    event: Literal["delivered", "clicked"]


class Reports:
    """Takes reports.

    Args:
        store: Where the messages are.
        tokens: Say which one is meant.
        clock: When it was.
        on_woken: Called when runs may have been waiting for it.
    """

    def __init__(
        self, store: Store, tokens: Tokens, on_woken: Callable[[], None], *, clock: Clock
    ) -> None:
        self._store, self._tokens, self._clock = store, tokens, clock
        self._on_woken = on_woken

    async def take(self, report: Report) -> None:
        """Note what a device says; the first of each kind counts, and what is said of a message that is not known any more, nothing.

        Raises:
            Invalid: The token was not given out here.
        """
        tenant, id = self._tokens.read("report", report.report, 2)
        now_ms = self._clock.now_ms()
        clicked_ms = now_ms if report.event == "clicked" else None
        row = sql.Reported(tenant, id, now_ms, clicked_ms)
        told: list[sql.Told] = await self._store.apply(sql.REPORTED, [row])
        for each in told:
            if await wake(self._store, tenant, each.message, now_ms):
                self._on_woken()
