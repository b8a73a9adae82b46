"""The SDK is whole: each door has a method, or a reason why it has none; and both clients have the same methods."""

import contextlib
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from clarion.client import AsyncClient, Client

DOORS = tomllib.loads((Path(__file__).parents[1] / "api" / "rights.toml").read_text())
ABSENT = {
    "a person's own, whom a page speaks for: @clarion/client, or the page's own calls": {
        "(GET|POST) /v1/inbox.*",
        "(GET|PUT|PATCH) /v1/preferences",
        "(GET|POST) /v1/preferences/(mute|unmute|overview|explain|link)",
        "(GET|POST|DELETE) /v1/push/devices.*",
        "POST /v1/push/(renewals|reports)",
        "(GET|PUT|DELETE) /v1/follows.*",
        "GET /v1/timeline",
        "(GET|POST) /v1/feeds/.*",
        "(GET|POST) /v1/auth/.*",
    },
    "followed from an email or a page": {
        "(GET|POST) /v1/unsubscribe/.*",
        "GET /v1/email/(opens|clicks)/{token}",
        "(GET|POST) /preferences/{token}",
        "GET /v1/captures/{id}/html",
        "GET /v1/push/worker.js",
    },
    "called by providers": {"POST /v1/hooks/.*"},
    "`clarion keys` makes keys": {"(GET|POST|DELETE) /v1/keys.*"},
    "tables for people; `messages`, `triggers` and `all_runs` give the same, page by page": {
        "GET /v1/exports/(messages|triggers|runs)"
    },
    "for probes, monitors and browsers": {
        "GET /(livez|readyz|metrics|openapi.json)?",
        "GET /docs.*",
        "GET /plain.css",
        "GET /errors/{code}",
    },
    "`sockets` of a user or a room tell the same of each": {"GET /v1/sockets/{id}"},
}
GIVEN = {
    "definition": {"workflow": "x", "template": "x"},
    "definitions": [{"workflow": "x"}],
    "several": ["x"],
    "users": ["x"],
    "publications": [{"topic": "x"}],
}


class _Asked(Exception):
    """What would have been asked is known."""


class Recorder(Client):
    """Asks nobody, and knows what it would have asked."""

    asked = ""

    def call(self, call: Any) -> NoReturn:
        self.asked = f"{call.method} {call.path.partition('?')[0]}"
        raise _Asked

    stream = call


def methods(of: type) -> dict[str, Any]:
    found = inspect.getmembers(of, inspect.isfunction)
    return {name: each for name, each in found if not name.startswith("_")}


def a_value(parameter: inspect.Parameter) -> Any:
    said = str(parameter.annotation)
    if parameter.name in GIVEN:
        return GIVEN[parameter.name]
    if said.startswith(("Mapping", "collections.abc.Mapping")):
        return {}
    return [] if "Sequence" in said else 1 if "int" in said else "x"


def asked() -> Iterator[tuple[str, str]]:
    """Each method of the client → the door that it knocks at."""
    client = Recorder()  # one for all: each would load certificates
    for name, method in methods(Client).items():
        if name in ("call", "stream", "close"):
            continue
        client.asked = ""
        _, *parameters = inspect.signature(method).parameters.values()
        needed = [each for each in parameters if each.default is each.empty]
        given = {
            each.name: a_value(each)
            for each in needed
            if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        }
        with contextlib.suppress(_Asked):
            answer = method(client, **given)
            if inspect.isgenerator(answer):
                next(answer)
        yield name, client.asked
    client.close()


def test_each_door_has_a_method_or_a_reason() -> None:
    """A door that is opened needs one or the other; a reason whose door has a method, or has gone, is stale."""
    doors = {door: re.compile(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(door))) for door in DOORS}
    reached: set[str] = set()
    for name, call in asked():
        fitting = [door for door, pattern in doors.items() if pattern.fullmatch(call)]
        assert fitting, f"{name} knocks at {call or 'no door'}"
        reached |= set(sorted(fitting, key=lambda door: door.count("{"))[:1])
    patterns = [
        re.compile(re.sub(r"\{", r"\\{", each)) for some in ABSENT.values() for each in some
    ]
    excused = {door for door in doors if any(each.fullmatch(door) for each in patterns)}
    assert set(doors) - reached - excused == set()
    assert reached & excused == set()
    assert [each.pattern for each in patterns if not any(map(each.fullmatch, doors))] == []


def test_both_clients_have_the_same_methods() -> None:
    """With the same parameters. `topic` is followed, which needs a loop."""
    one, other = methods(Client), methods(AsyncClient)
    assert set(other) - set(one) == {"topic"}
    assert set(one) - set(other) == set()
    for name, method in one.items():
        parameters = inspect.signature(method).parameters
        assert parameters == inspect.signature(other[name]).parameters, name
