"""The event door: the application's own endpoint."""

from typing import Annotated

from msgspec import Struct, field

from clarion.errors import SettingsError
from clarion.settings.about import about


class Upstream(Struct, frozen=True, forbid_unknown_fields=True):
    """The application's HTTP endpoint, which handles events in whatever language it is written. Off unless there is a URL."""

    url: Annotated[str, about("Where events are posted; empty: nowhere")] = ""
    secret: Annotated[
        str,
        about("Signs what is posted: `whsec_` and base64, or any text of 24 characters or more"),
    ] = ""
    namespaces: Annotated[list[str], about("Namespaces whose events go there")] = field(
        default_factory=lambda: ["/"]
    )
    events: Annotated[
        list[str],
        about(
            "Events that go there if no handler takes them: names, or patterns such as `order:*`; `*`: all"
        ),
    ] = field(default_factory=lambda: ["*"])
    connect: Annotated[bool, about("Whether it decides who may connect")] = False
    disconnect: Annotated[bool, about("Whether it is told of disconnects")] = False
    streams: Annotated[
        list[str],
        about(
            "Kinds of topics that are streams, about which it decides who subscribes and publishes"
        ),
    ] = []
    maps: Annotated[list[str], about("The same for kinds that are maps")] = []
    timeout_s: Annotated[
        float, about("For an answer, waiting included (s): ack upstream_unavailable", gt=0)
    ] = 5.0
    connections: Annotated[int, about("Calls at the same time", ge=1)] = 8
    batch: Annotated[int, about("Events in one call", ge=1)] = 100
    batch_bytes: Annotated[
        int, about("Bytes of the events in one call, if it has more than one", ge=1)
    ] = 1 << 20
    waiting: Annotated[
        int, about("Events that wait or are under way: ack upstream_unavailable", ge=1)
    ] = 10_000
    waiting_bytes: Annotated[
        int, about("Their size as JSON (bytes): ack upstream_unavailable", ge=1)
    ] = 32 << 20
    answer_bytes: Annotated[int, about("An answer's body (bytes)", ge=1)] = 4 << 20


def check_upstream(upstream: Upstream) -> None:
    """Raise SettingsError where the application's endpoint is no URL, or could be called by anybody."""
    if not upstream.url:
        return
    if not upstream.url.startswith(("http://", "https://")):
        raise SettingsError("upstream.url must begin with http:// or https://")
    if len(upstream.secret) < 24:
        raise SettingsError("upstream.secret must have at least 24 characters")
