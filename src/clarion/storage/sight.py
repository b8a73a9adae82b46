"""What operators look for: messages of inboxes and of channels, triggers and runs, the newest first.

One condition leads, and has an index in the order of the answer; the others are asked of at most `:scan` rows behind the cursor. So
a page costs the same whatever is kept and whatever is asked; one that came to the end of its scan goes on from there.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from clarion.storage.store import Sql


class SentRow(Struct, frozen=True):
    """A message of a channel."""

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
    provider: str
    provider_id: str
    status: str
    rank: int
    cause: str
    error: str | None
    attempts: int
    run_ms: int | None
    created_ms: int
    sent_ms: int | None
    delivered_ms: int | None
    seen_ms: int | None
    read_ms: int | None
    clicked_ms: int | None
    ended_ms: int | None


class KeptRow(Struct, frozen=True):
    """A message of an inbox, with what it says."""

    id: str
    usr: str
    trigger_id: str
    workflow: str
    category: str
    title: str
    created_ms: int
    seen_ms: int | None
    read_ms: int | None
    clicked_ms: int | None
    archived_ms: int | None
    step: str
    snooze_ms: int | None
    put_off_ms: int | None
    back_ms: int | None
    done: str
    done_ms: int | None


class TriggerFound(Struct, frozen=True):
    """A trigger."""

    id: str
    workflow: str
    version: int
    caller: str
    actor: str
    cancel_key: str
    state: str
    hold: str
    total: int
    created_ms: int


class RunFound(Struct, frozen=True):
    """A run."""

    id: str
    trigger_id: str
    usr: str
    workflow: str
    version: int
    status: str
    run_ms: int | None
    error: str | None
    created_ms: int


class Place(Struct, frozen=True):
    """Where a scan came to an end."""

    at_ms: int
    id: str
    usr: str


class AttemptRow(Struct, frozen=True):
    """A provider was asked."""

    n: int
    part: int
    provider: str
    outcome: str
    answer: str
    at_ms: int
    took_ms: int


class ReadRow(Struct, frozen=True):
    """What was read to decide a step."""

    read: str


class Versions(Struct, frozen=True):
    """Of which version of its workflow something is."""

    workflow: str
    version: int


def containing(text: str) -> str:
    """The pattern of `LIKE … ESCAPE '!'`, of lowered text, for what contains a text."""
    quoted = text.lower()
    for special in "!%_":
        quoted = quoted.replace(special, f"!{special}")
    return f"%{quoted}%"


_PLACE: Final = {"created_ms": ":at", "id": ":id", "usr": ":usr_after"}


class Search(Struct, frozen=True):
    """One way to look: the page, and where its scan ends."""

    page: Sql[Any]
    end: Sql[Place]


def _search(
    table: str,
    columns: str,
    result: type[Struct],
    leads: str,
    order: tuple[str, ...],
    which: str,
) -> Search:
    key = ", ".join(order)
    back = ", ".join(f"{column} DESC" for column in order)
    names = [column.split(".")[1] for column in order]
    place = ", ".join(_PLACE[name] for name in names)
    scanned = f"""SELECT {columns} FROM {table} WHERE {leads} AND ({key}) < ({place})
              ORDER BY {back} LIMIT :scan"""
    shown = ", ".join(f"s.{name}" for name in result.__struct_fields__)
    # Below, and not within the scan: SQLite would then prefer any index over time, whatever leads.
    which = f"{which} AND s.created_ms >= :since"
    again = ", ".join(f"s.{name} DESC" for name in names)
    end = "s.created_ms, s.id, " + ("s.usr" if "usr" in names else "''")
    return Search(
        Sql(
            f"SELECT {shown} FROM ({scanned}) AS s WHERE {which} ORDER BY {again} LIMIT :n", result
        ),
        Sql(f"SELECT {end} FROM ({scanned}) AS s ORDER BY {again} LIMIT 1 OFFSET :last", Place),
    )


def _given(**columns: str) -> str:
    return " AND ".join(
        f"(:{name} = '' OR s.{column} = :{name})" for name, column in columns.items()
    )


def _says(*columns: str) -> str:
    """Whether one of them contains a text, whatever its case: `:like` is the pattern."""
    found = " OR ".join(f"lower(s.{column}) LIKE :like ESCAPE '!'" for column in columns)
    return f"(:q = '' OR s.id = :q OR {found})"


# ── messages of channels ──
_SENT = ", ".join(f"o.{name}" for name in SentRow.__struct_fields__)
SENT_STATUS: Final = """CASE WHEN s.rank >= 30 THEN s.status WHEN s.clicked_ms IS NOT NULL THEN 'clicked'
    WHEN s.read_ms IS NOT NULL THEN 'read' WHEN s.seen_ms IS NOT NULL THEN 'seen' ELSE s.status END"""
_SENT_WHICH = f"""{
    _given(
        usr="usr",
        trigger="trigger_id",
        run="run",
        workflow="workflow",
        channel="channel",
        provider="provider",
        category="category",
    )
} AND (:status = '' OR {SENT_STATUS} = :status)
    AND {
    _says("run", "trigger_id", "usr", "address", "provider_id", "cause", "error", "content")
}"""
_SENT_LEADS: Final = {
    "usr": " AND o.usr = :usr",
    "trigger": " AND o.trigger_id = :trigger",
    "stored": " AND o.status = :stored",
    "provider": " AND o.provider = :provider",
    "workflow": " AND o.workflow = :workflow",
    "": "",
}
SENT: Final[Mapping[str, Search]] = {
    name: _search(
        "outgoing o",
        _SENT,
        SentRow,
        f"o.tenant = :tenant{condition}",
        ("o.created_ms", "o.id"),
        _SENT_WHICH,
    )
    for name, condition in _SENT_LEADS.items()
}
SENT_ONE = Sql(f"SELECT {_SENT} FROM outgoing o WHERE o.tenant = :tenant AND o.id = :id", SentRow)

# ── messages of inboxes ──
_KEPT = "m.id, m.usr, n.trigger_id, n.workflow, n.category, n.title, m.created_ms, m.seen_ms, m.read_ms, m.clicked_ms, m.archived_ms, n.step, m.snooze_ms, m.put_off_ms, m.back_ms, m.done, m.done_ms"
KEPT_STATUS: Final = """CASE WHEN s.archived_ms IS NOT NULL THEN 'archived' WHEN s.snooze_ms IS NOT NULL THEN 'snoozed' WHEN s.clicked_ms IS NOT NULL THEN 'clicked'
    WHEN s.read_ms IS NOT NULL THEN 'read' WHEN s.seen_ms IS NOT NULL THEN 'seen' ELSE 'delivered' END"""
_KEPT_FROM = "message m JOIN notification n ON n.tenant = m.tenant AND n.id = m.notification"
_KEPT_WHICH = f"""{_given(usr="usr", trigger="trigger_id", workflow="workflow", category="category", button="done")}
    AND (:status = '' OR {KEPT_STATUS} = :status) AND {_says("trigger_id", "usr", "title", "body")}"""
KEPT: Final[Mapping[str, Search]] = {
    name: _search(
        _KEPT_FROM,
        f"{_KEPT}, n.body",
        KeptRow,
        f"m.tenant = :tenant{condition}",
        # The plus keeps the index over time out of it: one person's messages are soon sorted.
        ("+m.created_ms" if name else "m.created_ms", "m.id", "m.usr"),
        _KEPT_WHICH,
    )
    for name, condition in {"usr": " AND m.usr = :usr", "": ""}.items()
}
KEPT_ONE = Sql(
    f"SELECT {_KEPT} FROM {_KEPT_FROM} WHERE m.tenant = :tenant AND m.usr = :usr AND m.id = :id",
    KeptRow,
)

# ── triggers and runs: their ids sort by time, so that all of a tenant are a range of the key ──
_TRIGGER = ", ".join(f"t.{name}" for name in TriggerFound.__struct_fields__)
TRIGGERS: Final[Mapping[str, Search]] = {
    name: _search(
        "trigger_call t",
        f"{_TRIGGER}, t.payload",
        TriggerFound,
        f"t.tenant = :tenant{condition}",
        ("t.created_ms", "t.id") if name else ("t.id",),
        f"{_given(workflow='workflow', state='state', actor='actor')} AND {_says('caller', 'actor', 'cancel_key', 'payload')}",
    )
    for name, condition in {"workflow": " AND t.workflow = :workflow", "": ""}.items()
}
_RUN = ", ".join(f"r.{name}" for name in RunFound.__struct_fields__)
RUNS: Final[Mapping[str, Search]] = {
    name: _search(
        "run r",
        _RUN,
        RunFound,
        f"r.tenant = :tenant{condition}",
        ("r.created_ms", "r.id") if name else ("r.id",),
        f"{_given(usr='usr', workflow='workflow', status='status', trigger='trigger_id')} AND {_says('usr', 'trigger_id', 'error')}",
    )
    for name, condition in {
        "usr": " AND r.usr = :usr",
        # Literally: only then is it seen that an index over the failed ones will do.
        "failed": " AND r.status = 'failed'",
        "": "",
    }.items()
}

# ── what belongs to one ──
ATTEMPTS = Sql(
    """SELECT n, part, provider, outcome, answer, at_ms, took_ms FROM attempt
       WHERE tenant = :tenant AND message = :message ORDER BY n, part""",
    AttemptRow,
)
READ = Sql(
    """SELECT read FROM run_record WHERE tenant = :tenant AND run = :run AND step = :step AND read <> ''
       ORDER BY n DESC LIMIT 1""",
    ReadRow,
)
VERSION = Sql(
    "SELECT workflow, version FROM trigger_call WHERE tenant = :tenant AND id = :id", Versions
)
