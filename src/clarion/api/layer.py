"""Typed routes on Starlette and msgspec: a handler is a plain coroutine, and its signature is its contract.

    @api.route("POST", "/v1/keys", right=Right("keys:manage"), limit=PerCaller(), status=201, errors=WRITES)
    async def create_key(caller: Principal, body: CreateKey) -> NewApiKey: ...

`path`, `query`, `headers` and `body` are structs, `caller` comes from the guard, and what is returned is the answer: a struct, a
`Reply` (another status, headers, an ETag), or None (204). A long body is taken as `lines: Lines` (lines.py), a long answer given as
`Reply[Stream]` (streaming.py): neither is ever held whole. Who may come and how often is declared beside each route; without
both, nothing starts. Errors are raised; those named in `errors` and those that the parts bring are in the OpenAPI document.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from clarion.api import limits, reading
from clarion.api.etags import is_unchanged
from clarion.api.guards import Guard
from clarion.api.limits import Limit
from clarion.api.lines import NDJSON, Lines
from clarion.api.patience import Answered, Patience
from clarion.api.problem import ProblemResponse
from clarion.api.repeats import Call, Idempotency, Repeats
from clarion.api.streaming import Streamed
from clarion.auth import rights
from clarion.auth.principal import Principal
from clarion.auth.rights import Declared, Public
from clarion.errors import (
    ClarionError,
    MethodNotAllowed,
    OutcomeUnknown,
    StorageFull,
    Unavailable,
    UsageError,
)
from clarion.ids import digest
from clarion.settings import Limits

T = TypeVar("T")
Handler = Callable[..., Awaitable[Any]]
H = TypeVar("H", bound=Handler)

READS: Final = (Unavailable,)
"""What a door that reads the store can meet."""
WRITES: Final = (Unavailable, OutcomeUnknown, StorageFull)
"""What a door that writes to the store can meet."""

TEMPLATE: Final = "clarion.route"
"""Key in the scope: the template of the path, which names the route in metrics."""

PARTS: Final = ("path", "query", "headers", "body")
JSON: Final = reading.JSON
FORM: Final = "application/x-www-form-urlencoded"

_encode = msgspec.json.Encoder().encode


def _without_kinds(path: str) -> str:
    return path.replace(":path}", "}")


class Reply(Generic[T]):
    """An answer with more than a body.

    Args:
        body: A struct; text, bytes or a `Stream` where `media_type` is not JSON; None: no body.
        status: Instead of the route's own.
        etag: Names this state of what is sent: quotes included, `W/` before a weak one. Who has it already gets 304.
        headers: Further headers.
        media_type: Of the body.
    """

    __slots__ = ("body", "headers", "media_type", "status")

    def __init__(
        self,
        body: T,
        *,
        status: int | None = None,
        etag: str | None = None,
        headers: Mapping[str, str] | None = None,
        media_type: str = JSON,
    ) -> None:
        self.body = body
        self.status = status
        self.headers = dict(headers or {})
        self.media_type = media_type
        if etag is not None:
            self.headers["etag"] = etag


@dataclass(frozen=True, slots=True)
class Door:
    """One operation: what is asked for, what is answered, who may, how often."""

    method: str
    path: str
    handler: Handler
    right: Declared
    limit: Limit
    status: int = 200
    errors: tuple[type[ClarionError], ...] = ()
    example: Any = None
    media: tuple[str, ...] = (JSON,)
    takes: str = JSON
    lines: tuple[str, ...] = (NDJSON,)
    takes_key: bool = True
    is_foreign: bool = False
    is_listed: bool = True
    # From the handler's signature
    parts: Mapping[str, type[msgspec.Struct]] = field(default_factory=dict)
    wants_caller: bool = False
    wants_lines: bool = False
    answer: Any = None

    @property
    def name(self) -> str:
        """As a person would say it: `POST /v1/keys`."""
        return f"{self.method} {self.template}"

    @property
    def is_repeatable(self) -> bool:
        """Whether the layer answers a call that is repeated with its key: a POST of somebody, unless the door sees to it itself."""
        if self.method != "POST" or not self.takes_key or isinstance(self.right, Public):
            return False
        return not self.wants_lines and self.parts.get("headers") is not Idempotency

    @property
    def template(self) -> str:
        """The path as documents and metrics show it: without what a parameter may hold."""
        return _without_kinds(self.path)


class Api:
    """All doors, in the order of their making."""

    def __init__(self) -> None:
        self.doors: list[Door] = []

    def route(
        self,
        method: str,
        path: str,
        *,
        right: Declared | None = None,
        limit: Limit | None = None,
        status: int = 200,
        errors: tuple[type[ClarionError], ...] = (),
        example: Any = None,
        media: tuple[str, ...] = (JSON,),
        takes: str = JSON,
        lines: tuple[str, ...] = (NDJSON,),
        takes_key: bool = True,
        is_foreign: bool = False,
        is_listed: bool = True,
    ) -> Callable[[H], H]:
        """Open a door to a handler.

        Args:
            method: GET also answers HEAD; OPTIONS is answered for every path.
            path: Template, `/v1/keys/{id}`; `{room:path}` may hold slashes.
            right: Who may.
            limit: How often.
            status: Of a success.
            errors: What the handler raises, beyond what its parts, right and limit bring.
            example: A body, for the document; of `lines` texts by their types.
            media: Types of the answer.
            takes: Type of the body; of a form the handler gets a `dict[str, str]`.
            lines: Types of a body that the handler takes as `lines`.
            takes_key: Whether a POST can be repeated with an `Idempotency-Key`; not where the answer holds a secret, or there is no effect.
            is_foreign: Whether whoever calls follows rules of their own: their JSON may be called text, and is not held to what `/v1` promises.
            is_listed: Whether the OpenAPI document has it; pages for people are not in it.

        Raises:
            UndeclaredRight: `right` or `limit` is missing.
        """

        def add(handler: H) -> H:
            name = f"{method} {_without_kinds(path)}"
            hints = get_type_hints(handler, include_extras=True)
            answer = hints.pop("return")
            if get_origin(answer) is Reply:
                (answer,) = get_args(answer)
            door = Door(
                method=method,
                path=path,
                handler=handler,
                right=rights.declared(name, right),
                limit=limits.declared(name, limit),
                status=status,
                errors=errors,
                example=example,
                media=media,
                takes=takes,
                lines=lines,
                takes_key=takes_key,
                is_foreign=is_foreign,
                is_listed=is_listed,
                parts={part: hints[part] for part in PARTS if part in hints},
                wants_caller="caller" in hints,
                wants_lines="lines" in hints,
                answer=None if answer is type(None) else answer,
            )
            self.doors.append(door)
            return handler

        return add

    def routes(self, guard: Guard, limits: Limits, repeats: Repeats | None = None) -> list[Route]:
        """The doors as Starlette's routes, one a path: so that `Allow` tells all methods. Without `repeats` no keys are heeded."""
        by_path: dict[str, dict[str, _Endpoint]] = {}
        for door in self.doors:
            by_path.setdefault(door.path, {})[door.method] = _Endpoint(
                door, guard, limits, repeats if door.is_repeatable else None
            )
        return [_Route(path, _Resource(path, methods)) for path, methods in by_path.items()]


class _Endpoint:
    """Serves one door: reads what the signature asks for, calls the handler, writes what it returns."""

    def __init__(self, door: Door, guard: Guard, limits: Limits, repeats: Repeats | None) -> None:
        self._door = door
        self._repeats = repeats
        self._guard = guard
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        headers: dict[str, str] = {}
        patience = Patience(lambda error: ProblemResponse(error, headers)(scope, receive, send))
        try:
            response = await self._serve(request, headers, patience)
        except (ClientDisconnect, Answered):
            return
        except UsageError:
            raise  # a mistake of ours, not of whoever asks
        except ClarionError as error:
            if error.status == 413:
                headers["connection"] = "close"  # the rest of the body is not going to be read
            reading.point_at_query(error, self._door.parts)
            response = ProblemResponse(error, headers)
        finally:
            is_waited_for = await patience.finish()
        if is_waited_for:
            await response(scope, receive, send)

    async def _serve(
        self, request: Request, headers: dict[str, str], patience: Patience
    ) -> Response:
        door, guard = self._door, self._guard
        patience.start()
        caller = await guard.admit(
            request, door.right, door.limit, headers, is_curious=door.wants_caller
        )
        has_body = "body" in door.parts or door.wants_lines
        if has_body:
            patience.stop()
        given: dict[str, Any] = {"caller": caller} if door.wants_caller else {}
        for part, kind in door.parts.items():
            given[part] = await self._read(request, part, kind)
        if "body" in given:
            guard.count_body(request, caller, door.limit, given["body"], headers)
        if door.wants_lines:
            headers["connection"] = "close"  # as above, unless it is read to its end
            given["lines"] = Lines(request, self._limits, door.lines)
        elif has_body:  # what is read line by line takes as long as it is
            patience.start()
        call = await self._begin(request, caller, given)
        if isinstance(call, Response):
            call.headers.update(headers)
            return call
        if patience.is_over and call is not None:
            await call.refused()
        patience.enter(may_write=OutcomeUnknown in door.errors)
        try:
            result = await door.handler(**given)
        except ClarionError as exc:
            if call is not None and not isinstance(exc, OutcomeUnknown):
                await call.refused()
            raise
        finally:
            if door.wants_lines and given["lines"].is_read:
                del headers["connection"]
        reply = result if isinstance(result, Reply) else Reply(result)
        if isinstance(reply.body, AsyncGenerator):
            patience.stop()
        response = await self._answer(request, reply, headers)
        if call is not None:
            await call.answered(response)
        return response

    async def _begin(
        self, request: Request, caller: Principal | None, given: Mapping[str, Any]
    ) -> Call | Response | None:
        """Take the key of a call that has one, or give the answer that it has had."""
        if self._repeats is None or caller is None:
            return None
        key = reading.from_headers(request, Idempotency).key
        if key is None:
            return None
        asked = [given.get(part) for part in ("path", "query", "body")]
        mark = digest(msgspec.json.encode(asked, order="sorted"))
        return await self._repeats.begin(caller, self._door.name, key, mark)

    async def _read(self, request: Request, part: str, kind: type[msgspec.Struct]) -> Any:
        match part:
            case "path":
                return reading.from_path(request.path_params, kind)
            case "query":
                return reading.from_query(request.query_params.multi_items(), kind)
            case "headers":
                return reading.from_headers(request, kind)
            case _:
                return await self._read_body(request, kind)

    async def _read_body(self, request: Request, kind: type[msgspec.Struct]) -> Any:
        takes, limit = self._door.takes, self._limits.body_bytes
        if self._door.is_foreign:
            return reading.parse_foreign(
                await reading.read_body(request, limit, takes, reading.TEXT)
            )
        body = await reading.read_body(request, limit, takes)
        parse = reading.parse_form if takes == FORM else reading.parse_json
        return reading.to_struct(parse(body), kind)

    async def _answer(
        self, request: Request, reply: Reply[Any], headers: dict[str, str]
    ) -> Response:
        etag = reply.headers.get("etag")
        # Answers are about one caller: no cache may keep them for another, and tokens not at all (RFC 6749 §5.1).
        out = {"cache-control": "private, no-cache" if etag else "no-store", **headers}
        out.update(reply.headers)
        if request.method in _SAFE and is_unchanged(request.headers.get("if-none-match"), etag):
            return Response(None, 304, out)
        if reply.body is None:
            status = 204 if self._door.status == 200 else self._door.status
            return Response(None, reply.status or status, out)
        status = reply.status or self._door.status
        if isinstance(reply.body, AsyncGenerator):
            return await Streamed.begin(reply.body, status, out, reply.media_type)
        body = reply.body if isinstance(reply.body, str | bytes) else _encode(reply.body)
        return Response(body, status, out, reply.media_type)


_SAFE: Final = frozenset({"GET", "HEAD"})


class _Route(Route):
    """A path whose methods are asked first: `POST /rooms/status` does not take `GET /rooms/{room}` from a room of that name."""

    def __init__(self, path: str, resource: "_Resource") -> None:
        super().__init__(path, resource)
        self._resource = resource

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.FULL and not self._resource.offers(scope["method"]):
            return Match.PARTIAL, child
        return match, child


class _Resource:
    """The methods of one path."""

    def __init__(self, path: str, methods: Mapping[str, _Endpoint]) -> None:
        self._template = _without_kinds(path)
        self._methods = dict(methods)
        if "GET" in methods:
            # RFC 9110 §9.3.2: as the GET, without the body, which the server leaves out.
            self._methods["HEAD"] = methods["GET"]
        self._allow = {"allow": ", ".join([*self._methods, "OPTIONS"])}

    def offers(self, method: str) -> bool:
        """Whether it is more than refused."""
        return method in self._methods or method == "OPTIONS"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[TEMPLATE] = self._template
        method = scope["method"]
        endpoint = self._methods.get(method)
        if endpoint is not None:
            await endpoint(scope, receive, send)
        elif method == "OPTIONS":
            await Response(None, 204, self._allow)(scope, receive, send)
        else:
            allowed = self._allow["allow"]
            error = MethodNotAllowed(f"{method[:32]} is not offered here, but {allowed}")
            await ProblemResponse(error, self._allow)(scope, receive, send)
