"""Messages of channels other than the inbox: leased as jobs are, with every attempt of handing them to a provider."""

from msgspec import Struct

from clarion.storage.jobs import NORMAL, claim, release, settle, waiting
from clarion.storage.notifications import PLACED, inbox_steps
from clarion.storage.store import Procedure, Sql


class NewOutgoing(Struct, frozen=True, array_like=True):
    """A message to be sent; one with an id that exists changes nothing."""

    tenant: str
    id: str
    message: str
    run: str
    trigger_id: str
    workflow: str
    category: str
    step: str
    usr: str
    channel: str
    address: str
    content: str
    run_ms: int
    created_ms: int
    priority: int = NORMAL


class ClaimedOutgoing(Struct, frozen=True):
    """A message as its claimer gets it; `attempts` counts this one, `tried` those before it was sent again."""

    tenant: str
    id: str
    run: str
    trigger_id: str
    workflow: str
    category: str
    usr: str
    channel: str
    address: str
    content: str
    cause: str
    token: int
    attempts: int
    tried: int
    created_ms: int
    hold: str
    """Of its trigger."""


class Status(Struct, frozen=True):
    """What became of one that was called off: `cancelled`, or `queued`: somebody has it in hand, and it ends with that."""

    status: str


class Handed(Struct, frozen=True, array_like=True):
    """What came of an attempt: how the message goes on, and the attempt itself."""

    tenant: str
    id: str
    token: int
    status: str
    rank: int
    cause: str
    run_ms: int | None
    provider: str
    provider_id: str
    outcome: str
    answer: str
    attempt: int
    part: int
    at_ms: int
    took_ms: int
    sent_ms: int | None
    ended_ms: int | None


class NewAttempt(Struct, frozen=True, array_like=True):
    """A provider was asked and failed, and another was asked in its stead: `part` counts them within an attempt."""

    tenant: str
    id: str
    attempt: int
    part: int
    provider: str
    outcome: str
    answer: str
    at_ms: int
    took_ms: int


class CalledOff(Struct, frozen=True, array_like=True):
    """What a step made, to each address of its, that nobody wants any more."""

    tenant: str
    message: str
    at_ms: int


class Delivery(Struct, frozen=True, array_like=True):
    """A message for an inbox; `notification` holds what it says."""

    tenant: str
    usr: str
    message: str
    notification: str
    mark: int
    at_ms: int


class Delivered(Struct, frozen=True):
    """Where it stands in the log of its inbox."""

    n: int
    offset: int
    epoch: str
    mark: int
    prior: int
    unread: int
    unseen: int


class NewContent(Struct, frozen=True, array_like=True):
    """What messages of an inbox say: shared by all who are told the same."""

    tenant: str
    id: str
    sender: str
    title: str
    body: str
    data: str
    action_url: str
    recipients: int
    created_ms: int
    trigger_id: str
    workflow: str
    category: str
    expires_ms: int | None = None
    actions: str = ""
    tags: str = ""
    step: str = ""


ADD = Procedure(
    "add_outgoing",
    NewOutgoing,
    (
        Sql("""INSERT INTO outgoing (tenant, id, message, run, trigger_id, workflow, category, step, usr, channel, address, content,
              provider, provider_id, status, rank, cause, run_ms, created_ms, priority)
            SELECT tenant, id, message, run, trigger_id, workflow, category, step, usr, channel, address, content,
              '', '', 'queued', 0, '', run_ms, created_ms, priority
            FROM {rows r} WHERE true ON CONFLICT DO NOTHING"""),
    ),
)
CLAIM = claim(
    "outgoing",
    "tenant, id, run, trigger_id, workflow, category, usr, channel, address, content, cause, token, attempts, tried, created_ms",
    ClaimedOutgoing,
    lane="channel",
    more="""coalesce((SELECT t.hold FROM trigger_call t
        WHERE t.tenant = outgoing.tenant AND t.id = outgoing.trigger_id), '')""",
)
WAITING = waiting("outgoing", lane="channel")
PUT_BACK = settle("outgoing")
RELEASE = release("outgoing", backs_off=True)


def _called_off(cause: str, at_ms: str) -> str:
    # What a provider may have already keeps its lease, and only learns of it: a yes is still a yes, but it is not tried again.
    # So what is queued and has a cause was called off.
    return f"""cause = '{cause}',
              status = CASE WHEN lease_by IS NULL THEN 'cancelled' ELSE status END,
              rank = CASE WHEN lease_by IS NULL THEN 100 ELSE rank END,
              run_ms = CASE WHEN lease_by IS NULL THEN NULL ELSE run_ms END,
              token = CASE WHEN lease_by IS NULL THEN outgoing.token + 1 ELSE outgoing.token END,
              ended_ms = CASE WHEN lease_by IS NULL THEN {at_ms} ELSE ended_ms END"""


_IS_OVER = "s.status = 'queued' AND outgoing.cause <> ''"
HANDED = Procedure(
    "handed_outgoing",
    Handed,
    (
        # A device may have said that it was shown before the provider's answer is written down: that stays, and nothing is sent again.
        # What was called off meanwhile is not tried again either.
        Sql(f"""UPDATE outgoing SET
              status = CASE WHEN outgoing.rank > s.rank THEN outgoing.status WHEN {_IS_OVER} THEN 'cancelled' ELSE s.status END,
              rank = CASE WHEN outgoing.rank > s.rank THEN outgoing.rank WHEN {_IS_OVER} THEN 100 ELSE s.rank END,
              run_ms = CASE WHEN outgoing.rank > s.rank OR {_IS_OVER} THEN NULL ELSE s.run_ms END,
              cause = CASE WHEN {_IS_OVER} THEN outgoing.cause ELSE s.cause END, provider = s.provider,
              provider_id = CASE s.provider_id WHEN '' THEN outgoing.provider_id ELSE s.provider_id END,
              sent_ms = coalesce(outgoing.sent_ms, s.sent_ms),
              ended_ms = CASE WHEN {_IS_OVER} THEN s.at_ms ELSE s.ended_ms END, error = s.answer,
              lease_by = NULL, token = s.token + 1
            FROM (SELECT r.*, row_number() OVER (PARTITION BY r.tenant, r.id, r.token ORDER BY r.n) AS k FROM {{rows r}}) AS s
            WHERE s.k = 1 AND outgoing.tenant = s.tenant AND outgoing.id = s.id AND outgoing.token = s.token"""),
        # What a provider was given is kept, whoever holds the message now: that is what attempts are for.
        Sql("""INSERT INTO attempt (tenant, message, n, part, provider, outcome, answer, at_ms, took_ms)
            SELECT r.tenant, r.id, r.attempt, r.part, r.provider, r.outcome, r.answer, r.at_ms, r.took_ms
            FROM {rows r} WHERE true ON CONFLICT DO NOTHING"""),
    ),
)
ADD_ATTEMPTS = Procedure(
    "add_attempts",
    NewAttempt,
    (
        Sql("""INSERT INTO attempt (tenant, message, n, part, provider, outcome, answer, at_ms, took_ms)
            SELECT r.tenant, r.id, r.attempt, r.part, r.provider, r.outcome, r.answer, r.at_ms, r.took_ms
            FROM {rows r} WHERE true ON CONFLICT DO NOTHING"""),
    ),
)
CALL_OFF = Procedure(
    "call_off_outgoing",
    CalledOff,
    (
        Sql(f"""UPDATE outgoing SET {_called_off("called off", "s.at_ms")}
            FROM (SELECT r.*, row_number() OVER (PARTITION BY r.tenant, r.message ORDER BY r.n) AS k FROM {{rows r}}) AS s
            WHERE s.k = 1 AND outgoing.tenant = s.tenant AND outgoing.message = s.message AND outgoing.status = 'queued'"""),
    ),
)
# In one statement, so that none that is claimed or put back at this moment is missed.
CANCEL_OF_TRIGGER = Sql(
    f"""UPDATE outgoing SET {_called_off("cancelled", ":now_ms")}
       WHERE tenant = :tenant AND trigger_id = :id AND status = 'queued' RETURNING status""",
    Status,
)
# Of one that was called off while a former holder had it in hand, of whom nobody has heard again.
END_CALLED_OFF = Sql(
    """UPDATE outgoing SET status = 'cancelled', rank = 100, run_ms = NULL, lease_by = NULL, token = token + 1, ended_ms = :now_ms
       WHERE tenant = :tenant AND id = :id AND token = :token"""
)

DELIVER = Procedure(
    "deliver_message",
    Delivery,
    (
        *inbox_steps("{rows r}"),
        Sql(
            f"""{PLACED} SELECT r.n, c.off, h.epoch, c.mark, c.prior, c.unread, c.unseen FROM placed r
               JOIN inbox_head h ON h.tenant = r.tenant AND h.usr = r.usr
               JOIN inbox_change c ON c.tenant = r.tenant AND c.usr = r.usr AND c.off = r.seq""",
            Delivered,
        ),
    ),
)
ADD_CONTENT = Procedure(
    "add_content",
    NewContent,
    (
        Sql("""INSERT INTO notification (tenant, id, sender, title, body, data, action_url, recipients, created_ms,
              trigger_id, workflow, category, expires_ms, actions, tags, step)
            SELECT tenant, id, sender, title, body, data, action_url, recipients, created_ms, trigger_id, workflow, category,
              expires_ms, actions, tags, step
            FROM {rows r} WHERE true ON CONFLICT DO NOTHING"""),
    ),
    is_blind=True,
)
