"""What must be true of workflows when everything has come to an end, whatever happened. Each oracle compares counts, exactly.

- accepted ⊆ rows, each call once, each occurrence of a schedule once; nothing is left: no run that is not at its end, no letter without one, no open batch, no job
- each recipient has of each step exactly the messages that follow from what the run has recorded; of what was not called off,
  those that the workflow promises, by a small model of each kind
- every run that came to a digest is in one batch, none larger than its limit, and what it brought is told once
- a letter that was sent was taken; it was taken again only where a process died, an answer was lost, or a lease had passed on
- no row's token or life cycle ever went back, and nothing was done of what was called off (`office` watches every write)

In calm seeds nothing is claimed while another holds it, nothing is sent twice, digests close on time, and who waits for a message
goes on when it is read.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from tests.simulation.office import Office
    from tests.simulation.workflows import Call

DIGESTS = ("fixed", "sliding", "lead", "look", "minutely")
AT_ONCE_MS = 6_000  # a look of the other node, at the latest


class Rows:
    """Everything that is stored, in the words of the oracles."""

    def __init__(self, office: "Office") -> None:
        self._db = office.db
        self.triggers = {row["id"]: row for row in self._all("trigger_call")}
        self.runs = {row["id"]: row for row in self._all("run")}
        self.letters = self._all("outgoing")
        self.batches = self._all("batch")
        self.occurrences = {row["schedule"]: row for row in self._all("occurrence")}
        self.items = self._all("batch_item")
        self.messages = self._read(
            """SELECT m.id, m.usr, m.read_ms, n.trigger_id, n.title, n.workflow
               FROM message m JOIN notification n ON n.tenant = m.tenant AND n.id = m.notification"""
        )
        self.records: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in self._read("SELECT * FROM run_record ORDER BY run, n"):
            self.records[row["run"]].append(row)

    def _all(self, table: str) -> list[dict[str, Any]]:
        return self._read(f"SELECT * FROM {table}")

    def _read(self, sql: str) -> list[dict[str, Any]]:
        cursor = self._db.execute(sql)
        return [
            dict(zip([each[0] for each in cursor.getdescription()], row, strict=True))
            for row in cursor
        ]

    def ended(self, run: str, step: str) -> dict[str, Any]:
        """What became of a run's step in the end."""
        [found] = [
            row for row in self.records[run] if row["step"] == step and row["outcome"] != "waiting"
        ]
        return found


def check_all(office: "Office", calls: "Sequence[Call]") -> None:
    """Ask every oracle."""
    assert not office.blamed, office.blamed[0]
    seen = [row[0] for row in office.db.execute("SELECT what FROM audit")]
    assert not seen, seen[0]
    rows = Rows(office)
    _check_accepted(rows, calls)
    _check_records(rows)
    _check_messages(rows, calls)
    _check_digests(rows)
    _check_letters(office, rows)
    if office.is_calm:
        _check_calm(office, rows)


def _check_accepted(rows: Rows, calls: "Sequence[Call]") -> None:
    assert len(rows.triggers) == len(calls), f"{len(calls)} calls, {len(rows.triggers)} triggers"
    for call in calls:
        if call.schedule:
            occurrence = rows.occurrences.get(call.schedule)
            assert occurrence is not None, f"{call} never came"
            call.id = occurrence["trigger_id"]
        row = rows.triggers.get(call.id)
        assert row is not None, f"call {call.n} was accepted as {call.id}, which is not stored"
        state = "cancelled" if call.is_cancelled else "planned"
        assert row["state"] == state, f"call {call.n} is {row['state']}, not {state}"
        assert call.is_cancelled or row["total"] == len(call.users), f"{row} of {call.users}"


def _check_records(rows: Rows) -> None:
    """A step comes to an end once, and what it says of its message is so."""
    made = {row["id"] for row in rows.messages} | {row["message"] for row in rows.letters}
    for run, records in rows.records.items():
        assert run in rows.runs, f"{records} of a run that is not there"
        ends = Counter(row["step"] for row in records if row["outcome"] != "waiting")
        twice = [step for step, count in ends.items() if count > 1]
        assert not twice, f"run {run} ended {twice[0]} twice: {records}"
        sent = sum(row["outcome"] == "sent" for row in records)
        have = sum(id.rpartition(".")[0] == run for id in made)
        assert sent == have, f"run {run} has sent {sent} messages, there are {have}"


def _check_messages(rows: Rows, calls: "Sequence[Call]") -> None:
    have: Counter[tuple[str, str, int]] = Counter()
    for row in rows.messages:
        have[row["trigger_id"], row["usr"], _step(row["id"])] += 1
    for row in rows.letters:
        have[row["trigger_id"], row["usr"], _step(row["message"])] += 1
    doubled = [key for key, count in have.items() if count > 1]
    assert not doubled, f"more than one message: trigger, user, step {doubled[0]}"
    runs = {(run["trigger_id"], run["usr"]): run for run in rows.runs.values()}
    planned = Counter(trigger for trigger, _, step in have if step == 0)
    for call in calls:
        if call.is_cancelled:
            total = rows.triggers[call.id]["total"]
            assert call.workflow not in ("alike", "plain") or planned[call.id] == total, (
                f"{call}: {total} planned"
            )
            continue
        for user in call.users:
            run = runs.get((call.id, user))
            promised = _promised(rows, call.workflow, run)
            if promised is not None:
                got = {step for step in range(6) if have[call.id, user, step]}
                assert got == promised, f"{call}: {user} has of steps {got}, not {promised}; {run}"
    capped = Counter(user for call in calls if call.workflow == "cap" for user in call.users)
    let = Counter(row["usr"] for row in rows.messages if row["workflow"] == "cap")
    due = Counter({user: min(2, count) for user, count in capped.items()})
    assert let == due, f"let through: {let}, due: {due}"


def _promised(rows: Rows, workflow: str, run: dict[str, Any] | None) -> set[int] | None:
    """Steps of which somebody must have a message; None: others decide."""
    match workflow:
        case "alike" | "plain":
            return {0, 1}
        case "steps":
            return {0, 2, 4}
        case "fetch":
            return {1}
        case "escalate":
            assert run is not None
            return _escalated(rows, run)
        case "receipt":
            assert run is not None
            return _receipted(rows, run)
        case _:
            return None


def _escalated(rows: Rows, run: dict[str, Any]) -> set[int]:
    [bell] = [row for row in rows.messages if row["id"] == f"{run['id']}.0"]
    told = rows.ended(run["id"], "letter_3")
    was_read = msgspec.json.decode(told["read"])["bell.read"]
    assert told["outcome"] == ("skipped" if was_read else "sent"), told
    assert bell["read_ms"] is not None or not was_read, f"{bell} was never read"
    return {0} if was_read else {0, 2}


def _receipted(rows: Rows, run: dict[str, Any]) -> set[int]:
    [mail] = [row for row in rows.letters if row["message"] == f"{run['id']}.0"]
    waited = rows.ended(run["id"], "wait_2")
    told = {
        "sent": rows.ended(run["id"], "inbox_3")["outcome"] == "sent",
        "failed": rows.ended(run["id"], "inbox_4")["outcome"] == "sent",
    }
    if waited["why"] == "happened":
        assert told == {name: mail["status"] == name for name in told}, f"{told}: {mail}"
    return {0} | {2 + n for n, name in enumerate(told) if told[name]}


def _check_digests(rows: Rows) -> None:
    payloads = {id: msgspec.json.decode(row["payload"]) for id, row in rows.triggers.items()}
    thread = {each["n"]: each["thread"] for each in payloads.values()}
    for workflow in DIGESTS:
        told: dict[str, Counter[int]] = defaultdict(Counter)
        for row in rows.messages:
            if row["workflow"] == workflow:
                count, _, listed = row["title"].partition(":")
                numbers = [int(each) for each in listed.split()]
                assert int(count) == len(numbers), f"{row} tells of {len(numbers)}"
                assert workflow != "sliding" or len(numbers) <= 2, f"{row} is larger than its limit"
                is_keyed = workflow in ("fixed", "lead")
                assert not is_keyed or len({thread[n] for n in numbers}) == 1, (
                    f"{row} mixes threads"
                )
                told[row["usr"]].update(numbers)
        brought: dict[str, Counter[int]] = defaultdict(Counter)
        for run in rows.runs.values():
            if run["workflow"] == workflow and run["status"] != "cancelled":
                brought[run["usr"]][payloads[run["trigger_id"]]["n"]] += 1
        assert told == brought, f"{workflow}: told {told}, brought {brought}"
    placed = Counter(item["run"] for item in rows.items)
    placed.update(batch["lead"] for batch in rows.batches if batch["lead"])
    for run in rows.runs.values():
        if run["workflow"] in DIGESTS:
            assert placed[run["id"]] == 1, f"{run} is in {placed[run['id']]} batches"


def _check_letters(office: "Office", rows: Rows) -> None:
    for row in rows.letters:
        receipts = office.post.receipts.get(row["id"], [])
        taken = [each for each in receipts if each.became == "taken"]
        texts = {each.text for each in receipts} | {msgspec.json.decode(row["content"])["text"]}
        assert len(texts) == 1, f"{row} was handed over as {texts}"
        match row["status"]:
            case "sent":
                assert taken, f"{row} is sent, and was never taken"
            case "cancelled":
                state = rows.triggers[row["trigger_id"]]["state"]
                assert state == "cancelled", f"{row} of a trigger that is {state}"
            case "failed":
                is_refused = bool(receipts) and receipts[-1].became == "refused"
                assert is_refused or row["attempts"] >= 5, f"{row} was given up: {receipts}"
            case status:
                raise AssertionError(f"{row} ended as {status}")
        for before, after in itertools.pairwise(receipts):
            if before.became in ("taken", "refused"):
                assert office.excuses(before.host, before.at_s, after.at_s) or (
                    not before.is_answered
                ), f"{row['id']} was {before.became}, and handed over again: {receipts}"


def _check_calm(office: "Office", rows: Rows) -> None:
    over = [
        id for kind, id in office.db.execute("SELECT kind, id FROM story") if kind == "taken over"
    ]
    assert not over, f"without trouble {over[0]} was claimed while somebody held it"
    for row in rows.letters:
        receipts = office.post.receipts.get(row["id"], [])
        due = sum(each.became == "put off" for each in receipts) + (row["status"] != "cancelled")
        assert len(receipts) == due, f"{row} was handed over {len(receipts)} times, not {due}"
    reads = {row["id"]: row["read_ms"] for row in rows.messages}
    ends = {row["message"]: row["ended_ms"] for row in rows.letters}
    for run, records in rows.records.items():
        for row in records:
            if row["outcome"] == "waiting" and rows.runs[run]["status"] == "done":
                until = msgspec.json.decode(row["read"])["until_ms"]
                late = rows.ended(run, row["step"])["at_ms"] - until
                assert 0 <= late < AT_ONCE_MS, f"{run} went on {late} ms late"
            if row["why"] == "happened":
                happened = reads.get(f"{run}.0") or ends.get(f"{run}.0")
                assert happened is not None, f"{row}, and it did not"
                late = row["at_ms"] - happened
                assert late < AT_ONCE_MS, f"{run} waited {late} ms for what had happened"


def _step(message: str) -> int:
    return int(message.rpartition(".")[2])
