"""The notification engine: its parts, made together and started in order."""

from collections.abc import Awaitable, Callable

from clarion.clock import Clock
from clarion.ids import Ids
from clarion.jobs import Loop, Queue, Worker
from clarion.notifications.addresses import Addresses
from clarion.notifications.at_once import AtOnce
from clarion.notifications.audiences import Audiences
from clarion.notifications.bulk import Bulk
from clarion.notifications.catalog import Catalog
from clarion.notifications.channels import Channels
from clarion.notifications.channels.inbox import InboxChannel
from clarion.notifications.checking import Checker
from clarion.notifications.deciding import Decider
from clarion.notifications.delivery import Delivery
from clarion.notifications.desk import Desk
from clarion.notifications.digests import Digests
from clarion.notifications.editing import Editor
from clarion.notifications.events.events import Events
from clarion.notifications.explaining import Explainer
from clarion.notifications.fetching import Fetcher
from clarion.notifications.history import History
from clarion.notifications.importing import IMPORT, Importer
from clarion.notifications.imports import Imports
from clarion.notifications.inbox import Inbox
from clarion.notifications.judging import Judge
from clarion.notifications.knowing import Knowing, Presence
from clarion.notifications.library import Library
from clarion.notifications.people import ERASE, People
from clarion.notifications.planning import Planner
from clarion.notifications.preferences.book import Book
from clarion.notifications.preferences.links import Links
from clarion.notifications.previewing import Previews
from clarion.notifications.receiving import DROP, Receiver
from clarion.notifications.rechecking import Recheck
from clarion.notifications.rendering import Renderer
from clarion.notifications.replaying import Replays
from clarion.notifications.retention import Retention
from clarion.notifications.runs import SLICE, Runs
from clarion.notifications.sayings import Sayings
from clarion.notifications.schedules.firing import Firing
from clarion.notifications.schedules.schedules import Schedules
from clarion.notifications.sending import Sender
from clarion.notifications.sends import Sends
from clarion.notifications.sight.finding import Finder
from clarion.notifications.sight.letters import DeadLetters
from clarion.notifications.sight.stats import Counts
from clarion.notifications.soon import JOB
from clarion.notifications.supposing import Suppose
from clarion.notifications.suppressions import Suppressions
from clarion.notifications.targets import Targets
from clarion.notifications.triggering import Triggers
from clarion.notifications.unsubscribing import Unsubscribing
from clarion.notifications.writing import Writer
from clarion.outbound import Outbound
from clarion.settings import Limits, Sending, Templates
from clarion.storage import batches as batch_sql
from clarion.storage import outgoing as sent_sql
from clarion.storage import runs as run_sql
from clarion.storage import schedules as schedule_sql
from clarion.storage import triggers as trigger_sql
from clarion.storage.dead_letters import Kind
from clarion.storage.store import Store
from clarion.templates.pool import Pool, Renders


class Engine:
    """Workflows from the trigger to the last attempt.

    Args:
        store: Where everything is kept.
        inbox: Tells who is online.
        queue: Holds the planning that is not done.
        limits: `recipients`, `run_days`.
        outbound: The guarded door to the outside.
        book: Knows what people want.
        sending: What providers are given; None: the defaults.
        delivery: Whether messages leave; None: they do.
        clock: The time.
        ids: Of everything that is made.
        node: Names this process in leases.
        public_url: Where people reach the server, for links.
        link_secret: Signs them, the same on all processes; None: they are good for this process.
        templates: Limits of templates, and the language of whom none is known.
        renders: What renders; None: worker processes.
        presence: Says who is there; None: nobody can be asked.
        events: Wakes the runs that wait for one; None: there are none.

    Attributes:
        channels: The ways to reach people; an application adds its own before the start.
        catalog: Workflows.
        templates: Stored templates.
        previews: What they would look like.
        addresses: Of subscribers, on channels that have their own.
        targets: Finds the people of audiences and filters.
        people: The subscribers.
        audiences: Named sets of them.
        bulk: Writes what is the same for all.
        planner: Plans triggers.
        suppressions: Addresses that are not written to.
        book: Keeps preferences.
        desk: Where people see them and change them.
        explainer: Says what would become of a message.
        links: Those that need no login.
        unsubscribing: Where one kind of them leads.
        triggers: Accepts triggers, and calls them off.
        imports: Takes in people line by line.
        importer: Carries imports out.
        receiver: Accepts those whose recipients come in line by line.
        schedules: Keeps what is triggered at a time.
        firing: Triggers it then.
        sends: Tells how far they are, pauses and resumes them.
        runs: Carries runs on.
        digests: Closes digests.
        delivery: What was kept instead of sent.
        sender: Hands messages to providers.
        history: Tells what became of each run.
        replays: Says what would have become of one under another version.
        finder: Finds messages, triggers and runs.
        letters: Those that could not be sent.
        counts: How many of them there are.
        retention: Removes what is too old.
    """

    def __init__(
        self,
        store: Store,
        inbox: Inbox,
        queue: Queue,
        limits: Limits,
        outbound: Outbound,
        book: Book,
        sending: Sending | None = None,
        delivery: Delivery | None = None,
        *,
        clock: Clock,
        ids: Ids,
        node: str,
        public_url: str = "",
        link_secret: str | None = None,
        templates: Templates = Templates(),  # noqa: B008  settings do not change
        renders: Renders | None = None,
        presence: Presence | None = None,
        events: Events | None = None,
    ) -> None:
        self._clock, self._ids, self._queue = clock, ids, queue
        self.channels = Channels()
        self.channels.add(InboxChannel())
        self.renders = renders or Pool(templates, templates.workers)
        # What is being written is tried by a worker of its own: nobody's messages wait for it.
        self.drafts = renders or Pool(templates, 1)
        library = Library(store)
        sayings = Sayings(library, templates)
        checker = Checker(
            self.channels,
            sayings,
            self.drafts,
            templates,
            may_call=outbound.check,
            has_address=bool(public_url),
            clock=clock,
        )
        self.templates = Editor(store, library, checker, templates, clock=clock)
        self.catalog = Catalog(store, self.channels, library, checker, clock=clock)
        self.delivery = delivery or Delivery(store, "live", clock=clock, ids=ids)
        renderer = Renderer(self.renders, templates, clock)
        drafts = Renderer(self.drafts, templates, clock)
        self.previews = Previews(self.channels, library, sayings, checker, drafts)
        self.links = Links(link_secret or ids.token(32), public_url, clock=clock)
        decider = Decider(self.channels, sayings, renderer, self.links, clock=clock, ids=ids)
        writer = Writer(self.channels, inbox, clock=clock, ids=ids)
        fetcher = Fetcher(outbound, renderer)
        self.book = book
        self.addresses = Addresses(store, self.channels, clock=clock)
        self.suppressions = Suppressions(store, self.channels, clock=clock)
        suppose = Suppose(store, book, self.catalog, self.addresses, clock=clock)
        self.sender = Sender(
            store,
            self.channels,
            sending or Sending(),
            self.delivery,
            Recheck(store, book, suppose, clock=clock).why_not,
            clock=clock,
            ids=ids,
            node=node,
        )
        self.desk = Desk(book, self.catalog, self.channels, suppose, clock=clock)
        self.explainer = Explainer(store, suppose, self.suppressions, self.channels, clock=clock)
        self.unsubscribing = Unsubscribing(book, self.catalog, suppose, self.links)
        knowing = Knowing(store, presence, clock)
        self.runs = Runs(
            store,
            self.catalog,
            decider,
            writer,
            fetcher,
            self.addresses,
            knowing,
            book,
            self.suppressions,
            limits,
            clock=clock,
            ids=ids,
            node=node,
        )
        self.digests = Digests(store, self.runs, book, clock=clock, node=node)
        self.targets = Targets(store, clock)
        self.people = People(store, self.targets, self.addresses, queue, clock=clock)
        self.audiences = Audiences(store, self.targets, clock=clock)
        self.bulk = Bulk(store, self.channels, renderer, inbox, clock=clock, ids=ids)
        self.planner = Planner(
            store,
            self.catalog,
            self.runs,
            self.bulk,
            queue,
            self.targets,
            book,
            clock=clock,
            ids=ids,
        )
        self.triggers = Triggers(
            store,
            self.catalog,
            self.planner,
            AtOnce(store, self.catalog, self.planner, self.runs),
            self.targets,
            queue,
            limits,
            clock=clock,
            ids=ids,
        )
        self.imports = Imports(store, queue, limits, clock=clock, ids=ids)
        self.importer = Importer(store, queue, limits, clock=clock)
        self.receiver = Receiver(store, self.triggers, queue, limits, clock=clock, ids=ids)
        self.sends = Sends(store, queue, clock=clock)
        self.sends.on_resumed = self._resumed
        self.schedules = Schedules(store, self.triggers, limits, clock=clock, ids=ids)
        self.judge = Judge(self.templates, self.catalog, self.schedules, book)
        self.firing = Firing(store, self.triggers, clock=clock, ids=ids, node=node)
        self.history = History(store)
        self.replays = Replays(
            store,
            self.catalog,
            suppose,
            decider,
            sayings,
            knowing,
            self.suppressions,
            clock=clock,
        )
        self.finder = Finder(store)
        self.counts = Counts(store, limits.stats_days, clock=clock, ids=ids)
        self.letters = DeadLetters(store, self.go_on, clock=clock, ids=ids)
        self.retention = Retention(store, limits, clock)
        self._going = Loop("runs", self._go_on, ids)
        self._closing = Loop("digests", self._close_batches, ids)
        self._firing = Loop("schedules", self._fire, ids)
        self.schedules.on_changed = self._firing.wake
        self.runs.on_sent = self.sender.wake
        self.runs.on_waiting = self._look_again
        inbox.on_marked = self.runs.wake
        if events is not None:
            events.on_awaited = self._going.wake
        self.sender.on_woken = self._going.wake

    async def release(self) -> None:
        """Go on at once with what a former process had in its hands; see `Queue.release`."""
        await self._queue.release(
            trigger_sql.RELEASE,
            run_sql.RELEASE,
            batch_sql.RELEASE,
            sent_sql.RELEASE,
            schedule_sql.RELEASE,
        )

    def install(self, worker: Worker) -> None:
        """Let a worker plan what was accepted and not planned."""
        worker.handle(JOB, self.planner.plan)
        worker.handle(ERASE, self.people.erase_all)
        worker.handle(DROP, self.receiver.drop)
        worker.handle(IMPORT, self.importer.carry_out)

    def start(self) -> None:
        """Begin to carry runs on, and to send."""
        self._going.start()
        self._closing.start()
        self._firing.start()
        self.sender.start()
        self.counts.loop.start()

    async def close(self) -> None:
        """Begin nothing more, and wait for what is in hand."""
        await self._firing.close()
        await self.triggers.settled()
        await self.bulk.close()
        await self._going.close()
        await self._closing.close()
        await self.runs.fetched()
        await self.sender.close()
        await self.counts.loop.close()
        await self.renders.close()
        await self.drafts.close()

    async def release_digest(self, tenant: str, id: str) -> None:
        """Let a digest close now; raises as `Digests.release`."""
        await self.digests.release(tenant, id)
        self._closing.wake()

    def wake(self) -> None:
        """Runs that waited for something may go on."""
        self._going.wake()

    def _resumed(self) -> None:
        self._going.wake()
        self.sender.wake()

    def go_on(self, kind: Kind) -> None:
        """Some that had come to an end are due again."""
        match kind:
            case "message":
                self.sender.wake()
            case "run":
                self._going.wake()
            case "job":
                self._queue.notify()

    def _look_again(self) -> None:
        self._going.wake()
        self._closing.wake()

    async def _go_on(self) -> float:
        return await self._take(await self.runs.due_ms(), self.runs.go_on)

    async def _fire(self) -> float:
        return await self._take(await self.firing.due_ms(), self.firing.fire)

    async def _close_batches(self) -> float:
        return await self._take(await self.digests.due_ms(), self.digests.close)

    async def _take(self, due_ms: int | None, take: Callable[[int], Awaitable[int]]) -> float:
        if due_ms is None:
            return float("inf")
        if (wait_ms := due_ms - self._clock.now_ms()) > 0:
            return wait_ms / 1000
        # Nothing although something was due: other nodes have just taken it.
        return 0.0 if await take(SLICE) else self._ids.uniform(0.01, 0.1)
