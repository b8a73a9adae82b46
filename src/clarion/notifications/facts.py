"""Facts: what templates and conditions know of subscribers, messages and digests."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from clarion.storage.runs import LoadedRun, MessageState
from clarion.storage.subscribers import Known
from clarion.storage.targets import Candidate

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


def message_facts(states: Sequence[MessageState]) -> dict[str, Any]:
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


def recipient_facts(id: str, row: Known | Candidate | LoadedRun) -> dict[str, Any]:
    """What templates and conditions know of a subscriber; what is not known is absent."""
    known = {
        "id": id,
        "name": row.name,
        "email": row.email,
        "phone": row.phone,
        "locale": row.locale,
        "time_zone": row.time_zone,
    }
    facts: dict[str, Any] = {key: value for key, value in known.items() if value}
    facts["attributes"] = msgspec.json.decode(row.attributes) if row.attributes else {}
    return facts
