"""The OpenAPI 3.1 document, written from the doors: what a route declares is what the document says.

Error answers follow from what a route has (a body brings 400, 413, 415 and 422, a right 401 and 403 …) and from what it names
in `errors`. Several errors of one status share an answer, with an example each.
"""

import inspect
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from clarion import errors as tree
from clarion.api.layer import JSON, Api, Door
from clarion.api.limits import PerAccount, PerCaller, PerItem, Unlimited
from clarion.api.page import HTML
from clarion.api.problem import MEDIA_TYPE, Problem, problem_of
from clarion.api.repeats import Idempotency
from clarion.api.streaming import Stream
from clarion.auth.rights import AllOf, ByItem, Declared, Public, Right, Self
from clarion.errors import ClarionError

SCHEMA: Final = "#/components/schemas/{name}"

_Error = type[ClarionError]
_CREDENTIAL: Final[tuple[_Error, ...]] = (tree.Unauthenticated, tree.TokenExpired)
_BODY: Final[tuple[_Error, ...]] = (
    tree.Malformed,
    tree.TooLarge,
    tree.UnsupportedMediaType,
    tree.Invalid,
)


def document(api: Api, *, version: str, public_url: str = "") -> bytes:
    """The document as JSON, the same bytes for the same doors.

    Args:
        api: The doors.
        version: Clarion's.
        public_url: Where people reach this server; empty: wherever the document was got.
    """
    doors = [door for door in api.doors if door.is_listed]
    bodies = [door.parts["body"] for door in doors if "body" in door.parts]
    answers = [door.answer for door in doors if _is_described(door.answer)]
    kinds = list(dict.fromkeys([*bodies, *answers, Problem]))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=SCHEMA)
    of = dict(zip(kinds, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    used: dict[str, _Error] = {}
    for door in doors:
        paths.setdefault(door.template, {})[door.method.lower()] = _operation(door, of, used)
    out = {
        "openapi": "3.1.0",
        "info": {
            "title": "Clarion",
            "version": version,
            "summary": "Real-time features and notifications for any application.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url or "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(map(_tag, doors))],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": _BEARER},
            "headers": _HEADERS,
            "examples": {code: _example(used[code]) for code in sorted(used)},
        },
    }
    return json.dumps(out, ensure_ascii=False, separators=(",", ":")).encode()


_BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An access token (`POST /v1/auth/login`) or an API key (`clk_…`, `clarion keys create`).",
}
_HEADERS: Final = {
    "RateLimit": {
        "description": 'What is left: `"api_requests";r=<calls>;t=<seconds until all are back>`',
        "schema": {"type": "string"},
    },
    "RetryAfter": {
        "description": "Seconds after which trying again makes sense",
        "schema": {"type": "integer"},
    },
}


def errors_of(door: Door) -> list[_Error]:
    """Every error that a caller of the door can meet, by status."""
    found: list[_Error] = [tree.Internal, *door.errors]
    found += _errors_of_right(door.right)
    if door.is_repeatable:
        found += (tree.Invalid, tree.IdempotencyConflict, tree.InProgress, tree.Unavailable)
    if not isinstance(door.limit, Unlimited):
        found.append(tree.RateLimited)
    if "body" in door.parts or door.wants_lines:
        found += _BODY
    if "query" in door.parts or "headers" in door.parts:
        found.append(tree.Invalid)
    if "path" in door.parts:
        found.append(tree.NotFound)
    return sorted(dict.fromkeys(found), key=lambda error: error.status)


def _errors_of_right(right: Declared) -> Sequence[_Error]:
    if isinstance(right, Public):
        return ()
    # Whether a token is still good may have to be asked: of the database, or of the application's key server.
    return (*_CREDENTIAL, tree.Forbidden, tree.Blocked, tree.Unavailable)


def _operation(door: Door, of: dict[Any, Any], used: dict[str, _Error]) -> dict[str, Any]:
    summary, _, rest = (inspect.getdoc(door.handler) or "").partition("\n")
    operation: dict[str, Any] = {
        "operationId": door.handler.__name__,
        "tags": [_tag(door)],
        "summary": summary,
        "description": "\n\n".join(filter(None, [rest.strip(), _who(door.right), _often(door)])),
        "parameters": [
            parameter for place, kind in _places(door) for parameter in _parameters(place, kind)
        ],
        "responses": _responses(door, of, used),
    }
    if not isinstance(door.right, Public):
        # A scope that a user does without is not needed (of the list all are).
        needed = () if isinstance(door.right, ByItem) else sorted(_scopes(door.right))
        operation["security"] = [{"bearer": list(needed)}]
    if "body" in door.parts:
        content: dict[str, Any] = {"schema": of[door.parts["body"]]}
        if door.example is not None:
            content["example"] = _given(door.example)
        operation["requestBody"] = {"required": True, "content": {door.takes: content}}
    if door.wants_lines:
        text: dict[str, Any] = {"schema": {"type": "string"}}
        examples = {media: {"example": door.example[media]} for media in door.example or ()}
        content = {media: {**text, **examples.get(media, {})} for media in door.lines}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _places(door: Door) -> Iterable[tuple[str, type[msgspec.Struct]]]:
    places = [(place, kind) for place, kind in door.parts.items() if place != "body"]
    return [*places, ("headers", Idempotency)] if door.is_repeatable else places


def _responses(door: Door, of: dict[Any, Any], used: dict[str, _Error]) -> dict[str, Any]:
    headers = (
        {} if isinstance(door.limit, Unlimited) else {"RateLimit": _ref("headers", "RateLimit")}
    )
    success: dict[str, Any] = {"description": "Done", "headers": headers}
    if door.answer is not None:
        success["content"] = {
            media: {"schema": of.get(door.answer, {}) if media == JSON else {"type": "string"}}
            for media in door.media
        }
    responses = {str(door.status): success}
    if door.path == "/readyz":
        responses["503"] = {**success, "description": "Not ready"}
    by_status: dict[int, list[_Error]] = {}
    for error in errors_of(door):
        used[error.code] = error
        by_status.setdefault(error.status, []).append(error)
    for status, found in by_status.items():
        answer: dict[str, Any] = {
            "description": "; ".join(error.title for error in found),
            "content": {
                MEDIA_TYPE: {
                    "schema": of[Problem],
                    "examples": {error.code: _ref("examples", error.code) for error in found},
                }
            },
        }
        if status == 404 and HTML in door.media:  # a link that people follow: they read a page
            answer["content"][HTML] = {"schema": {"type": "string"}}
        if status in {429, 503}:
            answer["headers"] = {"Retry-After": _ref("headers", "RetryAfter")}
        responses[str(status)] = answer
    return responses


def _parameters(place: str, kind: type[msgspec.Struct]) -> Iterable[dict[str, Any]]:
    _, components = msgspec.json.schema_components([kind], ref_template=SCHEMA)
    schema = components[kind.__name__]
    for name, spec in schema["properties"].items():
        yield {
            "name": "Idempotency-Key" if name == "idempotency-key" else name,
            "in": {"headers": "header"}.get(place, place),
            "required": name in schema.get("required", ()),
            "description": spec.get("description", ""),
            "schema": {key: value for key, value in spec.items() if key != "description"},
        }


def _example(error: _Error) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if error is tree.Invalid:
        facts["faults"] = [tree.Fault("/recipients/1", "Expected `str | object`, got `int`")]
    if error is tree.RateLimited:
        facts["retry_after_s"] = 2.5
    value = msgspec.to_builtins(problem_of(error(**facts)))
    return {"summary": error.title, "value": value}


def _given(example: Any) -> Any:
    """An example as a caller would write it: what is as it is by default stays out."""
    plain: dict[str, Any] = msgspec.to_builtins(example)
    defaults = {
        f.encode_name: (f.default, _made(f.default_factory))
        for f in msgspec.structs.fields(example)
    }
    return {
        name: _without_none(value) for name, value in plain.items() if value not in defaults[name]
    }


def _made(factory: Any) -> Any:
    return msgspec.NODEFAULT if factory is msgspec.NODEFAULT else factory()


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


def _is_described(answer: Any) -> bool:
    return answer is not None and answer is not str and answer != Stream


def _tag(door: Door) -> str:
    first, *rest = door.path.strip("/").split("/")
    return rest[0] if first == "v1" else "operation"


def _ref(section: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{section}/{name}"}


def _scopes(right: Declared) -> set[str]:
    match right:
        case Right(scope) | ByItem(scope):
            return {scope}
        case AllOf():
            return {scope for part in right.parts for scope in _scopes(part)}
        case _:
            return set()


def _who(right: Declared) -> str:
    """Who may, for people."""
    if isinstance(right, Public):
        return f"Open to all: {right.reason}."
    if isinstance(right, ByItem):
        return f"Needs the scope `{right.scope}`, or a user whose token grants it there."
    parts = [f"the scope `{scope}`" for scope in sorted(_scopes(right))]
    if isinstance(right, Self) or (isinstance(right, AllOf) and Self() in right.parts):
        parts.insert(0, "a signed-in user (not an API key)")
    return f"Needs {' and '.join(parts)}."


def _often(door: Door) -> str:
    match door.limit:
        case PerCaller():
            return "Limited by caller: `limits.api_requests` in `limits.api_window_s`."
        case PerItem(name, each):
            return f"Limited by caller: `limits.api_requests` in `limits.api_window_s`; {each} `{name}` count as one call more."
        case PerAccount(name):
            return f"Limited by address, and for one `{name}` from one address: `limits.login_tries` a minute."
        case Unlimited(reason):
            return f"Not limited: {reason}."
