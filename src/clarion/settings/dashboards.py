"""Dashboards."""

from typing import Annotated

from msgspec import Struct

from clarion.settings.about import about


class Dashboards(Struct, frozen=True, forbid_unknown_fields=True):
    """Dashboards: topics `dashboard:<id>`."""

    conflate_s: Annotated[
        float,
        about("What widgets are given is gathered, and written so often (s)", ge=0.05, le=60),
    ] = 0.5
    log_size: Annotated[int, about("Publications of a dashboard that can be recovered", ge=1)] = (
        1_000
    )
    log_age_s: Annotated[int, about("For how long (s)", ge=1)] = 3_600
    keep_s: Annotated[
        int,
        about(
            "What a widget has is forgotten after so long without anything more (s; up to a tenth longer)",
            ge=10,
            le=366 * 86_400,
        ),
    ] = 7 * 86_400
    points_raw: Annotated[
        int, about("Points that a chart keeps as they were given", ge=1, le=10_000)
    ] = 600
    points_10s: Annotated[
        int, about("Points that it keeps of 10 s each (360: an hour)", ge=1, le=10_000)
    ] = 360
    points_1m: Annotated[
        int, about("Points that it keeps of a minute each (1,440: a day)", ge=1, le=10_000)
    ] = 1_440
    lease_s: Annotated[
        float,
        about(
            "After a process that asked sources has died, another takes over (s)", ge=0.3, le=300
        ),
    ] = 15.0
    source_timeout_s: Annotated[float, about("For a source's answer (s)", gt=0, le=60)] = 10.0
    source_concurrency: Annotated[
        int, about("Sources that this process asks at the same time", ge=1, le=1_000)
    ] = 32
    source_networks: Annotated[
        list[str],
        about(
            "Networks that are not public in which sources may be (`10.1.2.0/24`); with any of them, `http://` is allowed"
        ),
    ] = []
    source_ports: Annotated[
        list[int], about("Ports on which sources may be asked; empty: 443 and 8443")
    ] = []
