"""Who sees what of activity: which streams somebody may read, and whether two may be shown the same."""

import hashlib
from collections.abc import Callable

import msgspec

from clarion.auth import rights
from clarion.auth.principal import Principal
from clarion.errors import PeerError
from clarion.topics.kinds import SCOPES, Kind, Topic

MaySee = Callable[[str], bool]
"""Whether somebody may read a stream now."""


def sees(kind: Kind, principal: Principal) -> MaySee:
    """What somebody may read of the kind `activity`."""

    def may_see(stream: str) -> bool:
        try:
            kind.check("subscribe", principal, Topic(principal.tenant, kind.name, stream))
        except PeerError:
            return False
        return True

    return may_see


def view_of(principal: Principal) -> str:
    """A digest of what somebody may read: who has the same sees the same."""
    patterns = sorted(name for name, may in principal.topics.items() if "subscribe" in may)
    is_back_end = rights.holds(principal.scopes, SCOPES["subscribe"])
    text = msgspec.json.encode([is_back_end, patterns, sorted(principal.access)])
    return hashlib.sha256(text).hexdigest()[:16]
