"""Is it alive, is it ready, how is it doing: for probes and scrapers."""

from collections.abc import Awaitable, Callable

from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from clarion.api.layer import Api, Reply
from clarion.api.limits import PerCaller, Unlimited
from clarion.auth.principal import Principal
from clarion.auth.rights import Public, Right, holds

PROBES = ("/livez", "/readyz")
"""Asked by whoever ends a process that does not answer."""

_TEXT = "text/plain"
_METRICS = "metrics:read"


class Readiness(Struct, frozen=True):
    """Whether new work may be sent here. `reasons`: part → what is the matter with it; empty where nothing is. Ready with reasons: what can go on does."""

    ready: bool
    reasons: dict[str, str] = {}


Whole = Callable[[str], Awaitable[str]]
"""Takes this process's metrics, gives those of all workers of the host."""


def add(
    api: Api,
    readiness: Callable[[], Readiness],
    registry: CollectorRegistry,
    whole: Whole | None = None,
) -> None:
    """Open the doors of probes.

    Args:
        api: Takes them.
        readiness: The newest state, without any waiting: whoever asks must not be able to load what is asked about.
        registry: The metrics.
        whole: Adds those of the other workers; None: there are none.
    """
    for_probes = Public(reason="probes and load balancers have no credential")
    never_refused = Unlimited(reason="a probe that is refused looks like a failure")

    @api.route("GET", "/livez", right=for_probes, limit=never_refused, media=(_TEXT,))
    async def is_alive() -> Reply[str]:
        """Whether the event loop runs.

        It always says `ok`: silence is failure.
        """
        return Reply("ok\n", media_type=_TEXT)

    @api.route(
        "GET", "/readyz", right=for_probes, limit=never_refused, media=(_TEXT, "application/json")
    )
    async def is_ready(caller: Principal | None) -> Reply[Readiness | str]:
        """Whether new work may be sent here: 200, or 503 while starting, stopping, without the database, or while this node alone is without Redis.

        One word for everybody; with the scope `metrics:read` the reasons, as JSON.
        """
        now = readiness()
        status = 200 if now.ready else 503
        # RFC 9110 §10.2.3; a drain or a restart takes seconds.
        headers = {} if now.ready else {"retry-after": "1"}
        if caller is not None and holds(caller.scopes, _METRICS):
            return Reply(now, status=status, headers=headers)
        word = "ready\n" if now.ready else "not ready\n"
        return Reply(word, status=status, headers=headers, media_type=_TEXT)

    @api.route("GET", "/metrics", right=Right(_METRICS), limit=PerCaller(), media=(_TEXT,))
    async def metrics(caller: Principal) -> Reply[str]:
        """All metrics, in Prometheus' text format.

        With several workers those of each, with the label `worker`; over a local socket those of the worker whose it is.
        """
        text = generate_latest(registry).decode()
        if whole is not None and caller.kind != "system":
            text = await whole(text)
        return Reply(text, media_type=CONTENT_TYPE_LATEST)
