"""The HTTP application, put together: all doors, the guard before them, and what surrounds every answer."""

import functools
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from clarion import __version__
from clarion.api import pages
from clarion.api.dispatch import Dispatch
from clarion.api.envelope import Doors, Envelope, nothing_here
from clarion.api.guards import Authenticates, Guard
from clarion.api.layer import TEMPLATE, Api
from clarion.api.limits import RateLimits
from clarion.api.openapi import document
from clarion.api.pages.front_end import FOLDER
from clarion.api.repeats import Repeats
from clarion.api.routes import activity as activity_doors
from clarion.api.routes import auth as auth_doors
from clarion.api.routes import blocks as blocks_doors
from clarion.api.routes import dashboards as dashboards_doors
from clarion.api.routes import dead_letters as dead_letters_doors
from clarion.api.routes import definitions as definitions_doors
from clarion.api.routes import digests as digests_doors
from clarion.api.routes import email as email_doors
from clarion.api.routes import emit as emit_doors
from clarion.api.routes import events as events_doors
from clarion.api.routes import feeds as feeds_doors
from clarion.api.routes import health as health_doors
from clarion.api.routes import imports as imports_doors
from clarion.api.routes import inbox as inbox_doors
from clarion.api.routes import keys as keys_doors
from clarion.api.routes import messages as messages_doors
from clarion.api.routes import notifications as notifications_doors
from clarion.api.routes import preferences as preferences_doors
from clarion.api.routes import presence as presence_doors
from clarion.api.routes import providers as providers_doors
from clarion.api.routes import push as push_doors
from clarion.api.routes import reach as reach_doors
from clarion.api.routes import rooms as rooms_doors
from clarion.api.routes import schedules as schedules_doors
from clarion.api.routes import search as search_doors
from clarion.api.routes import sockets as sockets_doors
from clarion.api.routes import stats as stats_doors
from clarion.api.routes import subscribers as subscribers_doors
from clarion.api.routes import suppressions as suppressions_doors
from clarion.api.routes import templates as templates_doors
from clarion.api.routes import timelines as timelines_doors
from clarion.api.routes import topics as topics_doors
from clarion.api.routes import unsubscribe as unsubscribe_doors
from clarion.api.routes import workflows as workflows_doors
from clarion.api.services import Services
from clarion.clock import Clock
from clarion.ids import Ids
from clarion.realtime.transports.application import leads_to
from clarion.settings import Settings
from clarion.telemetry import REGISTRY

PREFLIGHT_S = 600  # how long a browser may remember what it was allowed (s)


def build_api(
    services: Services, web: Path = FOLDER, whole: health_doors.Whole | None = None
) -> Api:
    """Every door of the server; what is walked for rights and for the document."""
    settings, topics, limits = services.settings, services.topics, services.settings.limits
    activity, search, io = services.activity, services.search, services.io
    api = Api()
    auth_doors.add(api, services.accounts)
    notifications_doors.add(api, services.notifications)
    messages_doors.add(api, services.workflows.finder)
    dead_letters_doors.add(api, services.workflows.letters)
    stats_doors.add(api, services.workflows.counts)
    workflows_doors.add(api, services.workflows)
    digests_doors.add(api, services.workflows)
    schedules_doors.add(api, services.workflows)
    definitions_doors.add(api, services.workflows)
    events_doors.add(api, services.events, services.event_numbers)
    providers_doors.add(api, services.workflows)
    reach_doors.add(api, services.reach)
    email_doors.add(api, services.email)
    suppressions_doors.add(api, services.workflows.suppressions)
    templates_doors.add(api, services.workflows)
    subscribers_doors.add(api, services.workflows)
    imports_doors.add(api, services.workflows)
    preferences_doors.add(api, services.workflows, services.clock)
    unsubscribe_doors.add(api, services.workflows.unsubscribing, services.email)
    inbox_doors.add(api, services.inbox)
    push_doors.add(api, services.push)
    emit_doors.add(api, io)
    rooms_doors.add(api, io)
    sockets_doors.add(api, io)
    topics_doors.add(api, topics, services.subscriptions, limits)
    activity_doors.add(api, activity.streams, topics, limits)
    timelines_doors.add(api, activity.timelines, topics, limits)
    feeds_doors.add(api, activity, topics, limits)
    search_doors.add(api, search, limits)
    search_doors.add_saved(api, search)
    presence_doors.add(api, services.presence, topics, limits)
    dashboards_doors.add(api, services.dashboards)
    keys_doors.add(api, services.keys)
    blocks_doors.add(api, services.blocks)
    health_doors.add(api, lambda: services.readiness, REGISTRY, whole)
    url = settings.public_url
    write = functools.cache(lambda: document(api, version=__version__, public_url=url))
    pages.add_docs(api, write)
    pages.add_style(api)
    pages.add_preferences(api, services.workflows, services.clock)
    if settings.admin_ui.password:
        pages.add_admin_ui(api, web, settings.admin_ui, settings.realtime.path)
    pages.add_front_end(api, web)
    write()  # a document that cannot be written stops the start, not a reader
    return api


def build_http(
    services: Services,
    mounts: Mapping[str, ASGIApp] | None = None,
    web: Path = FOLDER,
    whole: health_doors.Whole | None = None,
    limits: RateLimits | None = None,
) -> ASGIApp:
    """The ASGI application for everything that is not a WebSocket.

    Args:
        services: What the doors lead to; who calls this starts and stops them.
        mounts: Path → an application with rights and CORS of its own, such as the Socket.IO endpoint (`/socket.io/`). One that
            ends with a slash is meant with all below it.
        web: The built front end.
        whole: Makes of this worker's metrics those of all; None: there is one.
        limits: Count the callers; None: their own.

    Raises:
        UndeclaredRight: A door does not say who may use it, or how often.

    It takes no lifespan events. `guards.as_local(app)` is the same application as the local socket's owner sees it.
    """
    return surround(
        build_api(services, web, whole),
        services.settings,
        services.authenticator,
        clock=services.clock,
        ids=services.ids,
        mounts=mounts,
        repeats=Repeats(services.store, services.clock),
        limits=limits,
    )


def surround(
    api: Api,
    settings: Settings,
    authenticator: Authenticates,
    *,
    clock: Clock,
    ids: Ids,
    mounts: Mapping[str, ASGIApp] | None = None,
    repeats: Repeats | None = None,
    limits: RateLimits | None = None,
) -> ASGIApp:
    """Doors with everything around them; as `build_http`, for any doors. Without `repeats` no idempotency keys are heeded."""
    guard = Guard(authenticator, limits or RateLimits(settings.limits, clock))
    routes = api.routes(guard, settings.limits, repeats)
    app: ASGIApp = Doors(Dispatch(routes, nothing_here))
    if origins := [*map(_origin, filter(None, [*settings.allowed_origins, settings.public_url]))]:
        app = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                "authorization",
                "content-type",
                "idempotency-key",
                "if-match",
                "if-none-match",
                "x-request-id",
            ],
            expose_headers=["etag", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"],
            max_age=PREFLIGHT_S,
        )
    return Envelope(_Mounts(app, mounts or {}), clock=clock, ids=ids)


def _origin(url: str) -> str:
    """An address as browsers write an origin: no path, no last slash. `*` stays: any page may call."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else url


class _Mounts:
    """Applications that decide for themselves who comes, and from which pages: not behind our guard, nor our CORS."""

    def __init__(self, app: ASGIApp, mounts: Mapping[str, ASGIApp]) -> None:
        self._app = app
        self._mounts = mounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for mount, app in self._mounts.items():
            if leads_to(mount, scope) and (mount.endswith("/") or scope["path"].endswith(mount)):
                scope[TEMPLATE] = mount
                await app(scope, receive, send)
                return
        await self._app(scope, receive, send)
