"""Templates: what each may take, and how many there may be."""

from typing import Annotated

from msgspec import Struct

from clarion.settings.about import about


class Templates(Struct, frozen=True, forbid_unknown_fields=True):
    """Templates: rendered in worker processes."""

    locale: Annotated[
        str,
        about(
            "The language of whom none is known, and that templates fall back to",
            pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$",
        ),
    ] = "en"
    workers: Annotated[
        int,
        about(
            "Worker processes, beside one for drafts; they start when they are needed first",
            ge=1,
            le=64,
        ),
    ] = 2
    memory_mb: Annotated[
        int, about("Address space of a worker (MiB): it is killed", ge=128, le=8_192)
    ] = 384
    cpu_ms: Annotated[
        int, about("CPU time of one text (ms): its worker is killed", ge=10, le=10_000)
    ] = 250
    fuel: Annotated[
        int,
        about("Instructions of one text, as loops use them up: it fails", ge=100, le=10_000_000),
    ] = 50_000
    output: Annotated[
        int, about("Characters that one text may come to: it fails", ge=1_000, le=10_000_000)
    ] = 256 * 1024
    source_bytes: Annotated[
        int, about("A stored template, all languages together (bytes of JSON): 422", ge=1_000)
    ] = 256 * 1024
    parts: Annotated[
        int,
        about("Other templates that one text may be made of, theirs included: 422", ge=1, le=1_000),
    ] = 30
    stored: Annotated[int, about("Stored templates of a tenant: 429 too_many", ge=1)] = 1_000
