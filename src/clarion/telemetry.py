"""What the process says of itself: log lines, metrics, and tasks that cannot fail unseen.

Every metric is a row of the table below; labels have few values, never a user, a topic, a room or a token.
"""

import asyncio
import logging
import sys
from collections.abc import Callable, Coroutine, Iterator
from io import StringIO
from typing import Any, Final, TextIO

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from structlog.typing import EventDict

from clarion.clock import Clock, SystemClock

REGISTRY = CollectorRegistry()


class Tally:
    """A number that only the loop's thread changes: 0.03 us, where prometheus-client's own, which takes a lock, needs 0.47."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, by: int = 1) -> None:
        """Count; the hottest paths add to `value` themselves."""
        self.value += by

    def dec(self) -> None:
        """One less, for what is there now."""
        self.value -= 1


class _Tallies(Collector):
    """A metric with one label, made of tallies: for what is counted with every event, frame or connection."""

    def __init__(self, name: str, text: str, label: str, *, is_gauge: bool = False) -> None:
        self._name, self._text, self._labelnames = f"clarion_{name}", text, (label,)
        self._family = GaugeMetricFamily if is_gauge else CounterMetricFamily
        self._tallies: dict[str, Tally] = {}
        REGISTRY.register(self)

    def labels(self, value: str) -> Tally:
        """The tally of a label's value."""
        found = self._tallies.get(value)
        if found is None:
            found = self._tallies[value] = Tally()
        return found

    def describe(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """For the registry, which refuses a name that another metric has."""
        return self.collect()

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """For a scrape."""
        family = self._family(self._name, self._text, labels=self._labelnames)
        for value, tally in self._tallies.items():
            family.add_metric([value], tally.value)
        yield family


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(name, text, labels, namespace="clarion", registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(name, text, labels, namespace="clarion", registry=REGISTRY)


def _histogram(name: str, text: str, *labels: str) -> Histogram:
    buckets = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
    return Histogram(name, text, labels, namespace="clarion", registry=REGISTRY, buckets=buckets)


# ── real-time server ──
sessions = _Tallies("sessions", "Open sessions", "transport", is_gauge=True)
handshakes = _Tallies("handshakes", "Attempts to open a session", "result")
session_closed = _Tallies("session_closed", "Sessions that ended", "reason")
events = _Tallies("events", "Socket.IO events", "direction")
events_refused = _counter(
    "events_refused", "Socket.IO events of clients that no handler was called for", "reason"
)
packets = _Tallies("packets", "Socket.IO packets", "direction")
packet_bytes = _Tallies(
    "packet_bytes",
    "Their sizes before compression: out, with the heads of frames; in, of text the characters",
    "direction",
)
egress_dropped = _Tallies("egress_dropped", "Frames that were dropped instead of sent", "reason")
limit_exceeded = _Tallies(
    "limit_exceeded", "Breaches of a limit, by its name in the settings", "limit"
)
recovery = _Tallies("recovery", "Clients that asked for the socket that they were", "outcome")
recovery_kept = _Tallies(
    "recovery_kept", "What is kept for clients that may come back", "what", is_gauge=True
)
# ── topics ──
recoveries = _counter(
    "topic_recoveries", "Subscriptions that asked to recover", "recovered", "reason"
)
publications = _counter("publications", "Publications announced to subscribers", "kind")
publications_conflated = _counter(
    "publications_conflated",
    "Publications that a newer one of their key replaced before they were written",
)
publications_skipped = _counter(
    "publications_skipped",
    "Publications of a map that a newer one replaced while a socket was slow",
)
position_checks = _counter(
    "position_checks", "Comparisons of a subscriber's position with the log", "result"
)
rights_asked = _counter(
    "rights_asked",
    "Questions to the application whether somebody may do something with a topic: yes, no, late, failed",
    "answer",
)
upstream_requests = _counter(
    "upstream_requests",
    "What was sent to the application's endpoint: answered, failed, late, or refused because it is down",
    "result",
)
# ── dashboards ──
dashboard_polls = _counter("dashboard_polls", "Questions to the sources of widgets", "result")
dashboard_alerts = _counter(
    "dashboard_alerts", "Alerts that fired, by what became of their triggers", "result"
)
# ── activity ──
activity_live = _gauge("activity_live", "Timelines and feeds that are kept true")

# ── search ──
search_standing = _gauge("search_standing", "Queries that are kept true")
search_fetches = _counter(
    "search_fetches", "Windows of standing queries that were fetched from the database"
)
search_handed = _counter(
    "search_handed", "Documents that began to match a saved search: handed, refused", "result"
)
# ── Redis ──
presence_views = _gauge("presence_views", "Users whose contacts this process keeps true for them")
presence_devices = _gauge("presence_devices", "Connections of this process in presence rooms")
bus_connected = _gauge("bus_connected", "1 while this process hears the others over Redis")
owner_connected = _gauge(
    "owner_connected", "1 while this worker is connected to the process that owns the data"
)
moved_connections = _counter(
    "moved_connections", "Connections whose request was for a session of another process", "way"
)
nodes_silent = _counter("nodes_silent", "Processes that did not answer a question in time")
bus_gaps = _counter("bus_gaps", "Channels between nodes that may have missed messages")
backplane_messages = _counter(
    "backplane_messages",
    "What other servers said of sockets (heard), what of it cannot be done (refused) or is none (malformed), and what did not get to them (lost)",
    "outcome",
)
redis_links_lost = _Tallies(
    "redis_links_lost", "Connections to Redis that ended, by the cause", "cause"
)
# ── notifications and jobs ──
messages = _counter("messages", "Messages written, by channel", "channel")
dead_letters = _counter(
    "dead_letters", "Messages that were tried for the last time in vain, by channel", "channel"
)
schedule_occurrences = _counter(
    "schedule_occurrences",
    "Occurrences of schedules that came: triggered, skipped (missed), refused (the schedule is paused)",
    "outcome",
)
schedule_late_seconds = _histogram(
    "schedule_late_seconds", "From an occurrence's time until it was triggered"
)
provider_messages = _counter(
    "provider_messages",
    "Messages that providers were handed: sent, failed (the provider's failure), refused (the message's)",
    "channel",
    "provider",
    "outcome",
)
provider_seconds = _histogram(
    "provider_seconds", "Until a provider answered", "channel", "provider"
)
provider_state = _gauge(
    "provider_state", "A provider's breaker: 0 closed, 1 half-open, 2 open", "channel", "provider"
)
template_renders = _Tallies(
    "template_renders",
    "Texts of templates: plain ones filled in here, made by a worker, and shared by several recipients",
    "how",
)
template_workers = _Tallies(
    "template_workers", "Worker processes of templates: started, killed", "event"
)
events_taken = _counter("people_events", "Events of people: taken in, or here before", "outcome")
jobs = _counter("jobs", "Runs of a job", "kind", "result")
dead_letter_acts = _counter(
    "dead_letter_acts", "Dead letters that a person has sent again or dropped", "act", "kind"
)
rows_purged = _counter("rows_purged", "Rows that were removed because they were too old", "table")
# ── Socket.IO's admin page ──
admin_logins = _Tallies("admin_logins", "Attempts to sign in to the admin page", "result")
# ── HTTP and storage ──
http_requests = _counter("http_requests", "Answered requests", "route", "method", "status")
http_seconds = _histogram(
    "http_request_seconds", "From the head of the request to the end of the answer", "route"
)
token_checks = _counter("token_checks", "Access tokens and API keys that were checked", "result")
db_seconds = _histogram("db_seconds", "Time of a call of the store, waiting included", "operation")
# ── process ──
ready = _gauge("ready", "1 while this process says on /readyz that it can serve")
loop_late_seconds = _histogram(
    "loop_late_seconds", "How much later than asked for the event loop came back, every 2 s"
)
ProcessCollector(registry=REGISTRY)  # process_*: descriptors, memory, processor time (on Linux)
build_info = _gauge("build_info", "Always 1; the label says what runs", "version")


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger that takes an event, then facts: `log.info("session closed", sid=sid, reason=reason)`."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return logger


OFTEN: Final = 10
"""Lines that one warning has in `OFTEN_S`."""
OFTEN_S: Final = 60.0


class Seldom:
    """Leaves out what a warning would say more than `OFTEN` times a minute: while Redis is away, each publication has one.

    The first line of the next minute says how many were left out (`left_out`). Errors and all else are never left out.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # By event, which is a constant where it is ours: since when it is counted, and how many there were.
        self._seen: dict[str, tuple[float, int]] = {}

    def __call__(self, _logger: Any, method: str, line: EventDict) -> EventDict:
        """As a processor of structlog.

        Raises:
            DropEvent: It is left out.
        """
        if method != "warning":
            return line
        now, event = self._clock.monotonic(), str(line["event"])
        since, count = self._seen.get(event, (now, 0))
        if now - since >= OFTEN_S:
            if count > OFTEN:
                line["left_out"] = count - OFTEN
            since, count = now, 0
        if len(self._seen) > 1_000:  # somebody's events are not constants
            self._seen.clear()
        self._seen[event] = (since, count + 1)
        if count >= OFTEN:
            raise structlog.DropEvent
        return line


def _escaped(text: str) -> str:
    """Others' words, which many lines have: nothing in them may begin a line or steer the terminal that shows it."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _printable(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return {
        _escaped(name): _escaped(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def _traceback(out: TextIO, exc_info: Any) -> None:
    whole = StringIO()
    structlog.dev.plain_traceback(whole, exc_info)
    # Indented: an exception's message may have several lines, none of which is to look like one of the log.
    out.write("\n".join(f"  {_escaped(line)}" for line in whole.getvalue().split("\n")))


def configure_logging(level: str = "info", *, json: bool = False) -> None:
    """Send every log line, ours and the libraries', to stderr: coloured for a terminal, one JSON object a line otherwise."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
    ]
    final: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The default one prints the local variables of every frame: passwords, tokens, payloads.
            exception_formatter=_traceback,
        )
    )
    structlog.configure(
        processors=[
            Seldom(SystemClock()),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    rendering: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    rendering.append(structlog.processors.format_exc_info if json else _printable)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[*rendering, final]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())


if not structlog.is_configured():
    # Used as a library: lines go to the standard `logging`, where debug and info are silent by default, until the application
    # configures structlog. structlog's own default prints all of them, and with a traceback the variables of every frame.
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.dev.ConsoleRenderer(
                colors=False, exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )

_log = get_logger(__name__)
_running: set[asyncio.Task[Any]] = set()

ANEW_S = 1.0
"""Until a task is begun anew that was to go on and has failed."""


def spawn(work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
    """Start a background task, keep a reference to it, and log whatever it dies of.

    Who starts a task that may outlive a call also ends it: keep the returned task and cancel it when closing.
    """
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_ended)
    return task


def spawn_forever(
    work: Callable[[], Coroutine[Any, Any, None]], *, name: str
) -> asyncio.Task[None]:
    """As `spawn`, for what goes on until it is cancelled: what it dies of is logged, and it is begun anew after `ANEW_S`."""
    return spawn(_again_and_again(work, name), name=name)


async def _again_and_again(work: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001  a bug that one turn meets must not end what nobody else would do
            _log.exception("background task failed, and is begun anew", task=name)
            await asyncio.sleep(ANEW_S)
        else:
            return


class Tasks:
    """The background tasks of one owner, which ends them when it is closed."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], None] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, Any], *, name: str) -> None:
        """Start one, see `spawn`."""
        task = spawn(work, name=name)
        self._tasks[task] = None
        task.add_done_callback(lambda done: self._tasks.pop(done, None))

    def spawn_forever(self, work: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> None:
        """Start one, see `spawn_forever`."""
        self.spawn(_again_and_again(work, name), name=name)

    async def finish(self) -> None:
        """Wait for those that run now, whatever becomes of them."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Cancel those that run now, and wait until they have ended."""
        for task in list(self._tasks):
            task.cancel()
        await self.finish()


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled() and (exc := task.exception()) is not None:
        _log.error("background task failed", task=task.get_name(), exc_info=exc)
