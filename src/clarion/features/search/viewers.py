"""Who may search a collection, and which of its documents they see."""

from clarion.auth import rights
from clarion.auth.capabilities import grants
from clarion.auth.principal import Principal
from clarion.errors import Forbidden
from clarion.features.search.finding import Viewer


def viewer_of(principal: Principal, collection: str) -> Viewer:
    """What somebody sees of a collection: all with the scope `search:read`, else what their access tags let them.

    Raises:
        Forbidden: Their token does not grant `subscribe` on `search:<collection>`.
    """
    if rights.holds(principal.scopes, "search:read"):
        return None
    if not grants(principal.topics, "subscribe", f"search:{collection}"):
        raise Forbidden(f"the token does not grant subscribe on search:{collection}")
    return tags_of(principal)


def tags_of(principal: Principal) -> Viewer:
    """The access tags of somebody who may not see everything: those of their token."""
    return tuple(sorted({*principal.access}))
