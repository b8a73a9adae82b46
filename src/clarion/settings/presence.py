"""Presence."""

from typing import Annotated

from msgspec import Struct

from clarion.settings.about import about


class Presence(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is here: topics `presence:<room>`."""

    open: Annotated[
        list[str],
        about(
            "Rooms that every signed-in user may watch and enter, whatever their token says: names, or patterns such as `page:*`"
        ),
    ] = []
    tick_s: Annotated[
        float, about("Changes of a room are published together, so often (s)", ge=0.01, le=1)
    ] = 0.25
    grace_s: Annotated[
        float, about("Who comes back so soon after a broken connection was never away (s)", ge=0)
    ] = 10.0
    unanswered_s: Annotated[
        float,
        about(
            "A connection that has not answered a ping for so long counts as idle: nobody may be there (s)",
            gt=0,
        ),
    ] = 5.0
    lease_s: Annotated[
        float, about("A process that has not been heard of for so long is dead (s)", gt=0)
    ] = 15.0
    full: Annotated[
        int, about("Users of a room above which its list is no longer sent to subscribers", ge=1)
    ] = 500
    changes: Annotated[
        int, about("Users of a room above which only their number is sent to subscribers", ge=1)
    ] = 5_000
    members: Annotated[int, about("Users of a room: ack too_many", ge=1)] = 100_000
    rooms: Annotated[int, about("Rooms that one socket may be in: ack too_many", ge=1)] = 128
    data_bytes: Annotated[
        int, about("What is said of a user in a room (bytes of JSON): ack too_large", ge=64)
    ] = 4_096
    log_size: Annotated[int, about("Publications of a room that can be recovered", ge=1)] = 1_000
    log_age_s: Annotated[int, about("For how long (s)", ge=1)] = 3_600
    seen_s: Annotated[
        float,
        about(
            "When users were here is written so often (s): after a kill it is known so exactly",
            ge=1,
        ),
    ] = 60.0
    seen_keep_days: Annotated[
        int, about("For how long it is known when a user was here last (days)", ge=1)
    ] = 400
    visibility: Annotated[
        str,
        about(
            "Who may see that a user is here, of users who have not chosen: `everyone`, `contacts`, `nobody`",
            pattern="^(everyone|contacts|nobody)$",
        ),
    ] = "everyone"
    contacts: Annotated[int, about("Contacts of a user: 429 too_many", ge=1, le=5_000)] = 1_000
    typing_s: Annotated[
        float, about("Who types does so for so long unless they say it again (s)", ge=0.1)
    ] = 6.0
    cursor_s: Annotated[
        float, about("A cursor goes after so long unless it is told again (s)", ge=0.1)
    ] = 30.0
    lock_s: Annotated[
        float, about("A lock ends after so long unless it is taken again (s)", ge=0.1)
    ] = 30.0
    signals: Annotated[
        int, about("Cursors, locks and the like that one socket may have: ack too_many", ge=1)
    ] = 100
    signals_tick_s: Annotated[
        float,
        about(
            "Signals of a room are published together, of each cursor the newest, so often (s)",
            ge=0,
            le=1,
        ),
    ] = 0.05
