"""The event door: the application's own endpoint."""

import base64
from typing import Annotated, Final
from urllib.parse import urlsplit

from msgspec import Struct, field

from clarion.errors import SettingsError
from clarion.settings.about import about

_BEGINS: Final = "whsec_"  # as in Standard Webhooks


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
    try:
        url = urlsplit(upstream.url)
        is_address = bool(url.hostname) and url.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise SettingsError("upstream.url must name a host, and a port if it is not the usual one")
    if len(upstream.secret) < 24:
        raise SettingsError("upstream.secret must have at least 24 characters")
    try:
        secret_of(upstream.secret)
    except ValueError as exc:
        raise SettingsError(
            "upstream.secret begins with whsec_, so the rest must be base64"
        ) from exc


def secret_of(text: str) -> bytes:
    """The key of a secret as it is written: `whsec_` and base64, or any text.

    Raises:
        ValueError: It is not base64.
    """
    if text.startswith(_BEGINS):
        return base64.b64decode(text.removeprefix(_BEGINS), validate=True)
    return text.encode()
