"""Events."""

from typing import Annotated

from msgspec import Struct, field

from clarion.settings.about import about


class Events(Struct, frozen=True, forbid_unknown_fields=True):
    """What people did: `POST /v1/events`, `client.track`."""

    from_clients: Annotated[
        list[str],
        about(
            "Names of events that people's own clients may say they did (patterns); all others only a back end: 403"
        ),
    ] = field(default_factory=lambda: ["page.*", "ui.*"])
    per_call: Annotated[int, about("Events of one call: 422", ge=1, le=10_000)] = 1_000
    properties_bytes: Annotated[
        int, about("Properties of one event, as JSON: 413", ge=2, le=65_536)
    ] = 8_192
    keep_days: Annotated[
        int,
        about(
            "Events, and what is counted of them, go after so long (days; 0: never)",
            ge=0,
            le=36_600,
        ),
    ] = 400
