"""Sending: what providers are given, and when one is left alone."""

from typing import Annotated

from msgspec import Struct

from clarion.settings.about import about


class Sending(Struct, frozen=True, forbid_unknown_fields=True):
    """Messages of channels in the hands of providers; a provider's URL may say otherwise for itself."""

    concurrency: Annotated[
        int,
        about(
            "Messages in the hands of one provider at a time, in each process (`?concurrency=`)",
            ge=1,
            le=10_000,
        ),
    ] = 16
    timeout_s: Annotated[
        float, about("For a provider's answer (s; `?timeout=`)", ge=0.1, le=100)
    ] = 30.0
    breaker_failures: Annotated[
        int, about("After so many failures in a row a provider is left alone", ge=1)
    ] = 5
    breaker_s: Annotated[
        float,
        about("For how long at first (s); twice as long after each probe that fails", gt=0),
    ] = 10.0
    breaker_max_s: Annotated[float, about("At most for so long (s)", gt=0)] = 300.0
