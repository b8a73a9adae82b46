"""Counting what is made: a slice of runs at once, written in their transaction."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from clarion.notifications.channels.inbox import NAME as INBOX
from clarion.notifications.going import Decided
from clarion.notifications.sight.stats import bucket, hour_of
from clarion.notifications.workflows.definition import Say
from clarion.storage.outgoing import NewOutgoing
from clarion.storage.stats import Change


def counts(
    decided: Sequence[Decided], outgoing: Sequence[NewOutgoing], now_ms: int
) -> list[Change]:
    """What runs have made, what they were not to make, and which of them failed.

    Args:
        decided: Those that are written.
        outgoing: Their messages of channels.
        now_ms: The time.
    """
    found: Counter[tuple[str, str, str, str, str, int]] = Counter()
    for each in decided:
        going = each.going
        whose = going.tenant, going.workflow.key
        # Only of the first steps it is known how long they took: others have waited because they were told to.
        took = bucket(now_ms - going.since_ms) if going.token is None else 0
        for step, _, _ in each.sends:
            if isinstance(step.act, Say) and step.act.channel == INBOX:
                for status in ("sent", "delivered"):
                    found[*whose, INBOX, going.workflow.category, status, took] += 1
        channels = {
            step.id: step.act.channel for step in going.workflow.steps if isinstance(step.act, Say)
        }
        for record in each.records:
            if record.outcome == "suppressed" and record.step in channels:
                found[*whose, channels[record.step], going.workflow.category, "suppressed", 0] += 1
    for row in outgoing:
        found[row.tenant, row.workflow, row.channel, row.category, "queued", 0] += 1
    hour_ms = hour_of(now_ms)
    failed = Counter(
        failed_run(each.going.tenant, each.going.workflow.key, now_ms)
        for each in decided
        if each.status == "failed"
    )
    return [msgspec.structs.replace(each, count=n) for each, n in failed.items()] + [
        Change(tenant, hour_ms, "message", workflow, channel, "", category, status, took, count)
        for (tenant, workflow, channel, category, status, took), count in found.items()
    ]


def failed_run(tenant: str, workflow: str, now_ms: int) -> Change:
    """A run has failed: by its last step, or because it cannot go on."""
    return Change(tenant, hour_of(now_ms), "run", workflow, "", "", "", "failed", 0, 1)
