"""What has become of a trigger, counted while it goes on; and its parts, parked while it is paused.

A row that is parked is leased by nobody and due in the far future: it stands in every index as before, and nothing looks at it. Whoever
parks or wakes rows of a trigger holds the trigger meanwhile, so that none is parked after the last were woken.
"""

from typing import Final

from msgspec import Struct

from clarion.storage.store import Sql

PARKED_MS: Final = 2**52
_OF = "tenant = :tenant AND trigger_id = :id"
_THIS = "tenant = :tenant AND id = :id AND token = :token"
LOST: Final = ("failed", "bounced", "suppressed")
"""Statuses of messages that nobody got."""
_LOST = ", ".join(f"'{status}'" for status in LOST)


class Standing(Struct, frozen=True):
    """Recipients with whom it has not come to an end, and those of the others to whom something failed."""

    open: int
    failed: int


class MessageCount(Struct, frozen=True):
    """Messages of a channel with a status."""

    channel: str
    status: str
    count: int


class Reason(Struct, frozen=True):
    """Why something failed, and how often; `channel` '' where no message was made."""

    channel: str
    status: str
    reason: str
    count: int


class FailedMessage(Struct, frozen=True):
    """A message that nobody got."""

    id: str
    usr: str
    channel: str
    step: str
    address: str
    status: str
    reason: str
    attempts: int
    at_ms: int


class FailedRun(Struct, frozen=True):
    """A run that failed, with the step that did."""

    usr: str
    step: str
    reason: str
    at_ms: int


PARK = Sql(
    f"""UPDATE outgoing SET run_ms = {PARKED_MS}, token = token + 1
        WHERE {_OF} AND status = 'queued' AND lease_by IS NULL AND run_ms IS NOT NULL"""
)
PARK_MESSAGE = Sql(
    f"""UPDATE outgoing SET run_ms = :run_ms, lease_by = NULL, token = token + 1, attempts = attempts - 1
        WHERE {_THIS} AND status = 'queued'"""
)
PARK_RUN = Sql(
    f"""UPDATE run SET run_ms = :run_ms, lease_by = NULL, token = token + 1, attempts = attempts - 1
        WHERE {_THIS} AND status = 'running'"""
)
WAKE_MESSAGES = Sql(
    f"UPDATE outgoing SET run_ms = :now_ms WHERE {_OF} AND status = 'queued' AND run_ms = {PARKED_MS}"
)
WAKE_RUNS = Sql(
    f"UPDATE run SET run_ms = :now_ms WHERE {_OF} AND status = 'running' AND run_ms = {PARKED_MS}"
)

STANDING = Sql(
    f"""SELECT coalesce(sum(p.is_open), 0), coalesce(sum(CASE p.is_open WHEN 0 THEN 1 ELSE 0 END), 0) FROM
          (SELECT x.usr, max(x.is_open) AS is_open FROM
            (SELECT usr, CASE status WHEN 'failed' THEN 0 ELSE 1 END AS is_open FROM run
             WHERE {_OF} AND status IN ('running', 'collected', 'failed')
             UNION ALL
             SELECT usr, CASE status WHEN 'queued' THEN 1 ELSE 0 END AS is_open FROM outgoing
             WHERE {_OF} AND status IN ('queued', {_LOST})) AS x
           GROUP BY x.usr) AS p""",
    Standing,
)
# Messages of inboxes are made and delivered in one commit; how many share a content, it says itself.
MESSAGES = Sql(
    f"""SELECT x.channel, x.status, x.count FROM
          (SELECT channel, status, count(*) AS count FROM outgoing WHERE {_OF} GROUP BY channel, status
           UNION ALL
           SELECT 'inbox', 'delivered', CAST(sum(recipients) AS BIGINT) FROM notification
           WHERE {_OF} AND trigger_id <> '' HAVING count(*) > 0) AS x
        ORDER BY x.channel, x.status""",
    MessageCount,
)
# Providers' words may have ids in them: of so many reasons the most frequent are told.
REASONS = Sql(
    f"""SELECT x.channel, x.status, x.reason, x.count FROM
          (SELECT channel, status, cause AS reason, count(*) AS count FROM outgoing
           WHERE {_OF} AND status IN ({_LOST}) GROUP BY channel, status, cause
           UNION ALL
           SELECT '', 'failed', coalesce(r.error, p.why, ''), count(*) FROM run r
           LEFT JOIN run_record p ON p.tenant = r.tenant AND p.run = r.id AND p.outcome = 'failed'
           WHERE r.tenant = :tenant AND r.trigger_id = :id AND r.status = 'failed'
           GROUP BY coalesce(r.error, p.why, '')) AS x
        ORDER BY x.count DESC, x.channel, x.status, x.reason LIMIT :n""",
    Reason,
)
# A status after the other, each in the order of the index.
FAILED_MESSAGES = Sql(
    f"""SELECT id, usr, channel, step, address, status, cause, attempts, coalesce(ended_ms, created_ms) FROM outgoing
        WHERE {_OF} AND status = :status AND id > :after ORDER BY id LIMIT :n""",
    FailedMessage,
)
FAILED_RUNS = Sql(
    """SELECT r.usr, coalesce(p.step, ''), coalesce(r.error, p.why, ''), coalesce(p.at_ms, r.created_ms) FROM
         (SELECT tenant, id, usr, error, created_ms FROM run
          WHERE tenant = :tenant AND trigger_id = :id AND status = 'failed' AND usr > :after ORDER BY usr LIMIT :n) AS r
       LEFT JOIN run_record p ON p.tenant = r.tenant AND p.run = r.id AND p.outcome = 'failed'
       ORDER BY r.usr""",
    FailedRun,
)
